"""Lengths of examples in tokens: percentiles and a histogram. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NUM_BINS = 32


@dataclass(frozen=True)
class Lengths:
    """Token counts of a file's examples.

    Attributes:
        num_examples: How many were measured.
        minimum: Shortest.
        median: Half are at most this long.
        p95: 95 of 100 are at most this long.
        maximum: Longest.
        total: All tokens.
        bin_edges: Edges of the histogram's bins in tokens, ascending, one more than ``counts``; the last bin includes its upper edge.
        counts: Examples in each bin.
        max_length: The limit that was asked about, or None.
        num_over: Examples longer than it.
    """

    num_examples: int
    minimum: int
    median: int
    p95: int
    maximum: int
    total: int
    bin_edges: tuple[int, ...]
    counts: tuple[int, ...]
    max_length: int | None
    num_over: int

    def to_dict(self) -> dict[str, object]:
        """The shape under ``lengths`` in ``data inspect --json``."""
        return {
            "num_examples": self.num_examples,
            "min": self.minimum,
            "median": self.median,
            "p95": self.p95,
            "max": self.maximum,
            "mean": self.total / self.num_examples,
            "total": self.total,
            "histogram": {"bin_edges": list(self.bin_edges), "counts": list(self.counts)},
            "max_length": self.max_length,
            "num_over": self.num_over,
        }


def measure(counts: Sequence[int], max_length: int | None) -> Lengths | None:
    """Summarise token counts.

    Returns:
        The summary, or None if there is nothing to measure.
    """
    if not counts:
        return None
    ordered = sorted(counts)
    width = max(1, math.ceil((ordered[-1] - ordered[0]) / NUM_BINS))
    num_bins = max(1, math.ceil((ordered[-1] - ordered[0]) / width))
    bins = [0] * num_bins
    for count in ordered:
        bins[min((count - ordered[0]) // width, num_bins - 1)] += 1
    return Lengths(
        num_examples=len(ordered),
        minimum=ordered[0],
        median=_percentile(ordered, 0.5),
        p95=_percentile(ordered, 0.95),
        maximum=ordered[-1],
        total=sum(ordered),
        bin_edges=tuple(ordered[0] + width * index for index in range(num_bins + 1)),
        counts=tuple(bins),
        max_length=max_length,
        num_over=0 if max_length is None else sum(count > max_length for count in ordered),
    )


def _percentile(ordered: Sequence[int], share: float) -> int:
    """Nearest-rank percentile."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
