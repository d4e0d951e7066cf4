"""The arithmetic of charts, without Qt: smoothing, ticks, ranges, trends, and where labels go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Numbers = Sequence[float] | NDArray[np.floating] | NDArray[np.integer]
"""What a caller may hand over as a series."""
Trend = Literal["rising", "falling", "level", "unknown"]

SAMPLE_FOR_RANGE = 20_000
"""Points looked at to choose a y range: more do not change what is seen."""


class Smoother:
    """An exponential mean, debiased at the start, over the finite values of a growing series.

    ``m_t = keep * m_{t-1} + (1 - keep) * v_t``, shown as ``m_t / (1 - keep^t)`` (Kingma & Ba 2015, section 3): without the division the
    first values would lean to zero. Gaps stay gaps and do not move the mean.

    Args:
        keep: Weight of the past, from 0 (no smoothing) to below 1.
    """

    def __init__(self, keep: float) -> None:
        if not 0 <= keep < 1:
            raise ValueError(f"keep must lie in [0, 1), not {keep}")
        self._keep = keep
        self._known = 0
        self._tail: Array = np.empty(0)
        self._result: Array = np.empty(0)
        self._mean = 0.0
        self._count = 0

    def smooth(self, values: Array) -> Array:
        """The smoothed series. Only what is new costs time: a series whose last 64 known values are unchanged is taken to have grown."""
        known = self._known
        if known > len(values) or not np.array_equal(self._tail, values[max(0, known - 64) : known], equal_nan=True):
            known, self._mean, self._count = 0, 0.0, 0
            self._result = np.empty(0)
        self._result = np.concatenate([self._result, self._extend(values[known:])])
        self._known, self._tail = len(values), values[-64:].copy()
        return self._result

    def _extend(self, values: Array) -> Array:
        result = np.full(len(values), np.nan)
        finite = np.isfinite(values)
        fresh = values[finite]
        if self._keep == 0:
            result[finite] = fresh
            return result
        means = _exponential_means(fresh, self._keep, self._mean)
        counts = self._count + np.arange(1, len(fresh) + 1)
        result[finite] = means / (1 - self._keep**counts)
        if len(fresh):
            self._mean, self._count = float(means[-1]), int(counts[-1])
        return result


def _exponential_means(values: Array, keep: float, start: float) -> Array:
    """The recursion in blocks short enough that dividing by ``keep^i`` stays exact to about 1e-8."""
    length = max(1, min(4096, int(math.log(1e8) / -math.log(keep))))
    blocks = -(-len(values) // length)
    padded = np.zeros(blocks * length)
    padded[: len(values)] = values
    powers = keep ** np.arange(1, length + 1)
    within = np.cumsum(padded.reshape(blocks, length) / powers, axis=1) * powers * (1 - keep)
    carry, last = np.empty(blocks), start
    for i, end in enumerate(within[:, -1].tolist()):
        carry[i] = last
        last = end + powers[-1] * last
    return (within + carry[:, None] * powers).reshape(-1)[: len(values)]


def nice_step(span: float, count: int) -> float:
    """The step of 1, 2, 2.5 or 5 times a power of ten that gives at most ``count`` steps over a span."""
    if span <= 0 or not math.isfinite(span):
        return 1.0
    rough = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


def linear_ticks(low: float, high: float, count: int) -> tuple[list[float], int]:
    """Even values inside a range, and the decimals that all of them need."""
    step = nice_step(high - low, count)
    first = math.ceil(low / step - 1e-9)
    values = [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]
    return values, step_decimals(step)


def step_decimals(step: float) -> int:
    """Decimals that multiples of a step need: 0.25 -> 2."""
    for decimals in range(12):
        if abs(round(step, decimals) - step) < step * 1e-6:
            return decimals
    return 12


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Values for a logarithmic axis over positive bounds: decades, or 1-2-5, or even ones if the range is short."""
    if high / low < 5:
        return [v for v in linear_ticks(low, high, count)[0] if v > 0]
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        values = [f * 10.0**e for e in exponents for f in factors if low <= f * 10.0**e <= high]
        if len(values) <= count + 2:
            return values
    skip = -(-len(values) // max(count, 1))
    return values[::skip]


def robust_range(values: Array, share: float = 0.004) -> tuple[float, float] | None:
    """The range that holds nearly all finite values: single spikes must not flatten a curve."""
    if len(values) > SAMPLE_FOR_RANGE:
        values = values[:: len(values) // SAMPLE_FOR_RANGE]
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return None
    if len(finite) < 100:
        return float(finite.min()), float(finite.max())
    low, high = np.quantile(finite, (share, 1 - share))
    return float(low), float(high)


def merge_ranges(ranges: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    """The range around all that are there."""
    known = [r for r in ranges if r is not None]
    return (min(r[0] for r in known), max(r[1] for r in known)) if known else None


def padded_range(low: float, high: float, share: float = 0.06) -> tuple[float, float]:
    """A little air; a flat line gets room on both sides."""
    span = high - low
    air = span * share if span > 0 else max(abs(high) * 0.1, 1e-12)
    return low - air, high + air


def thin(x: Array, y: Array, seen: tuple[float, float], buckets: int, *, mean: bool = False) -> tuple[Array, Array]:
    """What a line through the points looks like at a resolution: each bucket keeps its smallest and its largest value, or its mean.

    Args:
        x: [N] ascending.
        y: [N]; a bucket without a finite value stays a gap.
        seen: The x that are seen; one point beyond each end is kept, so that the line reaches the edges.
        buckets: Columns of pixels.
        mean: One point per bucket, for a series that is smoothed anyway.

    Returns:
        At most three points per bucket, or the points themselves where there are no more.
    """
    start = max(0, int(np.searchsorted(x, seen[0])) - 1)
    end = min(len(x), int(np.searchsorted(x, seen[1], side="right")) + 1)
    x, y = x[start:end], y[start:end]
    if len(x) <= (1 if mean else 3) * buckets:
        return x, y
    size = -(-len(x) // buckets)
    padded = np.full(-(-len(x) // size) * size, np.nan)
    padded[: len(y)] = np.where(np.isfinite(y), y, np.nan)
    columns = padded.reshape(-1, size)
    if mean:
        known = np.isfinite(columns)
        counts = known.sum(axis=1)
        sums = np.where(known, columns, 0.0).sum(axis=1)
        return x[::size], np.divide(sums, counts, out=np.full(len(columns), np.nan), where=counts > 0)
    result = np.stack([np.fmin.reduce(columns, axis=1), np.fmax.reduce(columns, axis=1)], axis=1)
    falling = columns[:, 0] > columns[:, -1]
    result[falling] = result[falling, ::-1]
    return np.repeat(x[::size], 2), result.reshape(-1)


def nearest_index(x: Array, at: float) -> int:
    """Index of the ascending ``x`` nearest to a place; x must not be empty."""
    right = int(np.searchsorted(x, at))
    if right == 0:
        return 0
    if right == len(x):
        return len(x) - 1
    return right if x[right] - at < at - x[right - 1] else right - 1


def trend(values: Array) -> Trend:
    """Where the last quarter goes compared with the quarter before, beyond a hundredth of the whole range."""
    finite = values[np.isfinite(values)]
    if len(finite) < 4:
        return "unknown"
    quarter = max(1, len(finite) // 4)
    change = float(finite[-quarter:].mean() - finite[-2 * quarter : -quarter].mean())
    span = float(finite.max() - finite.min())
    if span == 0 or abs(change) < span * 0.01:
        return "level"
    return "rising" if change > 0 else "falling"


def spread(places: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Move marks apart so that neighbours keep a distance, each as near to its place as that allows, inside bounds.

    Args:
        places: Wanted centres, any order.
        distance: Smallest distance of two centres.
        low: Smallest centre.
        high: Largest centre.
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    result = list(places)
    floor = low
    for i in order:
        result[i] = max(result[i], floor)
        floor = result[i] + distance
    ceiling = high
    for i in reversed(order):
        result[i] = min(result[i], ceiling)
        ceiling = result[i] - distance
    return result
