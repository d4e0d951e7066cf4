"""What a row means: name its format with the reason, and turn it into an example. No file access, no tokenizer.

A format's columns are roles (``messages``, ``prompt``, ``output`` ...) mapped to the names that the file uses; a person may map them
by hand. A row becomes the record that is natural to its format; `signals.adapt` makes of it what an objective learns from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from desktop_ft.core.data.conversion import (
    alpaca_example,
    messages_example,
    prompt_completion_example,
    qa_example,
    sharegpt_example,
    text_example,
)
from desktop_ft.core.data.conversion_judged import (
    as_label,
    kto_example,
    lacks_answer,
    preference_example,
    prompts_example,
    sharegpt_preference_example,
)
from desktop_ft.core.data.records import Example
from desktop_ft.core.data.turns import as_turns, holds_from_value, holds_role_content
from desktop_ft.core.errors import DesktopFtError

FormatName = Literal[
    "messages", "sharegpt", "alpaca", "prompt_completion", "qa", "text", "preference", "sharegpt_preference", "kto", "prompts"
]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)
AUTO = "auto"
_SAMPLED_ROWS = 200


@dataclass(frozen=True)
class Detection:
    """The format of a file.

    Attributes:
        format: One of `FORMATS`.
        reason: Why, in a sentence, with the share of rows that fit.
        columns: Role to column name, for the roles found.
    """

    format: str
    reason: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class _Spec:
    """How one format is recognised: the roles it needs and may have, with the names files give them, most usual first."""

    name: FormatName
    sentence: str
    needed: Mapping[str, Sequence[str]]
    convert: Callable[[Mapping[str, object], int], Example]
    optional: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    fits: Callable[[Mapping[str, object]], bool] = lambda _: True
    assumes: Callable[[Mapping[str, str], Sequence[Mapping[str, object]]], str] = lambda _columns, _rows: ""
    """What the detection took for granted, and how to say otherwise; told with the reason."""


def _assumed_marks(column: str, rows: Sequence[Mapping[str, object]]) -> str:
    """A mark that is a word or true and false says itself what it means; a number could be the class of something else."""
    if any(
        not isinstance(row.get(column), int | float) or isinstance(row.get(column), bool) for row in rows if row.get(column) is not None
    ):
        return ""
    return (
        f"It is assumed that 1 in {column} means a good answer and 0 a bad one. If {column} is a class of something else, choose "
        "prompt_completion as the format (data.format), which leaves it aside."
    )


_CHATS = ("messages", "conversations", "conversation", "chat", "dialogue", "dialog", "turns")
_PROMPTS = ("prompt", "question", "query", "problem", "instruction", *_CHATS)
_SPECS: tuple[_Spec, ...] = (
    _Spec(
        "sharegpt_preference",
        "turns with from/value, a chosen and a rejected answer",
        {"conversations": ("conversations", "conversation"), "chosen": ("chosen",), "rejected": ("rejected",)},
        sharegpt_preference_example,
        {"system": ("system",)},
        lambda row: holds_from_value(as_turns(row["conversations"])),
    ),
    _Spec(
        "preference",
        "a prompt, a chosen and a rejected answer",
        {"chosen": ("chosen",), "rejected": ("rejected",)},
        preference_example,
        {"prompt": ("prompt", "question", "instruction", *_CHATS), "input": ("input",), "system": ("system",)},
    ),
    _Spec(
        "messages",
        "a list of turns with role and content",
        {"messages": _CHATS},
        messages_example,
        {},
        lambda row: holds_role_content(as_turns(row["messages"])) and not lacks_answer(row["messages"]),
    ),
    _Spec(
        "sharegpt",
        "a list of turns with from and value",
        {"conversations": ("conversations", *_CHATS)},
        sharegpt_example,
        {"system": ("system",)},
        lambda row: holds_from_value(as_turns(row["conversations"])) and not lacks_answer(row["conversations"]),
    ),
    _Spec(
        "kto",
        "a prompt, an answer and a mark, good or bad",
        {
            "prompt": ("prompt", "question", "instruction"),
            "completion": ("completion", "response", "output", "answer"),
            "label": ("label", "is_good", "desirable", "thumbs", "feedback", "rating"),
        },
        kto_example,
        {"input": ("input",), "system": ("system",)},
        lambda row: as_label(row["label"]) is not None,
        lambda columns, rows: _assumed_marks(columns["label"], rows),
    ),
    _Spec(
        "alpaca",
        "an instruction and an output",
        {"instruction": ("instruction",), "output": ("output", "response", "answer", "completion")},
        alpaca_example,
        {"input": ("input", "context"), "system": ("system",), "history": ("history",)},
    ),
    _Spec(
        "prompt_completion",
        "a prompt and a completion",
        {"prompt": ("prompt", "input"), "completion": ("completion", "response", "output", "answer", "target")},
        prompt_completion_example,
    ),
    _Spec(
        "qa",
        "a question and an answer",
        {"question": ("question", "query"), "answer": ("answer", "response", "answers")},
        qa_example,
        {"system": ("system",)},
    ),
    _Spec("text", "a column of text", {"text": ("text", "content", "document")}, text_example),
    _Spec(
        "prompts",
        "a prompt without an answer to learn",
        {"prompt": _PROMPTS},
        prompts_example,
        {"answer": ("answer", "solution", "ground_truth", "target"), "input": ("input",), "system": ("system",)},
        lambda row: isinstance(row["prompt"], str) or lacks_answer(row["prompt"]),
    ),
)
_BY_NAME: dict[str, _Spec] = {spec.name: spec for spec in _SPECS}


def detect_format(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str] | None = None) -> Detection:
    """Name the format that most of the first rows fit.

    Args:
        rows: The rows, at least one.
        columns: Roles that a person mapped by hand; they go before the usual names.

    Raises:
        DesktopFtError: ``data_format_undetected`` if no format fits half of the rows.
    """
    sample = rows[:_SAMPLED_ROWS]
    names = tuple(dict.fromkeys(name for row in sample for name in row))
    for spec in _SPECS:
        found = _columns_for(spec, names, columns or {})
        if found is None:
            continue
        num_fitting = sum(_fits(spec, row, found) for row in sample)
        if num_fitting * 2 >= len(sample) and num_fitting > 0:
            listed = ", ".join(sorted(set(found.values())))
            reason = f"{num_fitting} of {len(sample)} rows have {spec.sentence} ({listed})."
            return Detection(spec.name, " ".join(filter(None, (reason, spec.assumes(found, sample)))), found)
    raise DesktopFtError(
        "data_format_undetected",
        "The format of the data is not clear",
        f"The columns are {', '.join(names[:20]) or 'none'}; they fit none of {', '.join(FORMATS)}.",
        "Name the format, and say which column holds what (prompt, completion ...).",
    )


def resolve_format(rows: Sequence[Mapping[str, object]], name: str, columns: Mapping[str, str]) -> Detection:
    """The format as the person stated it, or detected if it says ``auto``.

    Raises:
        DesktopFtError: ``data_format_undetected``, ``data_format_name_unknown``, ``data_columns_unknown`` or ``data_columns_missing``.
    """
    names = tuple(dict.fromkeys(column for row in rows[:_SAMPLED_ROWS] for column in row))
    _check_mapping(columns, names)
    if name == AUTO:
        return detect_format(rows, columns)
    spec = _spec(name)
    found = _columns_for(spec, names, columns)
    if found is None:
        missing = [role for role in spec.needed if role not in _found_roles(spec.needed, names, columns)]
        raise DesktopFtError(
            "data_columns_missing",
            "The data lacks columns that its format needs",
            f"Format {name} needs {', '.join(missing)}; the columns are {', '.join(names[:20])}.",
            "Map each missing role to a column, or choose another format.",
        )
    return Detection(spec.name, "As stated in the settings.", found)


def to_example(row: Mapping[str, object], number: int, format: str, columns: Mapping[str, str]) -> Example:  # noqa: A002 (the field's name in run.yaml)
    """Turn a row into an example.

    Args:
        row: The row.
        number: Its number as people count, from 1; every error names it.
        format: One of `FORMATS`.
        columns: Role to column name, as a `Detection` gives; a role that is missing here is looked up under its own name.

    Raises:
        DesktopFtError: ``data_row_malformed``, ``data_no_assistant_turn``, ``data_format_name_unknown``.
    """
    spec = _spec(format)
    by_role: dict[str, object] = {}
    for role in (*spec.needed, *spec.optional):
        name = columns.get(role, role)
        if name in row:
            by_role[role] = row[name]
    return spec.convert(by_role, number)


def roles_of(format: str) -> tuple[tuple[str, ...], tuple[str, ...]]:  # noqa: A002 (the field's name in run.yaml)
    """The roles that a format needs, and those that it may have besides.

    Raises:
        DesktopFtError: ``data_format_name_unknown``.
    """
    spec = _spec(format)
    return tuple(spec.needed), tuple(spec.optional)


def _spec(name: str) -> _Spec:
    spec = _BY_NAME.get(name)
    if spec is None:
        raise DesktopFtError(
            "data_format_name_unknown",
            "There is no data format of that name",
            f"The format is given as {name!r}.",
            f"Write one of auto, {', '.join(FORMATS)}.",
        )
    return spec


def _found_roles(wanted: Mapping[str, Sequence[str]], names: Sequence[str], by_hand: Mapping[str, str]) -> dict[str, str]:
    taken = set(by_hand.values())
    lowered = {name.lower(): name for name in reversed(names) if name not in taken}
    found: dict[str, str] = {}
    for role, usual in wanted.items():
        match = by_hand.get(role) or next((lowered[name] for name in usual if name in lowered), None)
        if match is not None:
            found[role] = match
    return found


def _columns_for(spec: _Spec, names: Sequence[str], by_hand: Mapping[str, str]) -> dict[str, str] | None:
    needed = _found_roles(spec.needed, names, by_hand)
    if len(needed) == len(spec.needed):
        return needed | _found_roles(spec.optional, names, by_hand)
    if spec.name == "text" and len(names) == 1 and not by_hand and names[0].lower() not in _PROMPTS:
        return {"text": names[0]}
    return None


def _fits(spec: _Spec, row: Mapping[str, object], columns: Mapping[str, str]) -> bool:
    by_role = {role: row.get(name) for role, name in columns.items()}
    if any(by_role[role] is None for role in spec.needed):
        return False
    if spec.name == "text" and not isinstance(by_role["text"], str):
        return False
    return spec.fits(by_role)


def _check_mapping(columns: Mapping[str, str], names: Sequence[str]) -> None:
    roles = {role for spec in _SPECS for role in (*spec.needed, *spec.optional)}
    unknown = [f"{role} -> {name}" for role, name in columns.items() if role not in roles or name not in names]
    if unknown:
        raise DesktopFtError(
            "data_columns_unknown",
            "The column mapping does not match the data",
            f"Not found: {', '.join(unknown)}. The columns are {', '.join(names[:20])}.",
            f"Map a role ({', '.join(sorted(roles))}) to a column of the file.",
        )
