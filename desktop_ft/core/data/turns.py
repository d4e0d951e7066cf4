"""Turns of a conversation out of the shapes that files give them: role/content, from/value, strings that hold JSON, parts of text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from desktop_ft.core.data.read import malformed_row
from desktop_ft.core.data.records import Message
from desktop_ft.core.data.rows import has_bad_characters
from desktop_ft.core.errors import DesktopFtError

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}

Turns = Sequence[object] | None


def as_turns(value: object) -> Turns:
    """A list of turns, also out of a single turn or a string that holds JSON (a cell of a CSV file); None if it is neither."""
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:
        try:
            value = cast("object", json.loads(value))
        except (ValueError, RecursionError):
            return None
    if isinstance(value, dict):
        return [cast("object", value)]
    return cast("list[object]", value) if isinstance(value, list) else None


def holds_role_content(turns: Turns) -> bool:
    """Whether the first turn is spelled with role and content."""
    return _first_has(turns, "role", "content")


def holds_from_value(turns: Turns) -> bool:
    """Whether the first turn is spelled with from and value."""
    return _first_has(turns, "from", "value")


def speakers(turns: Sequence[object]) -> frozenset[str]:
    """Who speaks in the turns, as chat templates spell it; a turn whose role is not known gives ``unknown``."""
    roles = (cast("Mapping[str, object]", turn) if isinstance(turn, dict) else {} for turn in turns)
    names = (fields.get("role", fields.get("from")) for fields in roles)
    return frozenset(_ROLES.get(name.strip().lower(), "unknown") if isinstance(name, str) else "unknown" for name in names)


def to_messages(value: object, number: int, column: str) -> tuple[Message, ...]:
    """Messages out of a column.

    Args:
        value: What the column holds.
        number: The row's number, for errors.
        column: The role of the column, for errors.

    Raises:
        DesktopFtError: ``data_row_malformed``.
    """
    turns = as_turns(value)
    if not turns:
        raise malformed_row(number, f"{column} should be a list of turns with at least one turn.")
    return tuple(_message(turn, number, index) for index, turn in enumerate(turns, start=1))


def with_system(messages: tuple[Message, ...], system: object, number: int) -> tuple[Message, ...]:
    """Put a system column in front, if the row has one that says something and the turns have no system message."""
    if system in (None, "") or (messages and messages[0].role == "system"):
        return messages
    return (Message("system", to_text(system, number, "system")), *messages)


def to_text(value: object, number: int, column: str) -> str:
    """A string out of a column.

    Raises:
        DesktopFtError: ``data_row_malformed``.
    """
    if value is None:
        raise malformed_row(number, f"{column} is missing or null.")
    if isinstance(value, list):
        return _joined_parts(cast("list[object]", value), number, column)
    if not isinstance(value, str):
        raise malformed_row(number, f"{column} should be text and is {type(value).__name__}.")
    if has_bad_characters(value):
        raise malformed_row(number, f"{column} holds characters that are not valid Unicode.")
    return value


def require_answer(messages: tuple[Message, ...], number: int) -> tuple[Message, ...]:
    """The messages, if the assistant speaks in them.

    Raises:
        DesktopFtError: ``data_no_assistant_turn``.
    """
    if any(message.role == "assistant" for message in messages):
        return messages
    raise DesktopFtError(
        "data_no_assistant_turn",
        "A conversation has no answer to learn",
        f"Row {number} has {len(messages)} turns, none of them the assistant's.",
        "Add the assistant's answer to that row, or remove it.",
    )


def _first_has(turns: Turns, *names: str) -> bool:
    if not turns or not isinstance(turns[0], dict):
        return False
    return all(name in turns[0] for name in names)


def _message(turn: object, number: int, index: int) -> Message:
    if not isinstance(turn, dict):
        raise malformed_row(number, f"turn {index} is {type(turn).__name__}, not an object with role and content.")
    fields = cast("Mapping[str, object]", turn)
    role = fields.get("role", fields.get("from"))
    known = _ROLES.get(role.strip().lower()) if isinstance(role, str) else None
    if known is None:
        raise malformed_row(number, f"turn {index} has the role {role!r}; known are system, user, assistant, tool (also human, gpt).")
    content = fields["content"] if "content" in fields else fields.get("value")
    if content is None and fields.get("tool_calls"):
        raise malformed_row(number, f"turn {index} calls tools and says nothing; a turn needs text.")
    return Message(known, to_text(content, number, f"the content of turn {index}"))


def _joined_parts(parts: list[object], number: int, column: str) -> str:
    """Text in parts, as ``[{"type": "text", "text": ...}]``."""
    texts: list[str] = []
    for part in parts:
        fields = cast("Mapping[str, object]", part) if isinstance(part, dict) else {"text": part}
        text = fields.get("text")
        if not isinstance(text, str):
            raise malformed_row(number, f"{column} has a part that is not text ({fields.get('type', type(part).__name__)}).")
        texts.append(to_text(text, number, column))
    return "".join(texts)
