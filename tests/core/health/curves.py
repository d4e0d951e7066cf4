"""Made-up curves with seeded noise, as events."""

from __future__ import annotations

import random
from collections.abc import Sequence

from desktop_ft.core.events import EvaluationDone, StepDone
from desktop_ft.core.health import HealthNote

NUM_STEPS = 120


def line(first: float, last: float, noise: float = 0.0, num_steps: int = NUM_STEPS, seed: int = 1) -> list[float]:
    """A straight line with Gaussian noise."""
    rng = random.Random(seed)
    return [first + (last - first) * index / (num_steps - 1) + rng.gauss(0, noise) for index in range(num_steps)]


def bent(first: float, middle: float, last: float, noise: float = 0.0) -> list[float]:
    """Two lines that meet in the middle."""
    half = NUM_STEPS // 2
    return [*line(first, middle, noise, half), *line(middle, last, noise, half, seed=2)]


def steps_of(losses: Sequence[float], **metrics: Sequence[float]) -> list[StepDone]:
    """Steps from a loss and metrics; two underscores in a name stand for a slash."""
    named = {name.replace("__", "/"): values for name, values in metrics.items()}
    return [
        StepDone(step=index + 1, epoch=0.0, loss=loss, grad_norm=1.0, metrics={name: values[index] for name, values in named.items()})
        for index, loss in enumerate(losses)
    ]


def evaluations_of(name: str, values: Sequence[float], every: int = 30) -> list[EvaluationDone]:
    """Evaluations from step 0 with one metric; ``loss`` is the loss."""
    if name == "loss":
        return [EvaluationDone(step=index * every, loss=value) for index, value in enumerate(values)]
    return [EvaluationDone(step=index * every, metrics={name: value}) for index, value in enumerate(values)]


def titles(notes: Sequence[HealthNote]) -> list[str]:
    """What was seen, the worst first."""
    return [note.title for note in notes]
