"""What the model answers to the run's fixed prompts: greedy, repeatable, and without a trace in the training around it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import PhaseChanged, SampleDone
from desktop_ft.engine.randomness import undisturbed


@dataclass(frozen=True)
class Answer:
    """Text for one prompt.

    Attributes:
        text: Without special tokens.
        finished: Whether the model ended it; otherwise it was cut at the limit.
    """

    text: str
    finished: bool


@contextmanager
def evaluating(model: torch.nn.Module) -> Generator[None]:
    """Evaluation mode for a while, then back to what it was."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompt: str, *, as_chat: bool) -> list[int]:
    """Token ids that the answer continues, [T].

    Args:
        tokenizer: The model's.
        prompt: What the person says.
        as_chat: Whether to put it into the model's chat template.
    """
    if not as_chat:
        return cast("list[int]", tokenizer(prompt)["input_ids"])
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
    return cast("list[int]", tokenizer(cast("str", rendered), add_special_tokens=False)["input_ids"])


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends an answer: the tokenizer's and those that the model's files name."""
    named = cast("int | list[int] | None", model.generation_config.eos_token_id)
    found = named if isinstance(named, list) else [named]
    ids = {cast("int | None", tokenizer.eos_token_id), *cast("list[int | None]", found)}
    return sorted(token for token in ids if token is not None)


def answer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], max_new_tokens: int) -> Answer:
    """Continue one prompt greedily.

    Args:
        model: In evaluation mode.
        tokenizer: The model's.
        ids: The prompt, [T].
        max_new_tokens: Longest answer, tokens.
    """
    ends = stop_ids(model, tokenizer)
    inputs = torch.tensor([list(ids)], device=model.device)
    settings = GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=max_new_tokens, eos_token_id=ends or None, pad_token_id=tokenizer.pad_token_id
    )
    # The stubs see a module attribute of Module.__getattr__'s type where PreTrainedModel inherits a method.
    generate = cast("Callable[..., torch.Tensor]", model.generate)
    with torch.no_grad():
        output = generate(input_ids=inputs, attention_mask=torch.ones_like(inputs), generation_config=settings)
    new = cast("list[int]", output[0, len(ids) :].tolist())
    finished = bool(new) and new[-1] in ends
    return Answer(cast("str", tokenizer.decode(new, skip_special_tokens=True)), finished)


class Sampling(TrainerCallback):
    """Answers the run's prompts at chosen steps.

    Args:
        prompts: The run's fixed prompts; empty: never.
        max_new_tokens: Longest answer, tokens.
        as_chat: Whether the training examples are chats.
        every: Steps between samples.
        events: Where answers are told.
    """

    def __init__(self, prompts: Sequence[str], max_new_tokens: int, every: int, events: EventWriter, *, as_chat: bool) -> None:
        self._prompts = tuple(prompts)
        self._max_new_tokens = max_new_tokens
        self._as_chat = as_chat
        self._every = every
        self._last_step = 0
        self._events = events
        self._model: PreTrainedModel | None = None
        self._tokenizer: PreTrainedTokenizerBase | None = None

    def attach(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """The model to ask."""
        self._model, self._tokenizer = model, tokenizer

    def sample(self, step: int) -> bool:
        """Answer every prompt now; False where there are none."""
        model, tokenizer = self._model, self._tokenizer
        if not self._prompts:
            return False
        assert model is not None
        assert tokenizer is not None
        self._events.write(PhaseChanged(phase="generate", detail=f"Answering {len(self._prompts)} sample prompts"))
        with undisturbed(), evaluating(model):
            for index, prompt in enumerate(self._prompts):
                given = answer(model, tokenizer, prompt_ids(tokenizer, prompt, as_chat=self._as_chat), self._max_new_tokens)
                self._events.write(SampleDone(step=step, index=index, prompt=prompt, text=given.text, finished=given.finished))
        return True

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Count from here."""
        self._last_step = state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """After a step was told, also where steps were left out; the last step's samples follow when the result is saved."""
        if logs is None or "loss" not in logs:
            return
        is_due = state.global_step // self._every > self._last_step // self._every and state.global_step < state.max_steps
        self._last_step = state.global_step
        if is_due and self.sample(state.global_step):
            self._events.write(PhaseChanged(phase="train"))
