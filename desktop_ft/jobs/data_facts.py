"""What the data worker found out about a file, typed. Must not import Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from desktop_ft.core.memory.row_lengths import RowLengths


@dataclass(frozen=True)
class DataFacts:
    """What the data worker found.

    Attributes:
        report: As ``data inspect --json``.
        view: As ``data view --json``; None until a model is known.
    """

    report: Mapping[str, object]
    view: Mapping[str, object] | None

    @property
    def num_usable(self) -> int:
        """Rows that can be trained on."""
        return cast("int", self.report["num_usable"])

    @property
    def findings(self) -> list[Mapping[str, object]]:
        """Worst first."""
        return cast("list[Mapping[str, object]]", self.report["findings"])

    def num_rows_of(self, code: str) -> int:
        """Rows that one finding names; 0 where it was not found."""
        return next((cast("int", finding["num_rows"]) for finding in self.findings if finding["code"] == code), 0)

    @property
    def rows(self) -> list[Mapping[str, object]]:
        """The first rows as they are trained on; empty until a model is known."""
        return cast("list[Mapping[str, object]]", self.view["rows"]) if self.view else []

    @property
    def columns(self) -> list[str]:
        """Names of the file's columns."""
        return cast("list[str]", self.report["columns"])

    @property
    def dropped(self) -> Mapping[str, int]:
        """Rows that the fixes left out, by fix."""
        return cast("Mapping[str, int]", self.report["dropped"])

    @property
    def row_lengths(self) -> RowLengths | None:
        """Tokens of the rows; None without a tokenizer."""
        return RowLengths.from_facts(cast("Mapping[str, object]", self.report.get("lengths") or {}))

    @property
    def changed(self) -> Mapping[str, int]:
        """Rows whose text the fixes mended, by fix."""
        return cast("Mapping[str, int]", self.report["changed"])

    @property
    def longest(self) -> int | None:
        """Tokens of the longest row; None without a tokenizer."""
        lengths = cast("Mapping[str, object]", self.report.get("lengths") or {})
        longest = lengths.get("max")
        return longest if isinstance(longest, int) and longest > 0 else None
