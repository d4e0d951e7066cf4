"""The numbers of a run by step, in arrays that grow; what a resumed run measures again replaces the old.

Loss, gradient norm and the like keep every step. What an objective tells besides (its metrics) may be dozens of numbers a step, so
those curves are thinned between their two ends once they are long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from desktop_ft.core.events import EvaluationDone, StepDone

CurveName = Literal["loss", "grad_norm", "learning_rate", "tokens_per_second", "memory_bytes", "eval_loss"]
CURVE_NAMES: Final[tuple[CurveName, ...]] = ("loss", "grad_norm", "learning_rate", "tokens_per_second", "memory_bytes", "eval_loss")
_STEP_CURVES: Final = CURVE_NAMES[:-1]
_STEP_VALUES: Final = attrgetter(*_STEP_CURVES)
_FIRST_CAPACITY: Final = 256
METRIC_POINTS: Final = 16_384
"""Longest curve of a metric; beyond it the older half of the middle keeps every second point."""
KEPT_FIRST: Final = 128
"""So many first points of a metric are never thinned: where it began is what its end is compared with."""
MOST_METRICS: Final = 256
"""More names than any objective has; a log with more is not ours."""
_METRIC_PREFIX: Final = "metrics."

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]
_Array = TypeVar("_Array", Floats, Steps)


class Curve:
    """One series. Steps rise strictly; a value that was not finite is NaN, a gap in the plot."""

    def __init__(self) -> None:
        self._steps: Steps = np.empty(_FIRST_CAPACITY, dtype=np.int64)
        self._values: Floats = np.empty(_FIRST_CAPACITY, dtype=np.float64)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def steps(self) -> Steps:
        """``[N]`` optimizer steps; a read-only view, valid until the next change."""
        return _frozen(self._steps[: self._size])

    @property
    def values(self) -> Floats:
        """``[N]`` values beside `steps`; a read-only view, valid until the next change."""
        return _frozen(self._values[: self._size])

    @property
    def last(self) -> float | None:
        """The newest finite value, or None."""
        values = self._values[: self._size]
        for value in values[::-1]:
            if np.isfinite(value):
                return float(value)
        return None

    def extend(self, steps: Steps, values: Floats) -> None:
        """Add points whose steps rise strictly; what was there from their first step on is replaced.

        Args:
            steps: ``[N]``, N >= 1.
            values: ``[N]``, NaN for a gap.
        """
        if self._size and steps[0] <= self._steps[self._size - 1]:
            self.cut(int(steps[0]) - 1)
        end = self._size + len(steps)
        if end > len(self._steps):
            num_more = max(len(self._steps), end - len(self._steps))
            self._steps = np.concatenate((self._steps, np.empty(num_more, np.int64)))
            self._values = np.concatenate((self._values, np.empty(num_more, np.float64)))
        self._steps[self._size : end] = steps
        self._values[self._size : end] = values
        self._size = end

    def cut(self, last_step: int) -> None:
        """Forget everything after a step."""
        self._size = int(np.searchsorted(self._steps[: self._size], last_step, side="right"))

    def thin(self) -> None:
        """Between the first points and the newer half keep every second point."""
        middle = np.arange(KEPT_FIRST, max(KEPT_FIRST, self._size // 2), 2)
        kept = np.concatenate((np.arange(min(KEPT_FIRST, self._size)), middle, np.arange(max(KEPT_FIRST, self._size // 2), self._size)))
        self._size = len(kept)
        self._steps[: self._size] = self._steps[kept]
        self._values[: self._size] = self._values[kept]

    def at(self, step: int) -> float | None:
        """The value of exactly this step; None where there is none, or where it was not finite."""
        place = int(np.searchsorted(self._steps[: self._size], step))
        found = place < self._size and int(self._steps[place]) == step and np.isfinite(self._values[place])
        return float(self._values[place]) if found else None


def _frozen(array: _Array) -> _Array:
    array.flags.writeable = False
    return array


class CurveStore:
    """All curves of a run.

    Attributes:
        version: Rises with every change, so that a plot knows whether it is behind.
        metrics: What the objective tells of each step, by name; ``eval_metrics``: of each evaluation.
    """

    def __init__(self) -> None:
        self.version = 0
        self._curves: dict[CurveName, Curve] = {name: Curve() for name in CURVE_NAMES}
        self.metrics: dict[str, Curve] = {}
        self.eval_metrics: dict[str, Curve] = {}

    def __getitem__(self, name: CurveName) -> Curve:
        return self._curves[name]

    def add_steps(self, events: Sequence[StepDone]) -> None:
        """Add optimizer steps to all of their curves; a step that comes again replaces everything from there on."""
        for part in _rising_parts(events):
            steps = np.fromiter((event.step for event in part), np.int64, len(part))
            columns = np.array([_STEP_VALUES(event) for event in part], np.float64).T  # None becomes NaN
            memory = columns[_STEP_CURVES.index("memory_bytes")]
            memory[memory == 0] = np.nan  # The engine does not know it.
            for name, column in zip(_STEP_CURVES, columns, strict=True):
                self._curves[name].extend(steps, column)
            _add_metrics(self.metrics, part)
        self.version += 1

    def add_evaluation(self, event: EvaluationDone) -> None:
        """Add a loss on the held-out examples."""
        value = np.nan if event.loss is None else event.loss
        self._curves["eval_loss"].extend(np.array([event.step], np.int64), np.array([value], np.float64))
        _add_metrics(self.eval_metrics, (event,))
        self.version += 1

    def steps_at_both_ends(self, num_first: int = 100, num_last: int = 1000) -> list[StepDone]:
        """The first and the newest steps as events again, without what no curve keeps."""
        size = len(self._curves["loss"])
        places = [*range(min(num_first, size)), *range(max(num_first, size - num_last), size)]
        return [self._step_at(place) for place in places]

    def _step_at(self, place: int) -> StepDone:
        values = {name: self._curves[name].values[place] for name in _STEP_CURVES}
        numbers = {name: None if np.isnan(value) else float(value) for name, value in values.items()}
        step = int(self._curves["loss"].steps[place])
        metrics = {name: curve.at(step) for name, curve in self.metrics.items()}
        return StepDone(
            step=step,
            epoch=0.0,
            loss=numbers["loss"],
            grad_norm=numbers["grad_norm"],
            learning_rate=numbers["learning_rate"],
            tokens_per_second=numbers["tokens_per_second"],
            memory_bytes=int(numbers["memory_bytes"] or 0),
            metrics={name: value for name, value in metrics.items() if value is not None},
        )

    def cut(self, last_step: int) -> None:
        """Forget everything after a step: a resumed run does these steps again."""
        for curve in (*self._curves.values(), *self.metrics.values(), *self.eval_metrics.values()):
            curve.cut(last_step)
        self.version += 1


def _add_metrics(curves: dict[str, Curve], events: Sequence[StepDone | EvaluationDone]) -> None:
    """Add the metrics of events whose steps rise strictly; what was not finite is a gap."""
    points: dict[str, tuple[list[int], list[float]]] = {}
    for event in events:
        for name, value in _metrics_of(event).items():
            steps, values = points.setdefault(name, ([], []))
            steps.append(event.step)
            values.append(value)
    for name, (steps, values) in points.items():
        if name not in curves and len(curves) >= MOST_METRICS:
            continue
        curve = curves.setdefault(name, Curve())
        curve.extend(np.array(steps, np.int64), np.array(values, np.float64))
        while len(curve) > METRIC_POINTS:
            curve.thin()


def _metrics_of(event: StepDone | EvaluationDone) -> Mapping[str, float]:
    if not event.non_finite:
        return event.metrics
    gaps = {name.removeprefix(_METRIC_PREFIX): np.nan for name in event.non_finite if name.startswith(_METRIC_PREFIX)}
    return {**event.metrics, **gaps}


def _rising_parts(events: Sequence[StepDone]) -> Iterator[Sequence[StepDone]]:
    """Pieces within which the step rises strictly."""
    start = 0
    for index in range(1, len(events)):
        if events[index].step <= events[index - 1].step:
            yield events[start:index]
            start = index
    if events:
        yield events[start:]
