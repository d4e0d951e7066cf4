"""Numbered lines of a text file with their places, never holding more than one row's limit."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from desktop_ft.core.data.encoding import SNIFFED_BYTES, Encoding, encoding_of
from desktop_ft.core.data.fingerprint import unreadable_file
from desktop_ft.core.data.packed import is_packed, open_bytes
from desktop_ft.core.data.rows import MAX_ROW_BYTES, NOT_UTF8, TOO_LONG, ZERO_BYTES, BadRow, Place

FIRST: Final = Place(1, 0)


class Line(NamedTuple):
    """One line with its end; a `BadRow` where it cannot be read."""

    place: Place
    text: str | BadRow


def read_encoding(path: Path) -> Encoding:
    """The encoding of a text file.

    Raises:
        DesktopFtError: ``data_file_unreadable`` if it is full of zero bytes.
    """
    with open_bytes(path) as file:
        encoding = encoding_of(file.read(SNIFFED_BYTES))
    if encoding is None:
        raise unreadable_file(path, "it holds binary data, not text.")
    return encoding


def can_go_to(path: Path, encoding: Encoding) -> bool:
    """Whether reading can begin at a place in the middle."""
    return encoding.has_byte_lines and not is_packed(path)


@contextmanager
def lines_of(path: Path, start: Place = FIRST, *, newline: str | None = None) -> Generator[Iterator[Line]]:
    """The lines from a place on; their numbers count every line, from 1.

    Args:
        path: The file.
        start: A place that an earlier line had.
        newline: As `open`: "" keeps the ends of lines as they are, None turns them into newlines where lines are decoded as a whole.
    """
    encoding = read_encoding(path)
    with open_bytes(path) as file:
        if encoding.has_byte_lines:
            file.seek(max(start.offset, encoding.mark_bytes)) if can_go_to(path, encoding) else file.read(encoding.mark_bytes)
            yield _byte_lines(file, encoding, start.number, can_go_to(path, encoding))
        else:
            file.read(encoding.mark_bytes)
            with io.TextIOWrapper(file, encoding.name, "surrogateescape", newline=newline) as text:
                yield _text_lines(text)


def _byte_lines(file: BinaryIO, encoding: Encoding, number: int, has_places: bool) -> Iterator[Line]:
    """Lines split before they are decoded."""
    name, offset = encoding.name, file.tell() if has_places else -1
    while data := file.readline(MAX_ROW_BYTES):
        place, length = Place(number, offset), len(data)
        if length == MAX_ROW_BYTES and not data.endswith(b"\n"):
            length += _skip_line(file)
            yield Line(place, BadRow(TOO_LONG))
        elif b"\0" in data:
            yield Line(place, BadRow(ZERO_BYTES))
        else:
            yield Line(place, _decoded(data, name))
        number += 1
        offset += length if has_places else 0


def _decoded(data: bytes, name: str) -> str | BadRow:
    try:
        return data.decode(name)
    except UnicodeDecodeError:
        return BadRow(NOT_UTF8 if name == "utf-8" else f"it is not valid {name} text.")


def _skip_line(file: BinaryIO) -> int:
    skipped = 0
    while part := file.readline(MAX_ROW_BYTES):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _text_lines(text: io.TextIOWrapper) -> Iterator[Line]:
    """Lines of an encoding in which a newline is no byte of its own."""
    number = 0
    while line := text.readline(MAX_ROW_BYTES):
        number += 1
        place = Place(number, -1)
        if len(line) == MAX_ROW_BYTES and not line.endswith("\n"):
            while (part := text.readline(MAX_ROW_BYTES)) and not part.endswith("\n"):
                pass
            yield Line(place, BadRow(TOO_LONG))
        elif "\0" in line:
            yield Line(place, BadRow(ZERO_BYTES))
        elif _is_broken(line):
            yield Line(place, BadRow(f"it is not valid {text.encoding} text."))
        else:
            yield Line(place, line)


def _is_broken(line: str) -> bool:
    return not line.isascii() and any("\ud800" <= character <= "\udfff" for character in line)
