"""How long a run still takes: recent steps, and the pauses between steps for evaluating, sampling and saving. No Qt."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

_RECENT_STEPS: Final = 60
_RECENT_PAUSES: Final = 8
_LEAST_STEPS: Final = 3
_LEAST_PAUSE_SECONDS: Final = 0.05
_LEAST_UNCERTAINTY: Final = 0.03
_UNKNOWN_PAUSES_UNCERTAINTY: Final = 0.25


@dataclass(frozen=True)
class TimeLeft:
    """An estimate: the run most likely ends within ``seconds`` plus or minus ``uncertainty_seconds``."""

    seconds: float
    uncertainty_seconds: float


class Pace:
    """Told of one session's steps in order; a resumed run starts anew with `restart`.

    A step's time is the median of recent ones. What passes between two steps well beyond the step itself is a pause; pauses recur at
    an interval that is seen or known.

    Attributes:
        pause_steps: Steps between evaluations as configured, for as long as no pauses were seen; None: not known.
    """

    def __init__(self) -> None:
        self.pause_steps: int | None = None
        self.restart()

    def restart(self) -> None:
        """Forget the times: another process trains now."""
        self._seconds: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._pauses: deque[float] = deque(maxlen=_RECENT_PAUSES)
        self._pause_at: deque[int] = deque(maxlen=_RECENT_PAUSES)
        self._pending_seconds = 0.0
        self._last_time: float | None = None
        self._num_steps = 0

    def add_pause(self, seconds: float) -> None:
        """An evaluation took this long; what it adds is only sure once the next step was seen."""
        self._pending_seconds += seconds

    def add_step(self, step: int, time: float, seconds: float) -> None:
        """A step ended at ``time`` (seconds since the epoch) after ``seconds`` of work (0: not measured)."""
        passed = seconds if self._last_time is None else max(0.0, time - self._last_time)
        pause = max(passed - (seconds or passed), self._pending_seconds)
        if pause > max(0.2 * seconds, _LEAST_PAUSE_SECONDS):
            self._pauses.append(pause)
            self._pause_at.append(step - 1)
            passed = seconds
        self._num_steps += 1
        if self._num_steps > 1 and passed:  # The first step of a process warms up caches and kernels.
            self._seconds.append(passed)
        self._pending_seconds = 0.0
        self._last_time = time

    def time_left(self, step: int, num_steps: int) -> TimeLeft | None:
        """What is left after ``step`` of ``num_steps``; None while too little was seen for an honest number."""
        if len(self._seconds) < _LEAST_STEPS or num_steps <= 0:
            return None
        remaining = max(0, num_steps - step)
        own, spread = _middle_and_error(list(self._seconds))
        pauses, pauses_error = self._pauses_left(step, num_steps, remaining * own)
        seconds = remaining * own + pauses
        error = remaining * (spread + self._drift()) + pauses_error + _LEAST_UNCERTAINTY * seconds
        return TimeLeft(seconds, error)

    def _pauses_left(self, step: int, num_steps: int, steps_seconds: float) -> tuple[float, float]:
        """Seconds and their uncertainty."""
        interval = self._seen_interval() or self.pause_steps
        if interval is None or not self._pauses:
            return 0.0, _UNKNOWN_PAUSES_UNCERTAINTY * steps_seconds * (1 - step / num_steps)
        num_left = num_steps // interval - step // interval
        each, error = _middle_and_error(list(self._pauses))
        return num_left * each, num_left * error

    def _seen_interval(self) -> int | None:
        gaps = [later - earlier for earlier, later in zip(self._pause_at, list(self._pause_at)[1:], strict=False)]
        return max(1, round(median(gaps))) if gaps else None

    def _drift(self) -> float:
        """Seconds a step by which the newer half of the recent steps differs from the older."""
        values = list(self._seconds)
        if len(values) < 2 * _LEAST_STEPS:
            return 0.0
        half = len(values) // 2
        return abs(median(values[half:]) - median(values[:half]))


def _middle_and_error(values: list[float]) -> tuple[float, float]:
    """The median and its standard error (1.2533 sigma / sqrt(n), sigma from the median absolute deviation)."""
    middle = median(values)
    sigma = 1.4826 * median([abs(value - middle) for value in values])
    error = middle if len(values) == 1 else 1.2533 * sigma / math.sqrt(len(values))
    return middle, error
