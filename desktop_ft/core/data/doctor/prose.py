"""Text without its code and without what it quotes. Pure and linear."""

# ruff: noqa: RUF001 (lists of words and patterns in many languages read better whole)

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_FENCE: Final = re.compile(r"^[ \t]{0,8}(?:```|~~~)", re.MULTILINE)
_INLINE: Final = re.compile(r"`[^`\n]{1,400}`")
_QUOTED: Final = re.compile(
    r"\"[^\"\n]{1,400}\"|“[^”\n]{1,400}”|«[^»\n]{1,400}»|„[^“”\n]{1,400}[“”]|‘[^’\n]{1,400}’(?!\w)"
    r"|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w)){3,400}'(?!\w)|^[ \t]{0,4}>[^\n]{0,2000}",
    re.MULTILINE,
)


def without_code(text: str) -> str:
    """The text without fenced blocks and without what stands between backquotes; an open block reaches to the end."""
    if "```" not in text and "~~~" not in text:
        return _INLINE.sub(" ", text) if "`" in text else text
    return _INLINE.sub(" ", "\n".join(piece for piece, is_code in _pieces(text) if not is_code))


def without_quotes(text: str) -> str:
    """The text without what it quotes; all of it where nothing else would be left."""
    rest = _QUOTED.sub(" ", text)
    return rest if any(character.isalnum() for character in rest) else text


def outside_code(text: str, rewrite: Callable[[str], str]) -> str:
    """The text with all but its code rewritten."""
    made: list[str] = []
    for piece, is_code in _pieces(text):
        if is_code:
            made.append(piece)
            continue
        end = 0
        for found in _INLINE.finditer(piece):
            made += [rewrite(piece[end : found.start()]), found.group()]
            end = found.end()
        made.append(rewrite(piece[end:]))
    return "".join(made)


def _pieces(text: str) -> list[tuple[str, bool]]:
    """The text cut at its fences; each piece with whether it is code, fences included."""
    pieces: list[tuple[str, bool]] = []
    begin, is_code = 0, False
    for found in _FENCE.finditer(text):
        end = text.find("\n", found.end()) if is_code else found.start()
        end = len(text) if end < 0 else end
        if end > begin or not is_code:
            pieces.append((text[begin:end], is_code))
        begin, is_code = end, not is_code
    pieces.append((text[begin:], is_code))
    return [piece for piece in pieces if piece[0]]
