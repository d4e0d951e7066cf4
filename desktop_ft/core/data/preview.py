"""The first rows of a file as a format and a mapping of columns read them: what a person sees while saying what each column is."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from desktop_ft.core.data.formats import SAMPLED_ROWS, resolve_format, to_example
from desktop_ft.core.data.read import none_readable
from desktop_ft.core.data.records import Conversation, Example, Judged, Message, PlainText, Preference, PromptCompletion, Ranked, Task
from desktop_ft.core.data.rows import BadRow
from desktop_ft.core.data.source import RowSource
from desktop_ft.core.errors import DesktopFtError

_MOST_CHARACTERS = 600
"""Of each text so much is shown."""
_Part = str | tuple[Message, ...]
Lines = list[list[str]]


def preview_rows(path: Path, format_name: str, columns: Mapping[str, str], rows: int) -> dict[str, object]:
    """Read the first rows.

    Args:
        path: The file or folder.
        format_name: A format's name, or ``auto``.
        columns: Role to column name; roles that are missing are found by their usual names.
        rows: How many.

    Returns:
        ``format``, ``reason``, ``columns`` (role to column, those found included) and ``rows``: each ``{"row": 0-based index,
        "lines": [[what, text], ...], "problem": words or null}``. What is a speaker, ``prompt``, ``chosen``, ``score 4.5`` and so on.

    Raises:
        DesktopFtError: As `formats.resolve_format` and reading do.
    """
    sample = list(islice(RowSource(path), max(rows, SAMPLED_ROWS)))
    sound = [row for _, row in sample if not isinstance(row, BadRow)]
    if not sound:
        raise none_readable(path, [])
    detection = resolve_format(sound, format_name, columns)
    shown: list[dict[str, object]] = []
    for number, row in sample[:rows]:
        lines: Lines = []
        problem = row.reason if isinstance(row, BadRow) else None
        try:
            if not isinstance(row, BadRow):
                lines = _lines(to_example(row, number, detection.format, detection.columns))
        except DesktopFtError as error:
            problem = error.message
        shown.append({"row": number - 1, "lines": lines, "problem": problem})
    return {"format": detection.format, "reason": detection.reason, "columns": dict(detection.columns), "rows": shown}


def _lines(example: Example) -> Lines:
    match example:
        case Conversation(messages, tools):
            return [*([["tools", _cut(tools)]] if tools else []), *_part("", messages)]
        case PromptCompletion(prompt, completion):
            return [*_part("prompt", prompt), *_part("completion", completion)]
        case PlainText(text):
            return _part("text", text)
        case Preference(prompt, chosen, rejected):
            return [*_part("prompt", prompt), *_part("chosen", chosen), *_part("rejected", rejected)]
        case Judged(prompt, completion, is_good):
            return [*_part("prompt", prompt), *_part("good" if is_good else "bad", completion)]
        case Task(prompt, answer):
            return [*_part("prompt", prompt), *([] if answer is None else _part("answer", answer))]
        case Ranked(prompt, answers, scores):
            ordered = sorted(zip(scores, answers, strict=True), key=lambda pair: -pair[0])
            return [*_part("prompt", prompt), *(line for score, answer in ordered for line in _part(f"score {score:g}", answer))]


def _part(what: str, part: _Part) -> Lines:
    """Text as one line, turns as one line each; the answers' turns say whose they are by what they are."""
    if isinstance(part, str):
        return [[what, _cut(part)]] if part else []
    words = ((turn.role if what in ("", "prompt") else what, "\n".join(filter(None, (turn.content, turn.extra)))) for turn in part)
    return [[name, _cut(text)] for name, text in words]


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "…"
