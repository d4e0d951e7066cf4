"""Chats written as one text: ``Human: ... Assistant: ...``, as Anthropic's HH-RLHF data have them. Pure text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from desktop_ft.core.data.records import Message, Role

_MARK: Final = re.compile(r"(?:\A|\n\n)[ \t]*(Human|Assistant):")
_ROLES: Final[Mapping[str, Role]] = {"Human": "user", "Assistant": "assistant"}


def is_transcript(text: str) -> bool:
    """Whether a text is a chat that the human begins."""
    mark = _MARK.search(text)
    return mark is not None and mark.group(1) == "Human" and not text[: mark.start()].strip()


def shared_prompt_length(chosen: str, rejected: str) -> int | None:
    """How much of two transcripts is the prompt that both answer: up to and with the last ``Assistant:`` that they share.

    Returns:
        Number of characters, or None where one is not a transcript or they share no question.
    """
    if not is_transcript(chosen) or not is_transcript(rejected):
        return None
    common = _common_length(chosen, rejected)
    ends = [mark.end() for mark in _MARK.finditer(chosen) if mark.group(1) == "Assistant" and mark.end() <= common]
    return ends[-1] if ends else None


def prompt_turns(text: str) -> tuple[Message, ...]:
    """The turns of a transcript that may end with an open ``Assistant:``, which is left out."""
    turns = _turns(text)
    return turns[:-1] if turns and turns[-1] == Message("assistant", "") else turns


def answer_turns(text: str) -> tuple[Message, ...]:
    """The turns of what stands behind ``Assistant:`` in a transcript."""
    return _turns(text if _MARK.match(text) else f"Assistant:{text}")


def _turns(text: str) -> tuple[Message, ...]:
    marks = list(_MARK.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return tuple(Message(_ROLES[mark.group(1)], text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True))


def _common_length(first: str, second: str) -> int:
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))
