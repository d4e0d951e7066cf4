"""What readers give: numbered rows, the ones that cannot be read in their places. Limits that hold for every kind of file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

MAX_ROW_BYTES: Final = 8 * 2**20
"""Longest row; a longer one is malformed. 8 MiB is some two million tokens: no model's window."""
MAX_COLUMNS: Final = 1024
"""Most columns that a row may have."""
TOO_LONG: Final = f"it is longer than the limit of {MAX_ROW_BYTES // 2**20} MiB."
NOT_UTF8: Final = "it is not valid UTF-8 text."
ZERO_BYTES: Final = "it holds zero bytes."
TOO_DEEP: Final = "it nests too deeply to be training data."


@dataclass(frozen=True)
class BadRow:
    """Stands where a row could not be read."""

    reason: str


class Place(NamedTuple):
    """Where a row begins, so that a reader can go on from there.

    Attributes:
        number: The row's number, from 1.
        offset: Bytes before it, or rows before it in a table; -1 where one cannot go there without reading what is before.
    """

    number: int
    offset: int


class Read(NamedTuple):
    """One row as it was read."""

    place: Place
    row: dict[str, object] | BadRow


RowStream = Iterator[Read]


def kind_of(item: object) -> str:
    """A JSON value's kind in words."""
    kinds = {"str": "a string", "list": "a list", "int": "a number", "float": "a number", "bool": "a truth value", "NoneType": "null"}
    return kinds.get(type(item).__name__, type(item).__name__)


def has_bad_characters(text: str) -> bool:
    """Whether the text has lone surrogates: bytes that were not UTF-8, or broken escapes. No tokenizer takes them."""
    if text.isascii():
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def problem_of(row: dict[str, object], *, is_measured: bool) -> str | None:
    """Why a row cannot be used whatever its format, or None.

    Args:
        row: The row.
        is_measured: Whether its size is to be looked at; rows of text are measured before they are parsed.
    """
    if not row:
        return "it has no columns."
    if len(row) > MAX_COLUMNS:
        return f"it has {len(row)} columns; the limit is {MAX_COLUMNS}."
    size = _size_of(row) if is_measured else 0
    if size > MAX_ROW_BYTES:
        return f"it holds {size / 2**20:.1f} MiB of text; the limit for one row is {MAX_ROW_BYTES // 2**20} MiB."
    return None


def _size_of(value: object) -> int:
    """Rough size in characters, without recursion: hostile rows nest deeply."""
    total = 0
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str | bytes):
            total += len(item)
        elif isinstance(item, dict):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        else:
            total += 8
    return total
