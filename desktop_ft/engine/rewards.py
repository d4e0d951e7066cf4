"""What scores the answers that a model samples while it is trained: rules, a reward model, or both; their weighted sum counts.

One object for GRPO, RLOO and PPO. TRL takes it apart into one function for each source, so that each is told by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

import torch
from transformers import PreTrainedTokenizerBase

from desktop_ft.core.data.records import Message, Task
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import WarningRaised
from desktop_ft.core.rewards.patterns import SECONDS_PER_SEARCH
from desktop_ft.core.rewards.rules import Answer, Rule, make_rules
from desktop_ft.engine.objectives.parts import Parts

MODEL_NAME: Final = "reward_model"
"""What the reward model's metrics are called after; a rule's are called after the rule."""
NO_SCORE: Final = float("nan")
"""A rule had nothing to compare with; such a score counts nothing in the sum."""

Turns = str | tuple[Message, ...]


class Scorer(Protocol):
    """A reward model."""

    def score(self, prompts: Sequence[Turns], answers: Sequence[str]) -> torch.Tensor:
        """The score of each answer to its prompt, [B]."""
        ...


@dataclass(frozen=True)
class SampledAnswer:
    """One answer of the model in training.

    Attributes:
        prompt: What it answers.
        text: Without special tokens.
        num_tokens: Sampled tokens, with the one that ended it.
        expected: The row's right answer, where the data has one.
    """

    prompt: Turns
    text: str
    num_tokens: int
    expected: str | None = None


class Rewards:
    """Scores answers.

    Args:
        rules: Compiled.
        model: A reward model, or None; asked in its own chat template.
        model_weight: What its score is multiplied by.
        tokenizer: Of the model in training; turns sampled ids into text.
        micro_batch_size: Answers that the reward model reads at once.
        events: Where a rule that takes too long is told.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        model: Scorer | None,
        model_weight: float,
        tokenizer: PreTrainedTokenizerBase,
        micro_batch_size: int,
        events: EventWriter,
    ) -> None:
        self._rules = tuple(rules)
        self._model = model
        self._tokenizer = tokenizer
        self._micro_batch_size = micro_batch_size
        self._events = events
        self._told_slow: set[str] = set()
        self.names = (*([] if model is None else [MODEL_NAME]), *(rule.name for rule in rules))
        self.weights = (*([] if model is None else [model_weight]), *(rule.weight for rule in rules))

    def scores(self, answers: Sequence[SampledAnswer]) -> torch.Tensor:
        """What each source says of each answer, before its weight; NaN where a rule has nothing to compare with, [B, sources], CPU."""
        columns = [torch.tensor(self.scores_of(name, answers), dtype=torch.float32) for name in self.names]
        return torch.stack(columns, dim=1)

    def total(self, scores: torch.Tensor) -> torch.Tensor:
        """The weighted sum, from [B, sources] to [B]."""
        return (scores * torch.tensor(self.weights, dtype=scores.dtype, device=scores.device)).nansum(dim=1)

    def scores_of(self, name: str, answers: Sequence[SampledAnswer]) -> list[float]:
        """What one source says of each answer, B."""
        if name == MODEL_NAME and self._model is not None:
            return self._model_scores(self._model, answers)
        rule = next(rule for rule in self._rules if rule.name == name)
        found = [rule.score(Answer(answer.text, answer.num_tokens, answer.expected)) for answer in answers]
        if rule.num_timeouts and name not in self._told_slow:
            self._tell_slow(name)
        return [NO_SCORE if score is None else score for score in found]

    def _model_scores(self, model: Scorer, answers: Sequence[SampledAnswer]) -> list[float]:
        size = self._micro_batch_size
        chunks = [answers[start : start + size] for start in range(0, len(answers), size)]
        scored = [model.score([answer.prompt for answer in chunk], [answer.text for answer in chunk]) for chunk in chunks]
        return [float(score) for part in scored for score in part]

    def _tell_slow(self, name: str) -> None:
        self._told_slow.add(name)
        self._events.write(
            WarningRaised(
                code="reward_rule_slow",
                title="A rule's pattern takes too long",
                message=f"The search of {name} in an answer was given up after {SECONDS_PER_SEARCH:g} s; such an answer scores 0.",
                hint="Repetitions inside a repetition, such as (a+)+ or (.*,)+, make a search explode; write the pattern without them.",
            )
        )

    # --- as TRL asks ---

    def answers(self, prompts: Sequence[object], completion_ids: Sequence[Sequence[int]], expected: object) -> list[SampledAnswer]:
        """TRL's columns as answers.

        Args:
            prompts: Texts, or lists of messages, B.
            completion_ids: Sampled ids up to the token that ended each, B.
            expected: The column ``answer``, or None.
        """
        texts = self._tokenizer.batch_decode([list(ids) for ids in completion_ids], skip_special_tokens=True)
        known = cast("Sequence[str | None]", expected or [None] * len(texts))
        return [
            SampledAnswer(_turns(prompt), text, len(ids), right)
            for prompt, text, ids, right in zip(prompts, texts, completion_ids, known, strict=True)
        ]

    def functions(self) -> list[Callable[..., list[float]]]:
        """One reward function of TRL for each source, called after it."""
        return [_function(self, name) for name in self.names]


def _function(rewards: Rewards, name: str) -> Callable[..., list[float]]:
    def score(
        prompts: Sequence[object], completions: object, completion_ids: Sequence[Sequence[int]], answer: object = None, **others: object
    ) -> list[float]:
        return rewards.scores_of(name, rewards.answers(prompts, completion_ids, answer))

    score.__name__ = name
    return score


def _turns(prompt: object) -> Turns:
    if isinstance(prompt, str):
        return prompt
    return tuple(Message(turn["role"], turn["content"]) for turn in cast("Sequence[Mapping[str, str]]", prompt))


def make_rewards(parts: Parts, model: Scorer | None = None) -> Rewards:
    """What the run's configuration says.

    Args:
        parts: Of the run.
        model: The reward model where it is in memory already; None: it is loaded, if the run has one.

    Raises:
        DesktopFtError: ``rewards_missing`` or ``rewards_no_expected``; ``rewards_rule`` where a rule's schema was changed since the check;
            whatever is wrong with the reward model.
    """
    stated = parts.config.objective.rewards
    if model is None and stated.model is not None:
        from desktop_ft.engine.reward_model import load_reward_model

        model = load_reward_model(Path(stated.model), parts.device)
    if model is None and not stated.rules:
        raise DesktopFtError(
            "rewards_missing",
            "Nothing says what a good answer is",
            "objective.rewards has neither a reward model nor a rule, so that every answer would be as good as any other.",
            "Name a reward model in objective.rewards.model, or add a rule to objective.rewards.rules.",
        )
    try:
        rules = make_rules(stated.rules)
    except ValueError as error:
        raise DesktopFtError(
            "rewards_rule", "A rule cannot be read", f"objective.rewards.rules: {error}.", "Correct the rule, or remove it."
        ) from error
    _check_expected(parts)
    micro_batch_size = cast("int", parts.config.training.micro_batch_size)
    return Rewards(rules, model, stated.model_weight, parts.tokenizer, micro_batch_size, parts.events)


def _check_expected(parts: Parts) -> None:
    """An exact answer needs something to compare with."""
    if all(rule.kind != "exact_answer" for rule in parts.config.objective.rewards.rules):
        return
    examples = [example for example in parts.data.train_examples if isinstance(example, Task)]
    num_without = sum(example.answer is None for example in examples)
    if num_without == len(examples):
        raise DesktopFtError(
            "rewards_no_expected",
            "There is no answer to compare with",
            "The rule exact_answer compares with each row's right answer, and no row of the training data has one.",
            "Add a column with the right answer and name it in data.columns, or remove the rule.",
        )
    if num_without:
        parts.events.write(
            WarningRaised(
                code="rewards_some_expected",
                title="Some rows have no answer to compare with",
                message=f"{num_without:,} of {len(examples):,} prompts have no right answer; the rule exact_answer scores nothing there.",
            )
        )
