"""Answers sampled from the policy: in batches, with a cache of keys and values, from its whole distribution."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from desktop_ft.core.config.objectives import RolloutConfig
from desktop_ft.core.data.records import Task
from desktop_ft.engine.sampling import stop_ids

_LAYER_WIDTHS: Final = 16
_MLP_WIDTHS: Final = 12
_SECONDS_BETWEEN_LOOKS: Final = 0.25
_LEAST_WAIT: Final = 1e-30


@dataclass(frozen=True)
class Sampled:
    """One sampled answer.

    Attributes:
        ids: Up to and with the token that ended it, never empty.
        text: Without special tokens.
        finished: Whether the model ended it; otherwise it was cut at the limit.
    """

    ids: list[int]
    text: str
    finished: bool


def task_ids(tokenizer: PreTrainedTokenizerBase, task: Task) -> list[int]:
    """Token ids that the answer continues, as TRL's GRPOTrainer makes them: in the chat template where the prompt has turns, [T]."""
    if isinstance(task.prompt, str):
        return cast("list[int]", tokenizer(task.prompt)["input_ids"])
    turns = [{"role": turn.role, "content": turn.content} for turn in task.prompt]
    rendered = cast("str", tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    return cast("list[int]", tokenizer(rendered, add_special_tokens=False)["input_ids"])


def task_text(task: Task) -> str:
    """What was asked last, for a person to read."""
    return task.prompt if isinstance(task.prompt, str) else task.prompt[-1].content


class Sampler:
    """Samples from one model at the run's temperature.

    The log-probabilities that training compares are of the whole distribution at this temperature (as in TRL and in Huang et al. 2024,
    arXiv 2403.17031). With ``top_p`` below 1 the answers come from a part of it only, and the ratio of the policies leaves that out.

    Args:
        model: A causal model; whatever adapter is on answers.
        tokenizer: The model's.
        settings: Lengths and temperature.
        micro_batch_size: Rows of one forward pass in training.

    Attributes:
        at_once: Prompts that are answered in one batch.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: RolloutConfig, micro_batch_size: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._ends = stop_ids(model, tokenizer)
        self.at_once = micro_batch_size * answers_for_one_row(model)
        self._temperature, self._top_p = settings.temperature, settings.top_p
        self._settings = GenerationConfig(
            do_sample=False,
            use_cache=True,
            num_beams=1,
            max_new_tokens=settings.max_completion_length,
            eos_token_id=self._ends or None,
            pad_token_id=self.pad,
        )

    @property
    def pad(self) -> int:
        """What fills rows up; never read."""
        pad = cast("int | None", self._tokenizer.pad_token_id)
        return pad if pad is not None else (self._ends or [0])[0]

    def answer_in_full(self) -> None:
        """Let no answer end before the limit, for measuring the worst case."""
        self._settings.min_new_tokens = self._settings.max_new_tokens

    @torch.no_grad()
    def sample(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], is_to_end: Callable[[], bool] | None = None) -> list[Sampled]:
        """Answers in the order of the prompts, each from its own random numbers, whatever is answered beside it.

        Args:
            prompts: Token ids of each prompt, at most ``at_once``.
            seeds: One for each.
            is_to_end: Asked now and then; where it says so, answers are cut off.
        """
        width = max(len(ids) for ids in prompts)
        device = self._model.device
        ids = torch.tensor([[self.pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        processors = LogitsProcessorList([TemperatureLogitsWarper(self._temperature)])
        if self._top_p < 1:
            processors.append(TopPLogitsWarper(self._top_p))
        processors.append(GumbelNoise(seeds, device))
        criteria = StoppingCriteriaList([_Ending(is_to_end)] if is_to_end else [])
        generate = cast("Callable[..., torch.Tensor]", self._model.generate)
        with _plain_generation(self._model):
            output = generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=self._settings,
                logits_processor=processors,
                stopping_criteria=criteria,
            )
        return [self._cut(row) for row in cast("list[list[int]]", output[:, width:].tolist())]

    def _cut(self, ids: list[int]) -> Sampled:
        end = next((place for place, token in enumerate(ids) if token in self._ends), None)
        answer = ids if end is None else ids[: end + 1]
        return Sampled(answer, cast("str", self._tokenizer.decode(answer, skip_special_tokens=True)), finished=end is not None)


class GumbelNoise(LogitsProcessor):
    """Turns the choice of the likeliest token into a draw from the distribution, with random numbers of each row's own.

    The largest of logit + Gumbel noise is distributed as softmax. `torch.multinomial` would share its numbers among the rows of a batch,
    and the answers would depend on how many are sampled at once.

    Args:
        seeds: One for each row.
        device: Of the logits.

    Source: Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030, section 2.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.FloatTensor:
        """Scores with noise, [B, V]."""
        waits = torch.empty_like(scores)
        for row, generator in zip(waits, self._generators, strict=True):
            row.exponential_(generator=generator)
        return cast("torch.FloatTensor", scores - waits.clamp_(min=_LEAST_WAIT).log_())


class _Ending(StoppingCriteria):
    """Ends all answers of a batch where a stop is asked for."""

    def __init__(self, is_to_end: Callable[[], bool]) -> None:
        self._is_to_end = is_to_end
        self._looked = time.monotonic()

    def __call__(self, input_ids: torch.LongTensor, scores: tuple[torch.Tensor] | None, **kwargs: object) -> torch.BoolTensor:
        """Whether to end each sequence of the batch, [B]."""
        is_ending = False
        if time.monotonic() - self._looked >= _SECONDS_BETWEEN_LOOKS:
            is_ending = self._is_to_end()
            self._looked = time.monotonic()
        return cast("torch.BoolTensor", torch.full((input_ids.shape[0],), is_ending, dtype=torch.bool, device=input_ids.device))


def seed_of(*numbers: int) -> int:
    """A seed for torch that depends on all the numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def _plain_generation(model: PreTrainedModel) -> Generator[None]:
    """Without the model's own habits: transformers fills what a call leaves open from them, such as a penalty for repetition."""
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def answers_for_one_row(model: PreTrainedModel) -> int:
    """How many answers can be sampled in the memory of one row's backward pass, at least 1.

    Keys and values take 4 L kv bytes a token in 16 bit; the backward pass of a row takes 2 H (L - 1) for the checkpoints and
    16 H + 12 F for the layer at work. A third is left for the copies that growing the cache makes. Without checkpointing there is more.
    """
    config: Any = model.config.get_text_config()
    width, num_layers = int(config.hidden_size), int(config.num_hidden_layers)
    heads = int(config.num_attention_heads)
    head_width = int(getattr(config, "head_dim", None) or width // heads)
    cached = 4 * num_layers * int(getattr(config, "num_key_value_heads", None) or heads) * head_width
    inner = int(getattr(config, "intermediate_size", None) or 4 * width)
    backward = 2 * width * (num_layers - 1) + _LAYER_WIDTHS * width + _MLP_WIDTHS * inner
    return max(1, int(backward / cached / 1.5))
