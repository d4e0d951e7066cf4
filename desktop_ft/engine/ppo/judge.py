"""What an answer is worth: the run's rules and its reward model, weighted and added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from desktop_ft.core.data.records import Task
from desktop_ft.engine.ppo.sampling import Sampled


@dataclass(frozen=True)
class Judgment:
    """Of some answers.

    Attributes:
        rewards: What each is worth, float32 on the CPU, [B].
        metrics: The mean of every part, under the names that GRPO's have in TRL.
    """

    rewards: torch.Tensor
    metrics: Mapping[str, float]


class Judge(Protocol):
    """Scores answers."""

    def __call__(self, tasks: Sequence[Task], answers: Sequence[Sampled]) -> Judgment:
        """What each answer to its task is worth."""
        ...


def answer_metrics(judgment: Judgment, answers: Sequence[Sampled], kl: float) -> dict[str, float]:
    """What is told of answers, be they sampled to learn from or to held-out prompts.

    Args:
        judgment: What they are worth.
        answers: The answers.
        kl: Divergence from the reference, nats per answer.
    """
    return {
        **judgment.metrics,
        "reward": float(judgment.rewards.mean()),
        "kl": kl,
        "completions/mean_length": sum(len(answer.ids) for answer in answers) / len(answers),
        "completions/share_finished": sum(answer.finished for answer in answers) / len(answers),
    }
