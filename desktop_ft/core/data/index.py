"""Where the rows of a large data file begin, so that any of them is shown without reading what is before. Kept in the workspace.

An index belongs to the content it was made from: its name is made of path, size, time of change and the ends of each file, so a file
that changed has none. Building passes over the whole file once; it is done in the data worker, which can be killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from desktop_ft.core.data.rows import BadRow, Place
from desktop_ft.core.data.source import START, Item, Mark, RowSource
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_text
from desktop_ft.core.workspace import default_workspace

Progress = Callable[[int, int], None]
VERSION: Final = 1
ROWS_BETWEEN_MARKS: Final = 256
MOST_KEPT: Final = 100
"""Indices in the workspace; the oldest make way."""
_END_BYTES: Final = 64 * 2**10
_ROWS_BETWEEN_PROGRESS: Final = 4096


@dataclass(frozen=True)
class RowIndex:
    """What one pass over a data set found.

    Attributes:
        num_rows: Rows, malformed ones included.
        num_malformed: Rows that cannot be read.
        columns: Names in order of first appearance.
        marks: Where reading can begin, in order of position.
    """

    num_rows: int
    num_malformed: int
    columns: tuple[str, ...]
    marks: tuple[Mark, ...]

    def mark_before(self, position: int) -> Mark:
        """The last mark at or before a row."""
        found = bisect_right(self.marks, position, key=lambda mark: mark.position)
        return self.marks[found - 1] if found else START

    def mark_before_number(self, number: int) -> Mark:
        """The last mark at or before the row of a number."""
        found = bisect_right(self.marks, number, key=lambda mark: mark.numbers_before + mark.place.number)
        return self.marks[found - 1] if found else START


def build_index(source: RowSource, progress: Progress | None = None) -> RowIndex:
    """Pass over a data set once.

    Args:
        source: The rows.
        progress: Called with (bytes passed, bytes in all) now and then; what it raises ends the work. Packed files and tables count
            whole when they are done.

    Raises:
        DesktopFtError: As reading does.
    """
    sizes = [path.stat().st_size for path in source.files]
    marks: list[Mark] = []
    columns: dict[str, None] = {}
    num_rows, num_malformed, last_part = 0, 0, -1
    for item in source.items():
        mark = item.mark
        if mark.part != last_part:
            marks.append(Mark(mark.position, mark.part, Place(1, 0), mark.numbers_before))
            last_part = mark.part
        elif mark.position % ROWS_BETWEEN_MARKS == 0 and mark.place.offset > 0:
            marks.append(mark)
        if isinstance(item.row, BadRow):
            num_malformed += 1
        elif not columns.keys() >= item.row.keys():
            columns.update(dict.fromkeys(item.row))
        num_rows += 1
        if progress is not None and num_rows % _ROWS_BETWEEN_PROGRESS == 0:
            progress(sum(sizes[: mark.part]) + min(max(mark.place.offset, 0), sizes[mark.part]), sum(sizes))
    if progress is not None:
        progress(sum(sizes), sum(sizes))
    return RowIndex(num_rows, num_malformed, tuple(columns), tuple(marks))


def rows_from(source: RowSource, position: int, index: RowIndex | None) -> Iterator[tuple[int, Item]]:
    """The rows from a 0-based position on, each with its position."""
    start = index.mark_before(position) if index is not None else START
    for item in source.items(start):
        if item.mark.position >= position:
            yield item.mark.position, item


def row_slice(source: RowSource, start: int, stop: int, index: RowIndex | None) -> list[Item]:
    """The rows from one position up to another (exclusive)."""
    found: list[Item] = []
    if start < stop:
        for position, item in rows_from(source, start, index):
            found.append(item)
            if position + 1 >= stop:
                break
    return found


def kept_index(source: RowSource) -> RowIndex | None:
    """The index that was made for the data as they are now, if there is one."""
    try:
        content = cast("object", json.loads(_file_of(source).read_text(encoding="utf-8")))
        return _parsed(content)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def indexed(source: RowSource, progress: Progress | None = None) -> RowIndex:
    """The kept index, or a new one, which is then kept; a workspace that cannot be written costs only the next pass.

    Raises:
        DesktopFtError: As reading does.
    """
    kept = kept_index(source)
    if kept is not None:
        return kept
    index = build_index(source, progress)
    with contextlib.suppress(DesktopFtError, OSError):
        file = _file_of(source)
        write_text(file, _written(index))
        _make_room(file.parent)
    return index


def _written(index: RowIndex) -> str:
    marks = [[mark.position, mark.part, *mark.place, mark.numbers_before] for mark in index.marks]
    content = {
        "version": VERSION,
        "num_rows": index.num_rows,
        "num_malformed": index.num_malformed,
        "columns": index.columns,
        "marks": marks,
    }
    return json.dumps(content)


def _parsed(content: object) -> RowIndex | None:
    fields = cast("dict[str, object]", content) if isinstance(content, dict) else {}
    if fields.get("version") != VERSION:
        return None
    numbers = [[int(number) for number in mark] for mark in cast("list[list[int]]", fields["marks"])]
    marks = tuple(Mark(position, part, Place(number, offset), before) for position, part, number, offset, before in numbers)
    columns = tuple(str(name) for name in cast("list[object]", fields["columns"]))
    return RowIndex(cast("int", fields["num_rows"]), cast("int", fields["num_malformed"]), columns, marks)


def _file_of(source: RowSource) -> Path:
    return default_workspace().data_cache / f"{_stamp(source)}.json"


def _stamp(source: RowSource) -> str:
    """A name that changes with the content, without reading all of it."""
    digest = hashlib.sha256()
    for path in source.files:
        state = path.stat()
        with path.open("rb") as file:
            first = file.read(_END_BYTES)
            file.seek(max(0, state.st_size - _END_BYTES))
            last = file.read(_END_BYTES)
        digest.update(f"{path.absolute()}\0{state.st_size}\0{state.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
        digest.update(hashlib.sha256(first).digest() + hashlib.sha256(last).digest())
    return digest.hexdigest()[:40]


def _make_room(folder: Path) -> None:
    kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in kept[MOST_KEPT:]:
        path.unlink(missing_ok=True)
