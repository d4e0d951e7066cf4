"""A run's health in words: what its curves say, what looks wrong and what to do. Pure functions of the run's events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.events import EvaluationDone, GeneralLoss, SampleDone, StepDone
from desktop_ft.core.health import common, online, preferences, sft
from desktop_ft.core.health.common import HealthNote as HealthNote
from desktop_ft.core.health.common import Tone as Tone

_ORDER: Final = {"bad": 0, "warn": 1, "good": 2}


def health(
    steps: Sequence[StepDone],
    evaluations: Sequence[EvaluationDone] = (),
    *,
    objective: ObjectiveName = "sft",
    general: Sequence[GeneralLoss] = (),
    samples: Sequence[SampleDone] = (),
    predicted_bytes: int | None = None,
    high_bytes: int | None = None,
) -> tuple[HealthNote, ...]:
    """What the curves say, the worst first; always at least one note.

    Args:
        steps: In order; only the events' numbers are read.
        evaluations: In order; one at step 0 is the model before training.
        objective: What the run learns from. A run of RLHF is judged by the stage that its newest step belongs to.
        general: The loss on general text, before training first.
        samples: In order; of them, those that were sampled in training.
        predicted_bytes: The estimate before the start, to compare the peak with.
        high_bytes: The upper end of that estimate.
    """
    stage, of_stage = (objective, steps) if objective != "rlhf" else _newest_stage(steps)
    measured = [event for event in evaluations if not of_stage or objective != "rlhf" or event.step >= of_stage[0].step]
    problems = [*common.broken(steps), *_of_objective(stage, of_stage, measured, samples), *common.forgetting(general)]
    notes = problems or [_all_well(stage, of_stage, measured)]
    notes += common.remembered(general)
    notes += common.memory(steps, predicted_bytes, high_bytes)
    return tuple(sorted(notes, key=lambda note: _ORDER[note.tone]))


def _of_objective(
    objective: ObjectiveName, steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone], samples: Sequence[SampleDone]
) -> Iterator[HealthNote]:
    if len(common.losses(steps)) < common.FEWEST_STEPS:
        return
    match objective:
        case "sft" | "pretrain":
            yield from sft.notes(steps, evaluations)
        case "dpo" | "orpo" | "kto" | "reward":
            yield from preferences.notes(objective, steps, evaluations)
        case "grpo" | "rloo" | "ppo" | "rlhf":
            yield from online.notes(objective, steps, evaluations, samples)


def _newest_stage(steps: Sequence[StepDone]) -> tuple[ObjectiveName, Sequence[StepDone]]:
    """Which stage of RLHF the newest step belongs to, and the steps of it: only the reward model tells an accuracy."""
    if not steps:
        return "reward", steps
    is_reward = "accuracy" in steps[-1].metrics
    first = next((index for index in range(len(steps) - 1, -1, -1) if ("accuracy" in steps[index].metrics) != is_reward), -1) + 1
    return ("reward" if is_reward else "rlhf"), steps[first:]


def _all_well(objective: ObjectiveName, steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone]) -> HealthNote:
    num_steps = len(common.losses(steps))
    if num_steps < common.FEWEST_STEPS:
        return HealthNote("good", "Just begun", f"After {common.FEWEST_STEPS} steps there is enough to judge; so far {num_steps}.")
    match objective:
        case "sft" | "pretrain":
            message = common.loss_words(steps, evaluations)
        case "dpo" | "orpo" | "kto" | "reward":
            message = preferences.words(steps, evaluations)
        case "grpo" | "rloo" | "ppo" | "rlhf":
            message = online.words(steps, evaluations)
    return HealthNote("good", "Learning as it should", message)
