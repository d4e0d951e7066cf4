"""Which encoding a text file is in, from its first bytes: by its mark, by where its zero bytes are, or guessed and said. Pure."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

SNIFFED_BYTES: Final = 2**20
"""So much of a file is looked at."""
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""UTF-32's mark in little-endian order begins with UTF-16's, so it stands before it."""
_BINARY_SHARE: Final = 0.1
"""Share of zero bytes above which a file is no text; below, the row that holds them is malformed."""
_HALF_SHARE: Final = 0.2
"""Share of zero bytes at even or at odd places above which a file is UTF-16: Western text has nearly a half, markup alone a fifth."""
_HIGH: Final = re.compile(rb"[\x80-\xff]")
_LETTER_RUN: Final = re.compile(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]")
_LONE_RETURN: Final = re.compile(rb"\r(?![\n\r])")


@dataclass(frozen=True)
class Encoding:
    """How the bytes of a file become text.

    Attributes:
        name: Python's name of it.
        mark_bytes: Length of the byte order mark, which is no text.
        has_byte_lines: Whether lines can be split before they are decoded, so that places in the file are places in the text.
        note: What a person should know, in a sentence; empty where nothing was guessed.
    """

    name: str
    mark_bytes: int = 0
    has_byte_lines: bool = True
    note: str = ""


def encoding_of(start: bytes) -> Encoding | None:
    """The encoding of a file.

    A file that is not UTF-8 is taken as Windows-1252 (which holds Latin-1's letters) if its bytes above 127 look like letters inside
    words; single bad bytes elsewhere leave it UTF-8, so that only their rows are malformed.

    Args:
        start: Its first bytes, at most `SNIFFED_BYTES`.

    Returns:
        None for binary data.
    """
    for mark, name in _MARKS:
        if start.startswith(mark):
            is_utf8 = name == "utf-8"
            return Encoding(name, len(mark) if is_utf8 else 0, has_byte_lines=is_utf8 and _has_newlines(start))
    unmarked = _unmarked_utf16(start)
    if unmarked is not None:
        return Encoding(unmarked, 0, has_byte_lines=False, note=f"The text is read as {unmarked.upper()}, guessed: the file has no mark.")
    if start.count(0) > len(start) * _BINARY_SHARE:
        return None
    if _is_western(start):
        note = "The text is not UTF-8; it is read as Windows-1252 (Latin-1), guessed from its letters."
        return Encoding("cp1252", 0, _has_newlines(start), note)
    return Encoding("utf-8", 0, _has_newlines(start))


def _has_newlines(start: bytes) -> bool:
    """Whether lines end as on today's systems; a file with lone carriage returns is decoded before it is split."""
    return _LONE_RETURN.search(start.removesuffix(b"\r")) is None


def _unmarked_utf16(start: bytes) -> str | None:
    half = len(start) // 2
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if half < 2 or max(even, odd) < half * _HALF_SHARE or min(even, odd) > half * 0.02:
        return None
    name = "utf-16-le" if odd > even else "utf-16-be"
    text = start[: half * 2].decode(name, "replace")
    unlikely = sum(text.count(character) for character in ("\0", "\x01", "\x02", "\x03", "\ufffd"))
    return name if unlikely <= len(text) * 0.01 else None


def _is_western(start: bytes) -> bool:
    """Whether the bytes above 127 are no UTF-8 and stand inside words."""
    if not _breaks_utf8(start):
        return False
    high = len(_HIGH.findall(start))
    return len(_LETTER_RUN.findall(start)) * 2 >= high


def _breaks_utf8(start: bytes) -> bool:
    """Whether what is not ASCII is mostly not UTF-8; a character cut at the end is no break."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        text = start.decode("utf-8", "surrogateescape")
        broken = sum("\udc80" <= character <= "\udcff" for character in text if character > "\x7f")
        whole = sum(character > "\x7f" for character in text) - broken
        return broken > whole
    return False
