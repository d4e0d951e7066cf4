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
    "context": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "instruction": "user",
    "question": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "answer": "assistant",
    "response": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
    "ipython": "tool",
    "tool_response": "tool",
    "function_response": "tool",
}

Turns = Sequence[object] | None
_CALLS = ("function_call", "tool_call")
"""ShareGPT's roles of turns whose text is a call, as JSON."""
_SPEAKER = ("role", "from", "speaker", "author", "sender")
"""Names under which turns say who speaks, and below what is said; the first that is there counts."""
_WORDS = ("content", "value", "text", "message", "utterance")
_EXTRA = ("tool_calls", "tool_call_id", "name", "reasoning_content", "thinking")
"""What templates read of a turn besides; the rest of its fields (weights, ids) is not the model's business."""


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
    """Whether the first turn is spelled with role and content (or with the tools that it calls in place of the content)."""
    return _first_has(turns, "role", "content") or _first_has(turns, "role", "tool_calls")


def holds_from_value(turns: Turns) -> bool:
    """Whether the first turn is spelled in ShareGPT's way, with from and value, or in one of its variants."""
    if not turns or not isinstance(turns[0], dict):
        return False
    first = cast("Mapping[str, object]", turns[0])
    return not holds_role_content(turns) and any(name in first for name in _SPEAKER) and any(name in first for name in _WORDS)


def are_alternating(turns: Turns) -> bool:
    """Whether the turns are bare texts: the user's and the assistant's in turn."""
    return turns is not None and len(turns) >= 2 and len(turns) % 2 == 0 and all(isinstance(turn, str) for turn in turns)


def speakers(turns: Sequence[object]) -> frozenset[str]:
    """Who speaks in the turns, as chat templates spell it; a turn whose role is not known gives ``unknown``."""
    roles = (cast("Mapping[str, object]", turn) if isinstance(turn, dict) else {} for turn in turns)
    names = (_first_of(fields, _SPEAKER) for fields in roles)
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
    role = _first_of(fields, _SPEAKER)
    name = role.strip().lower() if isinstance(role, str) else ""
    known = _ROLES.get(name)
    if known is None:
        raise malformed_row(number, f"turn {index} has the role {role!r}; known are system, user, assistant, tool (also human, gpt).")
    content = _first_of(fields, _WORDS)
    if name in _CALLS:
        return Message("assistant", "", _extra({"tool_calls": _calls_of(content, number, index)}, number, index))
    extra = {key: fields[key] for key in _EXTRA if fields.get(key) not in (None, [], "")}
    if content is None and "tool_calls" in extra:
        content = ""
    return Message(known, to_text(content, number, f"the content of turn {index}"), _extra(extra, number, index))


def tools_of(value: object, number: int) -> str:
    """The tools that a row offers, as a JSON list, out of a list or a string that holds JSON; empty for none.

    Raises:
        DesktopFtError: ``data_row_malformed``.
    """
    if value in (None, "", []):
        return ""
    if isinstance(value, str):
        try:
            value = cast("object", json.loads(value))
        except (ValueError, RecursionError) as error:
            raise malformed_row(number, f"tools is text that is not whole JSON: {error}.") from error
    if value in (None, "", []):
        return ""
    if not isinstance(value, list):
        raise malformed_row(number, f"tools should be a list and is {type(value).__name__}.")
    return _json(value, number, "tools")


def _first_of(fields: Mapping[str, object], names: Sequence[str]) -> object:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _extra(fields: Mapping[str, object], number: int, index: int) -> str:
    if not fields:
        return ""
    calls = fields.get("tool_calls")
    if "tool_calls" in fields and not (isinstance(calls, list) and all(isinstance(call, dict) for call in cast("list[object]", calls))):
        raise malformed_row(number, f"turn {index} calls tools, and tool_calls is not a list of calls.")
    return _json(fields, number, f"turn {index}")


def _calls_of(content: object, number: int, index: int) -> list[object]:
    """The call that a ShareGPT turn of the role function_call holds as JSON."""
    text = to_text(content, number, f"the content of turn {index}")
    try:
        value = cast("object", json.loads(text))
    except (ValueError, RecursionError) as error:
        raise malformed_row(number, f"turn {index} calls a tool, and its text is not whole JSON: {error}.") from error
    calls = cast("list[object]", value) if isinstance(value, list) else [value]
    if not all(isinstance(call, dict) and "name" in call for call in calls) or not calls:
        raise malformed_row(number, f"turn {index} calls a tool without a name.")
    return [{"type": "function", "function": call} for call in calls]


def _json(value: object, number: int, what: str) -> str:
    """A JSON text that is equal for equal values. Without the nulls that tables of mixed rows put in, as TRL leaves them out."""
    try:
        text = json.dumps(_without_nulls(value), ensure_ascii=False, allow_nan=False, default=str)
    except (ValueError, TypeError, RecursionError) as error:
        raise malformed_row(number, f"{what} holds what JSON cannot: {error}.") from error
    if has_bad_characters(text):
        raise malformed_row(number, f"{what} holds characters that are not valid Unicode.")
    return text


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        fields = cast("Mapping[str, object]", value)
        return {name: _without_nulls(inner) for name, inner in fields.items() if inner is not None}
    return [_without_nulls(inner) for inner in cast("list[object]", value)] if isinstance(value, list) else value


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
