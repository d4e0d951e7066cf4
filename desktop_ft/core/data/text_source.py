"""Rows out of text files: JSON, JSON lines, CSV, TSV and plain text, plain or packed with gzip.

Every reader yields ``(number, row)``; a row that cannot be read is a `BadRow` in its place. UTF-8 with or without a byte order mark,
and UTF-16 by its mark. Line readers hold one row at a time; a JSON document is parsed whole and therefore has a smaller limit.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from desktop_ft.core.data.fingerprint import unreadable_file
from desktop_ft.core.errors import DesktopFtError

MAX_ROW_BYTES = 8 * 2**20
"""Longest row; a longer one is malformed. 8 MiB is some two million tokens: no model's window."""
MAX_COLUMNS = 1024
"""Most columns that a row may have."""
MAX_DOCUMENT_BYTES = 512 * 2**20
"""Longest JSON document after unpacking; it is parsed whole, which takes a few times its size in memory."""
MAX_TEXT_BYTES = 4 * 2**30
"""Most text read from a file of lines after unpacking; bounds the time that a gzip bomb takes."""
_SNIFFED_BYTES = 4096
_BINARY_SHARE = 0.1
"""Share of zero bytes above which a file is no text (UTF-16 without a mark has a half); below, the row that holds them is malformed."""


@dataclass(frozen=True)
class BadRow:
    """Stands where a row could not be read."""

    reason: str


RowStream = Iterator[tuple[int, dict[str, object] | BadRow]]


def json_line_rows(path: Path) -> RowStream:
    """One JSON object per line; blank lines are skipped, but counted."""
    with open_text(path) as file:
        for number, line in _lines(path, file):
            if isinstance(line, BadRow):
                yield number, line
            elif line.strip():
                yield number, _json_row(line)


def json_document_rows(path: Path) -> RowStream:
    """An array of objects, or an object with exactly one array of objects; JSON lines in a .json file are read as such."""
    text = _whole_text(path)
    try:
        document = cast("object", json.loads(text))
    except RecursionError as error:
        raise unreadable_file(path, "it nests too deeply to be training data.") from error
    except ValueError as error:
        if _is_json_lines(text):
            yield from json_line_rows(path)
            return
        raise unreadable_file(path, f"it is not whole JSON: {error}.") from error
    for number, item in enumerate(_records_of(document, path), start=1):
        yield number, _as_row(item)


def csv_rows(path: Path, delimiter: str | None) -> RowStream:
    """Rows under a header. Without a delimiter, the header decides between comma, semicolon and tab."""
    with open_text(path, newline="") as file:
        first = file.readline(MAX_ROW_BYTES)
        header_delimiter = delimiter or max(",;\t", key=first.count)
        lines = _CsvLines(path, file, first)
        reader = csv.reader(lines, delimiter=header_delimiter, strict=True)
        previous_limit = csv.field_size_limit(MAX_ROW_BYTES)
        try:
            yield from _csv_body(path, reader, lines)
        finally:
            csv.field_size_limit(previous_limit)


def plain_text_rows(path: Path) -> RowStream:
    """Examples as ``{"text": ...}``: paragraphs between blank lines if the file has a blank line inside, else one example per line."""
    if _has_inner_blank_line(path):
        yield from _paragraphs(path)
        return
    number = 0
    with open_text(path) as file:
        for _, line in _lines(path, file):
            if isinstance(line, BadRow) or line.strip():
                number += 1
                yield number, line if isinstance(line, BadRow) else {"text": line.strip()}


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Generator[TextIO]:
    """A text file, unpacked and decoded. Bytes that are not UTF-8 become lone surrogates, so that one bad row costs only itself.

    Raises:
        DesktopFtError: ``data_file_unreadable`` if it is full of zero bytes.
    """
    with _open_bytes(path) as file:
        start = file.read(_SNIFFED_BYTES)
        encoding, errors = _encoding_of(start)
        if encoding == "utf-8-sig" and start.count(0) > len(start) * _BINARY_SHARE:
            raise unreadable_file(path, "it holds binary data, not text.")
    with _open_bytes(path) as file, io.TextIOWrapper(file, encoding=encoding, errors=errors, newline=newline) as text:
        yield text


def has_bad_characters(text: str) -> bool:
    """Whether the text has lone surrogates: bytes that were not UTF-8, or broken escapes. No tokenizer takes them."""
    if text.isascii():
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _open_bytes(path: Path) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return cast("BinaryIO", gzip.open(path, "rb"))
    return path.open("rb")


def _encoding_of(start: bytes) -> tuple[str, str]:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "strict"
    return "utf-8-sig", "surrogateescape"


def _too_long(path: Path, limit_bytes: int) -> DesktopFtError:
    return DesktopFtError(
        "data_file_too_large",
        "The data file is too large to open",
        f"{path.name} holds more than {limit_bytes / 2**30:.1f} GiB of text.",
        "Split the file, or store it as JSON lines, which are read row by row.",
    )


def _lines(path: Path, file: TextIO) -> Iterator[tuple[int, str | BadRow]]:
    """Lines with their numbers, never holding more than one row's limit."""
    total = 0
    number = 0
    while line := file.readline(MAX_ROW_BYTES):
        number += 1
        total += len(line)
        if total > MAX_TEXT_BYTES:
            raise _too_long(path, MAX_TEXT_BYTES)
        if len(line) == MAX_ROW_BYTES and not line.endswith("\n"):
            total += _skip_line(path, file, total)
            yield number, BadRow(f"it is longer than the limit of {MAX_ROW_BYTES // 2**20} MiB.")
        elif has_bad_characters(line):
            yield number, BadRow("it is not valid UTF-8 text.")
        elif "\0" in line:
            yield number, BadRow("it holds zero bytes.")
        else:
            yield number, line


def _skip_line(path: Path, file: TextIO, before: int) -> int:
    skipped = 0
    while part := file.readline(MAX_ROW_BYTES):
        skipped += len(part)
        if before + skipped > MAX_TEXT_BYTES:
            raise _too_long(path, MAX_TEXT_BYTES)
        if part.endswith("\n"):
            break
    return skipped


def _json_row(line: str) -> dict[str, object] | BadRow:
    try:
        return _as_row(cast("object", json.loads(line)))
    except RecursionError:
        return BadRow("it nests too deeply to be training data.")
    except ValueError as error:
        return BadRow(f"it is not whole JSON: {error}.")


def _as_row(item: object) -> dict[str, object] | BadRow:
    if isinstance(item, dict):
        return cast("dict[str, object]", item)
    return BadRow(f"it is {_kind_of(item)}, not an object with named columns.")


def _kind_of(item: object) -> str:
    kinds = {"str": "a string", "list": "a list", "int": "a number", "float": "a number", "bool": "a truth value", "NoneType": "null"}
    return kinds.get(type(item).__name__, type(item).__name__)


def _whole_text(path: Path) -> str:
    with open_text(path) as file:
        text = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(text) > MAX_DOCUMENT_BYTES:
        raise _too_long(path, MAX_DOCUMENT_BYTES)
    return text if text.strip() else "[]"


def _is_json_lines(text: str) -> bool:
    lines = [line for line in text[:MAX_ROW_BYTES].splitlines() if line.strip()]
    return bool(lines) and not isinstance(_json_row(lines[0]), BadRow)


def _records_of(document: object, path: Path) -> list[object]:
    if isinstance(document, list):
        return cast("list[object]", document)
    if isinstance(document, dict):
        values = cast("dict[str, object]", document).values()
        lists = [cast("list[object]", value) for value in values if isinstance(value, list) and _holds_objects(value)]
        if len(lists) == 1:
            return [document] if _holds_turns(lists[0]) else lists[0]
        raise unreadable_file(path, f"it is one object with {len(lists)} lists of rows; training data is a list of rows.")
    raise unreadable_file(path, f"it is {_kind_of(document)}; training data is a list of rows.")


def _holds_objects(values: list[object]) -> bool:
    return bool(values) and isinstance(values[0], dict)


def _holds_turns(values: list[object]) -> bool:
    """Whether the list is one conversation, so that the object around it is one row."""
    first = cast("dict[str, object]", values[0])
    return {"role", "content"} <= first.keys() or {"from", "value"} <= first.keys()


class _CsvLines(Iterator[str]):
    """Lines for the csv module, bounded in length and in sum."""

    def __init__(self, path: Path, file: TextIO, first: str) -> None:
        self._path = path
        self._file = file
        self._waiting: str | None = first
        self._total = 0
        self._row_total = 0

    def start_row(self) -> None:
        """The reader begins a new row: its length is counted from here."""
        self._row_total = 0

    def __next__(self) -> str:
        line = self._waiting if self._waiting is not None else self._file.readline(MAX_ROW_BYTES)
        self._waiting = None
        self._total += len(line)
        self._row_total += len(line)
        if self._total > MAX_TEXT_BYTES:
            raise _too_long(self._path, MAX_TEXT_BYTES)
        if self._row_total > 2 * MAX_ROW_BYTES:
            limit = f"{2 * MAX_ROW_BYTES // 2**20} MiB"
            raise unreadable_file(self._path, f"one of its rows runs on for more than {limit}; a quote is not closed.")
        if not line:
            raise StopIteration
        return line


def _csv_body(path: Path, reader: Iterator[list[str]], lines: _CsvLines) -> RowStream:
    header = _csv_header(path, reader)
    number = 0
    while True:
        number += 1
        lines.start_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, BadRow(f"it is not valid CSV: {error}.")
            continue
        if not cells:
            number -= 1
            continue
        yield number, _csv_row(header, cells)


def _csv_header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise unreadable_file(path, f"its header is not valid CSV: {error}.") from error
    if len(header) > MAX_COLUMNS:
        raise unreadable_file(path, f"it has {len(header)} columns; the limit is {MAX_COLUMNS}.")
    if len(set(header)) != len(header):
        repeated = next(name for name in header if header.count(name) > 1)
        raise unreadable_file(path, f"two columns of its header are called {repeated!r}.")
    return header


def _csv_row(header: list[str], cells: list[str]) -> dict[str, object] | BadRow:
    if len(cells) != len(header):
        return BadRow(f"it has {len(cells)} cells; the header has {len(header)}.")
    if any(has_bad_characters(cell) for cell in cells):
        return BadRow("it is not valid UTF-8 text.")
    if any("\0" in cell for cell in cells):
        return BadRow("it holds zero bytes.")
    return dict(zip(header, cells, strict=True))


def _has_inner_blank_line(path: Path) -> bool:
    seen_text = False
    seen_blank = False
    with open_text(path) as file:
        for _, line in _lines(path, file):
            is_blank = isinstance(line, str) and not line.strip()
            if not is_blank and seen_blank:
                return True
            seen_text = seen_text or not is_blank
            seen_blank = seen_blank or (is_blank and seen_text)
    return False


def _paragraphs(path: Path) -> RowStream:
    number = 0
    block: list[str] = []
    size = 0
    problem: BadRow | None = None
    with open_text(path) as file:
        for _, line in chain(_lines(path, file), [(0, "")]):
            if isinstance(line, BadRow):
                problem = line
            elif line.strip():
                size += len(line)
                if size <= MAX_ROW_BYTES:
                    block.append(line.rstrip("\r\n"))
                else:
                    problem = BadRow(f"it is longer than the limit of {MAX_ROW_BYTES // 2**20} MiB.")
            elif block or problem:
                number += 1
                yield number, problem or {"text": "\n".join(block)}
                block, size, problem = [], 0, None
