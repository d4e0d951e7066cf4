"""Answers that are sampled while training: the prompts' pass, the cache as it grows token by token, and the last token's pass.

The passes are the model's own; the growth between them is written to the tape without running the model, since every token of it takes
the same steps: each block's keys and values are copied into tensors one token longer (transformers' `DynamicLayer.update`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, cast

import torch
from transformers import DynamicCache, GenerationMixin

from desktop_ft.engine.dry_run.as_on_gpu import replaced
from desktop_ft.engine.dry_run.tape import Tape


@contextlib.contextmanager
def made_answers(tape: Tape, times: int = 1) -> Generator[None]:
    """`generate` as the memory sees it, as long as the context lives.

    Args:
        tape: Where it is noted.
        times: How many of the run's answers each row stands for.
    """

    def generate(model: Any, input_ids: torch.Tensor | None = None, **settings: Any) -> torch.Tensor:  # noqa: ANN401 - transformers' signature
        assert input_ids is not None
        tape.begin("sampling")
        answers = _sample(model, input_ids, times, settings, tape)
        tape.begin("scoring")
        return answers

    with replaced(GenerationMixin, "generate", generate):
        yield


def _sample(model: Any, input_ids: torch.Tensor, times: int, settings: dict[str, Any], tape: Tape) -> torch.Tensor:  # noqa: ANN401
    num_asked, width = input_ids.shape
    rows = times * num_asked
    input_ids = input_ids.repeat(times, 1)
    config = settings.get("generation_config") or model.generation_config
    length = int(config.max_new_tokens)
    with torch.no_grad():
        cache = DynamicCache(config=model.config)
        mask = torch.ones((rows, width), dtype=torch.long)
        out = model(input_ids=input_ids, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1)
        _draw(out.logits[:, -1])
        del out
        _grow(cache, length - 2, tape)
        if length > 1:
            mask = torch.ones((rows, width + length - 1), dtype=torch.long)
            place = torch.full((rows, 1), width + length - 2, dtype=torch.long)
            token = torch.ones((rows, 1), dtype=torch.long)
            out = model(input_ids=token, attention_mask=mask, position_ids=place, past_key_values=cache, use_cache=True, logits_to_keep=1)
            _draw(out.logits[:, -1])
            del out
        del cache
    return torch.ones((num_asked, width + length), dtype=torch.long)


def _draw(logits: torch.Tensor) -> torch.Tensor:
    """The next token from the distribution, [B, V] to [B]: in float32, at a temperature, with noise or by its probabilities."""
    scores = logits.to(copy=True, dtype=torch.float32) / 1.5
    return torch.nn.functional.softmax(scores, dim=-1).argmax(-1)


def _grow(cache: DynamicCache, num_tokens: int, tape: Tape) -> None:
    """Each token copies every block's keys, then its values, into new tensors and lets the old ones go."""
    if num_tokens <= 0:
        return
    layers = [layer for layer in cast("Any", cache).layers if getattr(layer, "keys", None) is not None]
    held: list[list[int]] = []
    start = 0
    sizes: list[list[int]] = []
    for layer in layers:
        sizes.append([part.nbytes // part.shape[-2] for part in (layer.keys, layer.values)])
        start = layer.keys.shape[-2]
        layer.keys, layer.values = layer.keys[..., :0, :].clone(), layer.values[..., :0, :].clone()
        tape.layer = len(held)
        held.append([tape.hold(size * start, "activations") for size in sizes[-1]])
    for token in range(1, num_tokens + 1):
        for number in range(len(layers)):
            tape.layer = number
            for part in range(2):
                new = tape.hold(sizes[number][part] * (start + token), "activations")
                tape.let_go(held[number][part])
                held[number][part] = new
    for number, layer in enumerate(layers):
        tape.layer = number
        for part, name in enumerate(("keys", "values")):
            old = getattr(layer, name)
            shape = (*old.shape[:-2], start + num_tokens, old.shape[-1])
            tape.let_go(held[number][part])
            setattr(layer, name, old.new_empty(shape))
    tape.layer = None
