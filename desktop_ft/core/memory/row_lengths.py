"""How long the rows of a data set are, as far as the memory cares: the longest, whether all are equal, and how many a limit would cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True)
class RowLengths:
    """Token counts of the rows of a data set.

    Attributes:
        shortest: Tokens.
        longest: Tokens.
        bin_edges: Edges of a histogram's bins in tokens, ascending, one more than ``counts``.
        counts: Rows in each bin.
    """

    shortest: int
    longest: int
    bin_edges: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()

    @classmethod
    def from_facts(cls, lengths: Mapping[str, object]) -> RowLengths | None:
        """Of what ``data inspect`` says under ``lengths``; None where nothing was measured."""
        shortest, longest = lengths.get("min"), lengths.get("max")
        if not isinstance(shortest, int) or not isinstance(longest, int) or longest < 1:
            return None
        histogram = cast("Mapping[str, Sequence[int]]", lengths.get("histogram") or {})
        return cls(shortest, longest, tuple(histogram.get("bin_edges", ())), tuple(histogram.get("counts", ())))

    def are_equal(self, max_length: int) -> bool:
        """Whether all rows have the same length once they are cut, so that no batch has padding."""
        return min(self.shortest, max_length) == min(self.longest, max_length)

    def share_over(self, limit: int) -> float:
        """Share of the rows longer than a limit, 0 to 1; within a bin of the histogram they count as spread evenly."""
        whole = sum(self.counts)
        if not whole:
            return 1.0 if self.shortest > limit else 0.0
        over = 0.0
        for low, high, count in zip(self.bin_edges, self.bin_edges[1:], self.counts, strict=False):
            if low > limit:
                over += count
            elif high > limit:
                over += count * (high - limit) / max(1, high - low)
        return over / whole
