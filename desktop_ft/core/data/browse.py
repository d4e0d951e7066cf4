"""Rows out of the middle of a data file by their numbers, through its index where it is large."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from desktop_ft.core.data.index import RowIndex, indexed, kept_index
from desktop_ft.core.data.read import MalformedRow, Rows
from desktop_ft.core.data.rows import BadRow
from desktop_ft.core.data.source import START, Item, Mark, RowSource

LARGE_BYTES: Final = 64 * 2**20
"""From here on a file gets an index; a smaller one is read through in a second."""


def rows_numbered(source: RowSource, numbers: Collection[int]) -> Rows:
    """The rows of these numbers, those that do not exist left out.

    Raises:
        DesktopFtError: As reading does.
    """
    index = indexed(source) if source.size_bytes > LARGE_BYTES else kept_index(source)
    found = _items(source, sorted(set(numbers)), index)
    rows = [(item.number, item.row) for item in found if not isinstance(item.row, BadRow)]
    malformed = tuple(MalformedRow(item.number, item.row.reason) for item in found if isinstance(item.row, BadRow))
    columns = tuple(dict.fromkeys(name for _, row in rows for name in row))
    return Rows([row for _, row in rows], columns, len(found), malformed, tuple(number for number, _ in rows), True, source.notes)


def _items(source: RowSource, numbers: list[int], index: RowIndex | None) -> list[Item]:
    """One pass from each mark that has wanted rows behind it."""
    behind: dict[Mark, list[int]] = {}
    for number in numbers:
        behind.setdefault(START if index is None else index.mark_before_number(number), []).append(number)
    found: list[Item] = []
    for mark, wanted in behind.items():
        for item in source.items(mark):
            if item.number in wanted:
                found.append(item)
            if item.number >= wanted[-1]:
                break
    return found
