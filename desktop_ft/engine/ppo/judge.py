"""What answers are worth, as PPO needs it: one number for each, and the means that are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from desktop_ft.core.data.records import Task
from desktop_ft.engine.ppo.sampling import Sampled
from desktop_ft.engine.rewards import Rewards, SampledAnswer


@dataclass(frozen=True)
class Judgment:
    """Of some answers.

    Attributes:
        rewards: The weighted sum of what the run's rules and reward model say of each, float32 on the CPU, [B].
        metrics: Means, under the names that TRL's GRPO has for them.
    """

    rewards: torch.Tensor
    metrics: Mapping[str, float]


def judge(rewards: Rewards, tasks: Sequence[Task], answers: Sequence[Sampled]) -> Judgment:
    """Score answers.

    Args:
        rewards: The run's rules and reward model.
        tasks: What is answered, B.
        answers: To each of them.
    """
    asked = [SampledAnswer(task.prompt, answer.text, len(answer.ids), task.answer) for task, answer in zip(tasks, answers, strict=True)]
    scores = rewards.scores(asked)
    total = rewards.total(scores)
    means = zip(rewards.names, cast("list[float]", scores.nanmean(dim=0).tolist()), strict=True)
    metrics = {f"rewards/{name}/mean": mean for name, mean in means}
    return Judgment(total, {"reward": float(total.mean()), "reward_std": float(total.std(correction=0)), **metrics})


def answer_metrics(judgment: Judgment, answers: Sequence[Sampled], kl: float) -> dict[str, float]:
    """What is told of answers, be they sampled to learn from or to held-out prompts.

    Args:
        judgment: What they are worth.
        answers: The answers.
        kl: Divergence from the reference, nats per answer.
    """
    return {
        **judgment.metrics,
        "kl": kl,
        "completions/mean_length": sum(len(answer.ids) for answer in answers) / len(answers),
        "completions/share_finished": sum(answer.finished for answer in answers) / len(answers),
    }
