"""A data file or folder as numbered rows, read as they are asked for and never more of them in memory.

`read_rows` in `read` makes a list of them; what only shows or passes through (views, conversion, training) takes the source.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from desktop_ft.core.data.fingerprint import missing_file, unreadable_file
from desktop_ft.core.data.folder import Parts, parts_of
from desktop_ft.core.data.json_stream import json_document_rows
from desktop_ft.core.data.lines import FIRST, read_encoding
from desktop_ft.core.data.packed import is_packed, unpacked_name
from desktop_ft.core.data.rows import BadRow, Place, Read, RowStream, problem_of
from desktop_ft.core.data.table_source import arrow_rows, parquet_rows
from desktop_ft.core.data.text_source import csv_rows, json_line_rows, plain_text_rows
from desktop_ft.core.errors import DesktopFtError

_Result = TypeVar("_Result")
_READERS: Final[dict[str, Callable[[Path, Place], RowStream]]] = {
    ".json": json_document_rows,
    ".jsonl": json_line_rows,
    ".ndjson": json_line_rows,
    ".csv": lambda path, start: csv_rows(path, None, start),
    ".tsv": lambda path, start: csv_rows(path, "\t", start),
    ".txt": plain_text_rows,
    ".parquet": parquet_rows,
    ".arrow": arrow_rows,
    ".feather": arrow_rows,
}
_TABLES: Final = (".parquet", ".arrow", ".feather")
TEXT_SUFFIXES: Final = tuple(suffix for suffix in _READERS if suffix not in _TABLES)
SUFFIXES: Final = (*TEXT_SUFFIXES, *_TABLES)


@dataclass(frozen=True)
class Mark:
    """Where reading can begin.

    Attributes:
        position: Rows before it, malformed ones included.
        part: Index of the file in the data set.
        place: In that file.
        numbers_before: What is added to a row's number in its file, so that numbers run on from file to file.
    """

    position: int
    part: int
    place: Place
    numbers_before: int


START: Final = Mark(0, 0, FIRST, 0)


@dataclass(frozen=True)
class Item:
    """A row with its number and where it begins."""

    mark: Mark
    number: int
    row: dict[str, object] | BadRow


class RowSource:
    """The rows of a file, or of a folder's files one after the other.

    Args:
        path: A file whose suffix (before .gz or .zst) says how it is read, or a folder.

    Raises:
        DesktopFtError: ``data_file_missing``, ``data_format_unknown``, and of a folder as `folder.parts_of`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir():
            self._parts = parts_of(path, SUFFIXES)
        else:
            _check_suffix(path)
            if not path.is_file():
                raise missing_file(path)
            self._parts = Parts((path,))

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read, in order."""
        return self._parts.files

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.files)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was guessed or chosen, in sentences.

        Raises:
            DesktopFtError: ``data_file_unreadable``.
        """
        first = self.files[0]
        guessed = "" if _suffix_of(first) in _TABLES else _guarded(first, lambda: read_encoding(first).note)
        return tuple(filter(None, (self._parts.note, guessed)))

    def __iter__(self) -> Iterator[tuple[int, dict[str, object] | BadRow]]:
        """Every row with its number, from 1: the line in files of JSON lines, the row elsewhere (a header does not count).

        Raises:
            DesktopFtError: ``data_file_unreadable`` or ``data_file_too_large``, once reading comes to it.
        """
        return ((item.number, item.row) for item in self.items())

    def items(self, start: Mark = START) -> Iterator[Item]:
        """The rows from a mark on, each with a mark of its own; numbers run on from file to file."""
        position, before, place = start.position, start.numbers_before, start.place
        for part in range(start.part, len(self.files)):
            path, number = self.files[part], place.number - 1
            for number, (row_place, row) in self._numbered(path, place):
                mark = Mark(position, part, row_place, before)
                yield Item(mark, before + number, row if len(self.files) == 1 else _named(row, number, path))
                position += 1
            before, place = before + number, FIRST

    def head(self, count: int) -> list[tuple[int, dict[str, object] | BadRow]]:
        """The first rows; no more than these are read."""
        return list(islice(self, count))

    def _numbered(self, path: Path, place: Place) -> Iterator[tuple[int, Read]]:
        suffix = _suffix_of(path)
        is_table = suffix in _TABLES
        stream = iter(_READERS[suffix](path, place))
        while (read := _guarded(path, lambda: next(stream, None))) is not None:
            row = read.row
            problem = None if isinstance(row, BadRow) else problem_of(row, is_measured=is_table)
            yield read.place.number, read if problem is None else Read(read.place, BadRow(problem))


def _guarded(path: Path, work: Callable[[], _Result]) -> _Result:
    """Turn what the operating system and the codecs raise into one error that names the file."""
    try:
        return work()
    except UnicodeDecodeError as error:
        raise unreadable_file(path, f"it is not valid {error.encoding} text at byte {error.start}.") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise unreadable_file(path, str(error) or type(error).__name__) from error


def _named(row: dict[str, object] | BadRow, number: int, path: Path) -> dict[str, object] | BadRow:
    """A malformed row of a folder says in which file it is."""
    return BadRow(f"(row {number} of {path.name}) {row.reason}") if isinstance(row, BadRow) else row


def _suffix_of(path: Path) -> str:
    return Path(unpacked_name(path)).suffix


def _check_suffix(path: Path) -> None:
    if _suffix_of(path) not in (TEXT_SUFFIXES if is_packed(path) else SUFFIXES):
        raise DesktopFtError(
            "data_format_unknown",
            "This kind of data file is not known",
            f"{path.name} ends in {''.join(path.suffixes[-2:]) or 'nothing'}.",
            f"Files may end in {', '.join(SUFFIXES)}; the text ones also in .gz or .zst.",
        )
