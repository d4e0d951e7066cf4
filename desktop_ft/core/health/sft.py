"""What is said of supervised fine-tuning and continued pretraining: the loss is the whole story."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from desktop_ft.core.events import EvaluationDone, StepDone
from desktop_ft.core.health.common import HealthNote, overfitting, rising_or_flat, spikes


def notes(steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone]) -> Iterator[HealthNote]:
    """What looks wrong."""
    yield from spikes(steps)
    yield from rising_or_flat(steps, "look at what the model is trained on: is there text to learn in every example?")
    yield from overfitting(steps, evaluations)
