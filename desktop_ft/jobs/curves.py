"""The numbers of a run by step, in arrays that grow; what a resumed run measures again replaces the old."""

from __future__ import annotations

from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

CurveName = Literal["loss", "grad_norm", "learning_rate", "tokens_per_second", "memory_bytes", "eval_loss"]
CURVE_NAMES: Final[tuple[CurveName, ...]] = ("loss", "grad_norm", "learning_rate", "tokens_per_second", "memory_bytes", "eval_loss")
_FIRST_CAPACITY: Final = 256

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

    def append(self, step: int, value: float | None) -> None:
        """Add a point; at or before the newest step, it replaces everything from there on."""
        if self._size and step <= self._steps[self._size - 1]:
            self.cut(step - 1)
        if self._size == len(self._steps):
            self._steps = _doubled(self._steps)
            self._values = _doubled(self._values)
        self._steps[self._size] = step
        self._values[self._size] = np.nan if value is None else value
        self._size += 1

    def cut(self, last_step: int) -> None:
        """Forget everything after a step."""
        self._size = int(np.searchsorted(self._steps[: self._size], last_step, side="right"))


def _frozen(array: _Array) -> _Array:
    array.flags.writeable = False
    return array


def _doubled(array: _Array) -> _Array:
    return np.resize(array, 2 * len(array))


class CurveStore:
    """All curves of a run.

    Attributes:
        version: Rises with every change, so that a plot knows whether it is behind.
    """

    def __init__(self) -> None:
        self.version = 0
        self._curves: dict[CurveName, Curve] = {name: Curve() for name in CURVE_NAMES}

    def __getitem__(self, name: CurveName) -> Curve:
        return self._curves[name]

    def append(self, name: CurveName, step: int, value: float | None) -> None:
        """Add a point to one curve."""
        self._curves[name].append(step, value)
        self.version += 1

    def cut(self, last_step: int) -> None:
        """Forget everything after a step: a resumed run does these steps again."""
        for curve in self._curves.values():
            curve.cut(last_step)
        self.version += 1
