"""Calls of tools that cannot be read: the model would learn to write what no program understands. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, cast

from desktop_ft.core.data.doctor.prose import without_code
from desktop_ft.core.data.doctor.texts import Seen

_TAG: Final = re.compile(r"<(/?)(?:tool_calls?|function_calls?|functioncall|toolcall)>", re.IGNORECASE)
_MISTRAL: Final = re.compile(r"\[TOOL_CALLS\]\s{0,8}(?=[\[{])")
_NAMED: Final = re.compile(r"\s{0,40}<function=[\w.-]{1,128}>.{0,400000}</function>\s{0,40}$", re.DOTALL)
"""Calls whose arguments stand in tags of their own."""
_DECODER: Final = json.JSONDecoder()
_INDENT: Final = 200
_CODE: Final = re.compile(r"[{\[(\"=:]")
_MARKS: Final = ("tool", "function", "TOOL_CALLS", "Tool", "Function")


def has_bad_call(row: Seen) -> bool:
    """Whether a call in an answer, or beside one, cannot be read: broken JSON, no name, or a call that never ends."""
    texts = (*row.said, *row.rejected)
    return any(_is_bad_text(text) for text in texts if "<" in text or "[TOOL_CALLS]" in text) or any(
        not _is_call(call) for call in row.calls
    )


def _is_bad_text(text: str) -> bool:
    if not any(mark in text for mark in _MARKS):
        return False
    prose = without_code(text)
    tags = list(_TAG.finditer(prose))
    nexts: list[re.Match[str] | None] = [*tags[1:], None][: len(tags)]
    return any(_is_bad_block(prose, tag, after) for tag, after in zip(tags, nexts, strict=True) if not tag.group(1)) or any(
        not _begin_calls(prose, found.end()) for found in _MISTRAL.finditer(prose)
    )


def _is_bad_block(prose: str, tag: re.Match[str], after: re.Match[str] | None) -> bool:
    """Whether what follows a tag is a call that cannot be read; a mention of the tag in a sentence is none."""
    indent_from = max(0, tag.start() - _INDENT)
    begins_line = not prose[max(indent_from, prose.rfind("\n", indent_from, tag.start())) : tag.start()].strip()
    if after is None or not after.group(1):
        return prose[tag.end() : tag.end() + _INDENT].lstrip().startswith(("{", "["))
    inside = prose[tag.end() : after.start()]
    if _NAMED.match(inside):
        return False
    if not begins_line and _CODE.search(inside) is None:
        return False
    return not _are_calls(inside)


def _are_calls(inside: str) -> bool:
    """One call or a list of them, or one a line."""
    try:
        return _is_call_or_list(json.loads(inside))
    except (ValueError, RecursionError):
        lines = [line for line in inside.splitlines() if line.strip()]
        if len(lines) < 2:
            return False
    try:
        return all(_is_call(json.loads(line)) for line in lines)
    except (ValueError, RecursionError):
        return False


def _begin_calls(prose: str, at: int) -> bool:
    try:
        value, _ = _DECODER.raw_decode(prose, at)
    except (ValueError, RecursionError):
        return False
    return _is_call_or_list(value)


def _is_call_or_list(value: object) -> bool:
    if isinstance(value, list):
        calls = cast("list[object]", value)
        return bool(calls) and all(_is_call(call) for call in calls)
    return _is_call(value)


def _is_call(value: object) -> bool:
    """Whether a call has a name and arguments that are an object, or JSON of one."""
    if isinstance(value, str):
        try:
            return _is_call(json.loads(value)) if value.lstrip().startswith("{") else False
        except (ValueError, RecursionError):
            return False
    if not isinstance(value, Mapping):
        return _is_record(value)
    fields = cast("Mapping[str, object]", value)
    inner = fields.get("function")
    if isinstance(inner, Mapping):
        fields = cast("Mapping[str, object]", inner)
    name = fields.get("name") or (inner if isinstance(inner, str) else None)
    return isinstance(name, str) and bool(name.strip()) and _are_arguments(fields.get("arguments", fields.get("parameters", {})))


def _is_record(value: object) -> bool:
    """A call that is a record of ours, with a name and arguments."""
    name = getattr(value, "name", None)
    return isinstance(name, str) and bool(name) and _are_arguments(getattr(value, "arguments", None))


def _are_arguments(value: object) -> bool:
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except (ValueError, RecursionError):
            return False
    return value is None or isinstance(value, Mapping)
