"""Rows out of files of lines: JSON lines, CSV, TSV and plain text. `json_stream` reads JSON documents.

Every reader yields numbered rows with their places, and goes on from a place that it gave; a row that cannot be read is a `BadRow`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final, cast

from desktop_ft.core.data.fingerprint import unreadable_file
from desktop_ft.core.data.lines import FIRST, Line, lines_of
from desktop_ft.core.data.rows import (
    MAX_COLUMNS,
    MAX_ROW_BYTES,
    TOO_DEEP,
    TOO_LONG,
    BadRow,
    Place,
    Read,
    RowStream,
    kind_of,
)

_DELIMITERS: Final = ",;\t|"
_STATED: Final = re.compile(r"sep=(.)\s*")
"""The line that Excel puts before the header to state the delimiter."""
_MOST_LOOKED_AT: Final = 16 * 2**20
"""Characters of a plain text in which a blank line is looked for."""


def json_line_rows(path: Path, start: Place = FIRST) -> RowStream:
    """One JSON object per line; blank lines are skipped, but counted."""
    with lines_of(path, start) as lines:
        for place, line in lines:
            if isinstance(line, BadRow):
                yield Read(place, line)
            elif line.strip():
                yield Read(place, json_row(line))


def csv_rows(path: Path, delimiter: str | None, start: Place = FIRST) -> RowStream:
    """Rows under a header, which is not counted. Without a delimiter, the header decides between comma, semicolon, tab and bar."""
    csv.field_size_limit(MAX_ROW_BYTES)
    with lines_of(path, newline="") as lines:
        source = _CsvLines(path, lines)
        first = source.peek()
        if delimiter is None and (stated := _STATED.fullmatch(first)):
            delimiter = stated.group(1)
            next(source)
            first = source.peek()
        delimiter = delimiter or _delimiter_of(first)
        reader = csv.reader(source, delimiter=delimiter, strict=True)
        header = _csv_header(path, reader)
        if start.offset <= 0:
            yield from _csv_body(path, delimiter, source, header, 1)
            return
    with lines_of(path, start, newline="") as lines:
        yield from _csv_body(path, delimiter, _CsvLines(path, lines), header, start.number)


def plain_text_rows(path: Path, start: Place = FIRST) -> RowStream:
    """Examples as ``{"text": ...}``: paragraphs between blank lines if the file has a blank line inside, else one example per line."""
    is_in_paragraphs = _has_inner_blank_line(path)
    number = start.number - 1
    with lines_of(path, start) as lines:
        blocks = _paragraphs(lines) if is_in_paragraphs else ((line.place.offset, line.text) for line in lines)
        for offset, text in blocks:
            if isinstance(text, BadRow) or text.strip():
                number += 1
                yield Read(Place(number, offset), text if isinstance(text, BadRow) else {"text": text.strip()})


def json_row(text: str) -> dict[str, object] | BadRow:
    """A row out of one JSON value."""
    try:
        return as_row(cast("object", json.loads(text)))
    except RecursionError:
        return BadRow(TOO_DEEP)
    except ValueError as error:
        return BadRow(f"it is not whole JSON: {error}.")


def as_row(item: object) -> dict[str, object] | BadRow:
    """A row is an object."""
    if isinstance(item, dict):
        return cast("dict[str, object]", item)
    return BadRow(f"it is {kind_of(item)}, not an object with named columns.")


class _CsvLines(Iterator[str]):
    """Lines for the csv module, the length of a row bounded."""

    def __init__(self, path: Path, lines: Iterator[Line]) -> None:
        self._path = path
        self._lines = lines
        self._waiting: Line | None = None
        self._row_total = 0
        self.problem: BadRow | None = None

    def peek(self) -> str:
        """The next line without taking it; empty at the end and where it cannot be read."""
        if self._waiting is None:
            self._waiting = next(self._lines, None)
        return self._waiting.text if self._waiting is not None and isinstance(self._waiting.text, str) else ""

    def start_row(self) -> int:
        """Where the next row begins; its length and what is wrong with it are counted from here."""
        self._row_total, self.problem = 0, None
        self.peek()
        return self._waiting.place.offset if self._waiting is not None else -1

    def __next__(self) -> str:
        self.peek()
        line, self._waiting = self._waiting, None
        if line is None:
            raise StopIteration
        if isinstance(line.text, BadRow):
            self.problem = line.text
            return "\n"
        self._row_total += len(line.text)
        if self._row_total > 2 * MAX_ROW_BYTES:
            limit = f"{2 * MAX_ROW_BYTES // 2**20} MiB"
            raise unreadable_file(self._path, f"one of its rows runs on for more than {limit}; a quote is not closed.")
        return line.text


def _delimiter_of(header: str) -> str:
    bare = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=bare.count)


def _csv_body(path: Path, delimiter: str, source: _CsvLines, header: list[str], number: int) -> RowStream:
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        place = Place(number, source.start_row())
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reader = csv.reader(source, delimiter=delimiter, strict=True)
            yield Read(place, source.problem or BadRow(f"it is not valid CSV: {error}."))
        else:
            if not cells and source.problem is None:
                continue
            yield Read(place, source.problem or _csv_row(header, cells))
        number += 1


def _csv_header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise unreadable_file(path, f"its header is not valid CSV: {error}.") from error
    if len(header) > MAX_COLUMNS:
        raise unreadable_file(path, f"it has {len(header)} columns; the limit is {MAX_COLUMNS}.")
    header = [name or f"column_{index}" for index, name in enumerate(header, start=1)]
    if len(set(header)) != len(header):
        repeated = next(name for name in header if header.count(name) > 1)
        raise unreadable_file(path, f"two columns of its header are called {repeated!r}.")
    return header


def _csv_row(header: list[str], cells: list[str]) -> dict[str, object] | BadRow:
    if len(cells) != len(header):
        return BadRow(f"it has {len(cells)} cells; the header has {len(header)}.")
    return dict(zip(header, cells, strict=True))


def _has_inner_blank_line(path: Path) -> bool:
    seen_text = False
    seen_blank = False
    looked_at = 0
    with lines_of(path) as lines:
        for _, line in lines:
            is_blank = isinstance(line, str) and not line.strip()
            if not is_blank and seen_blank:
                return True
            seen_text = seen_text or not is_blank
            seen_blank = seen_blank or (is_blank and seen_text)
            looked_at += len(line) if isinstance(line, str) else MAX_ROW_BYTES
            if looked_at > _MOST_LOOKED_AT:
                return False
    return False


def _paragraphs(lines: Iterator[Line]) -> Iterator[tuple[int, str | BadRow]]:
    """Blocks between blank lines, each with the offset of its first line."""
    block: list[str] = []
    size, offset = 0, -1
    problem: BadRow | None = None
    for (_, begins), line in chain(lines, [Line(Place(0, -1), "")]):
        if isinstance(line, str) and not line.strip():
            if block or problem:
                yield offset, problem or "\n".join(block)
            block, size, problem = [], 0, None
            continue
        if not block and problem is None:
            offset = begins
        if isinstance(line, BadRow):
            problem = line
        elif size + len(line) > MAX_ROW_BYTES:
            problem, block = BadRow(TOO_LONG), []
        else:
            size += len(line)
            block.append(line.rstrip("\r\n"))
