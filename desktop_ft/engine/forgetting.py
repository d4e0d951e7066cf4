"""What a model forgets: its loss on the general text that comes with the program, before training and after."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final, cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import CausalLMOutputWithPast

from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import GeneralLoss, PhaseChanged
from desktop_ft.core.general_text import general_texts
from desktop_ft.engine.device import Precision
from desktop_ft.engine.randomness import undisturbed
from desktop_ft.engine.sampling import evaluating

MAX_PIECE_TOKENS: Final = 256
"""A piece is read alone and cut here, so that its scores are a small matrix even for a large vocabulary."""


class Forgetting:
    """Measures the loss on general text.

    Args:
        tokenizer: The model's.
        precision: What training computes in.
        events: Where the loss is told.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, precision: Precision, events: EventWriter) -> None:
        self._tokenizer = tokenizer
        self._precision = precision
        self._events = events

    def measure(self, model: PreTrainedModel | PeftModel, step: int) -> None:
        """Tell the loss of a model as it is now; training around it is not disturbed.

        Args:
            model: With its adapter, where it has one.
            step: Optimizer steps done.
        """
        self._events.write(PhaseChanged(phase="evaluate", detail="Reading general text to see what is forgotten"))
        with undisturbed(), evaluating(model), torch.no_grad(), self._autocast(model):
            losses = torch.cat([token_losses(model, ids) for ids in self._pieces()])
        self._events.write(GeneralLoss(step=step, loss=float(losses.mean()), num_tokens=len(losses)))

    def _pieces(self) -> list[list[int]]:
        texts = [piece.text for piece in general_texts()]
        return [ids[:MAX_PIECE_TOKENS] for ids in cast("list[list[int]]", self._tokenizer(texts)["input_ids"])]

    def _autocast(self, model: PreTrainedModel | PeftModel) -> contextlib.AbstractContextManager[object]:
        if not (self._precision.bf16 or self._precision.fp16):
            return contextlib.nullcontext()
        device = next(model.parameters()).device
        return torch.autocast(device.type, dtype=torch.bfloat16 if self._precision.bf16 else torch.float16)


def token_losses(model: PreTrainedModel | PeftModel, ids: Sequence[int]) -> torch.Tensor:
    """Loss of every token after the first, [T - 1], nats, float32, on the CPU.

    Args:
        model: In evaluation mode.
        ids: One text, [T].
    """
    inputs = torch.tensor([list(ids)], device=next(model.parameters()).device)
    output = cast("CausalLMOutputWithPast", model(input_ids=inputs, attention_mask=torch.ones_like(inputs), use_cache=False))
    scores = cast("torch.Tensor", output.logits)[0, :-1].float()
    return torch.nn.functional.cross_entropy(scores, inputs[0, 1:], reduction="none").cpu()
