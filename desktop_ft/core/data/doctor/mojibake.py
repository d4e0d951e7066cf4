"""Text whose bytes were read in the wrong encoding, and the repair where the way back is exact. Pure."""

# ruff: noqa: E501, RUF001 (lists of words and patterns in many languages read better whole)

from __future__ import annotations

import re
from typing import Final

_UNDEFINED: Final = frozenset({0x81, 0x8D, 0x8F, 0x90, 0x9D})
"""Bytes to which cp1252 gives no character; programs then show the control character of the same number."""


def _as_read(byte: int, encoding: str) -> str:
    return chr(byte) if encoding == "cp1252" and byte in _UNDEFINED else bytes([byte]).decode(encoding)


def _class_of(first: int, last: int, encoding: str) -> str:
    """The characters that the bytes become, and for cp1252 also those of Latin-1, as the inside of a character class."""
    found = {_as_read(byte, encoding) for byte in range(first, last + 1) if byte != 0x98 or encoding != "cp1251"}
    if encoding == "cp1252":
        found |= {chr(byte) for byte in range(first, last + 1)}
    return "".join(re.escape(character) for character in sorted(found))


_NEXT: Final = f"[{_class_of(0x80, 0xBF, 'cp1252')}]"
_WESTERN: Final = re.compile(
    f"(?:[{_class_of(0xC2, 0xDF, 'cp1252')}]{_NEXT}|[{_class_of(0xE0, 0xEF, 'cp1252')}]{_NEXT}{{2}}|[{_class_of(0xF0, 0xF4, 'cp1252')}]{_NEXT}{{3}})"
)
"""One character of UTF-8 read as cp1252 or Latin-1."""
_RUN: Final = re.compile(f"(?:{_WESTERN.pattern})+")
_CYRILLIC: Final = re.compile(f"(?:[РС][{_class_of(0x80, 0xBF, 'cp1251')}]){{3,}}")
"""Cyrillic of UTF-8 read as cp1251: three characters or more, for two may be the beginning of a word."""
_MAC: Final = re.compile("‚Ä[ôúùìî¶¢òú]|(?<=[a-z])√[©®†°¢£¶ß™´¨ºª≠±]")
_CUT_BACK: Final = re.compile("(?<=[a-zß-ÿ])[ÃÂ](?![A-Za-zÀ-ÿ])")
"""A capital with a sign inside a word in small letters: what is left of a sequence whose second character was lost."""
_PUNCTUATION: Final = frozenset("\u00a0…‘’“”„«»‹›–—•™®°ºª²³¹·")
"""Signs that may follow a word in honest text, so that "MAÇÃ”" is Portuguese in capitals and no broken Ô."""
_ABOUT_ENCODINGS: Final = re.compile(
    r"\b(?:mojibake|encod\w*|decod\w*|utf-?8|latin-?1|cp1252|windows-1252|charsets?|unicode|u\+fffd)\b", re.IGNORECASE
)
_MOST_QUOTED: Final = 6
"""A text about encodings shows a few broken characters on purpose."""
_MOST_ROUNDS: Final = 3
"""Text may have been broken twice."""


def has_mojibake(text: str) -> bool:
    """Whether text is broken: UTF-8 read as cp1252, Latin-1, cp1251 or Mac Roman, or characters that were lost for good.

    French, Portuguese, Vietnamese and others use the same characters; what counts is that they stand as no spelling has them, and that
    reading them the right way gives a likely character. Text about encodings may show a few.
    """
    if text.isascii():
        return False
    count = text.count("\ufffd") + sum(1 for _ in _CUT_BACK.finditer(text)) + _num_broken(text)
    return count > 0 and (count > _MOST_QUOTED or _ABOUT_ENCODINGS.search(text) is None)


def repair_mojibake(text: str) -> str:
    """Read broken characters the right way, where writing them and reading them wrongly again gives the very same text."""
    if not has_mojibake(text):
        return text
    for _ in range(_MOST_ROUNDS):
        better = _MAC.sub(lambda found: _again(found.group(), "mac_roman"), text)
        better = _CYRILLIC.sub(lambda found: _again(found.group(), "cp1251"), better)
        better = _RUN.sub(lambda found: _western(found.group()) if _is_broken(found) else found.group(), better)
        if better == text:
            break
        text = better
    return text


def _num_broken(text: str) -> int:
    return (
        sum(1 for found in _RUN.finditer(text) if _is_broken(found))
        + sum(1 for found in _CYRILLIC.finditer(text) if _again(found.group(), "cp1251") != found.group())
        + sum(1 for found in _MAC.finditer(text) if _again(found.group(), "mac_roman") != found.group())
    )


def _is_broken(found: re.Match[str]) -> bool:
    """Whether a run of characters is UTF-8 read wrongly rather than a word's end and what follows it."""
    run, text = found.group(), found.string
    better = _western(run)
    if better == run or not _is_likely(better):
        return False
    before = text[found.start() - 1] if found.start() else " "
    after = text[found.end()] if found.end() < len(text) else " "
    if len(better) > 1 or any(sign not in _PUNCTUATION for sign in run[1:]) or after.islower():
        return True
    if before.isalpha():
        return before.isupper() != run[0].isupper()
    return run[0] in "ÂÃ" and (before.isspace() or before.isdigit())


def _is_likely(better: str) -> bool:
    """Whether what comes out is what people write: single characters of other alphabets are chance."""
    if any("\u0080" <= character < "\u00a0" for character in better):
        return False
    strange = [character for character in better if not _is_common(character)]
    return not strange or len(better) > 2


def _is_common(character: str) -> bool:
    code = ord(character)
    return (
        0xA0 <= code < 0x180  # Latin
        or 0x1E00 <= code < 0x2BFF  # Vietnamese, punctuation, currency, arrows, signs
        or 0x3000 <= code < 0xD7A4  # Chinese, Japanese, Korean
        or 0xFB00 <= code < 0xFB10
        or 0xFE00 <= code < 0xFFFE  # byte order mark, full width
        or code >= 0x1D400  # letters of mathematics, emoji
    )


def _western(run: str) -> str:
    """A run read as UTF-8; unchanged where its bytes are none."""
    data = bytearray()
    for character in run:
        data += character.encode("latin-1") if ord(character) < 256 else character.encode("cp1252")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return run


def _again(run: str, encoding: str) -> str:
    try:
        return run.encode(encoding).decode("utf-8")
    except UnicodeError:
        return run
