"""Rows of a data file as the trainer will see them, token by token. Pure: reads files, changes none. No torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_ft.core.data.fixes import MALFORMED, OVER_LENGTH, keep
from desktop_ft.core.data.formats import AUTO, resolve_format
from desktop_ft.core.data.read import malformed_row, read_rows
from desktop_ft.core.data.records import Conversation, Example, Judged, Message, PlainText, Preference, PromptCompletion, Task
from desktop_ft.core.data.signals import adapt
from desktop_ft.core.data.tokenise import ROW_ERRORS, tokenise, tokenise_row
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.data.tokenizer import ModelTokenizer

_MOST_CUT_TOKENS = 200
"""Of what is cut off, so much is shown."""


def view_rows(
    path: Path,
    tokenizer: ModelTokenizer,
    max_length: int | None,
    rows: int,
    *,
    format_name: str = AUTO,
    columns: Mapping[str, str] | None = None,
    assistant_only_loss: bool = True,
    fixes: Collection[str] = (),
    only: Collection[int] | None = None,
) -> list[dict[str, object]]:
    """The first rows as the trainer will see them.

    Args:
        path: The file.
        tokenizer: The model's.
        max_length: Longest sequence in tokens, or None.
        rows: How many.
        format_name: A format's name, or ``auto``.
        columns: Roles mapped to columns by hand.
        assistant_only_loss: As in `tokenise.tokenise`.
        fixes: What a run would leave out is not shown.
        only: 0-based indices of the rows to show; the others are passed over.

    Returns:
        Per row the shape that ``data view --json`` documents; besides, ``row`` (its index), ``tokens`` (the text of each token),
        ``special`` (whether each is a special one), ``cut_tokens`` (the first tokens beyond the maximum length) and ``messages``
        (role and content of each turn; plain text has the role ``text``). Malformed rows are left out; `check.inspect_data` lists them.

    Raises:
        DesktopFtError: ``data_row_malformed`` if none of the rows can be used; what the template refuses, with the row's number, unless
            the fixes leave such rows out.
    """
    opened = read_rows(path, limit=None if fixes or only is not None else rows)
    detection = resolve_format(opened.rows, format_name, columns or {})
    kept = keep(opened, detection.format, detection.columns, fixes)
    if not kept.examples and kept.malformed:
        raise malformed_row(kept.malformed[0].number, kept.malformed[0].reason, path)
    views: list[dict[str, object]] = []
    for index, example in kept.examples:
        if len(views) >= rows:
            break
        if only is not None and index not in only:
            continue
        try:
            view = _view(example, index + 1, tokenizer, max_length, assistant_only_loss)
        except DesktopFtError as error:
            if MALFORMED in fixes and error.code in ROW_ERRORS:
                continue
            raise
        if not (OVER_LENGTH in fixes and view["truncated"]):
            views.append({"row": index, **view})
    return views


def _view(record: Example, number: int, tokenizer: ModelTokenizer, max_length: int | None, assistant_only_loss: bool) -> dict[str, object]:
    example = adapt(record, number, "answers", as_chat=tokenizer.chat_template is not None)[0]
    seen = tokenise_row(example, number, tokenizer, max_length=max_length, assistant_only_loss=assistant_only_loss)
    cut: tuple[int, ...] = ()
    if seen.truncated:
        whole = tokenise(example, tokenizer, max_length=None, assistant_only_loss=assistant_only_loss)
        cut = whole.input_ids[len(seen.input_ids) :][:_MOST_CUT_TOKENS]
    return {
        "input_ids": list(seen.input_ids),
        "labels": list(seen.labels),
        "text": tokenizer.decode(seen.input_ids),
        "num_supervised": seen.num_supervised,
        "truncated": seen.truncated,
        "ends_with_eos": seen.ends_with_eos,
        "tokens": [tokenizer.decode([token]) for token in seen.input_ids],
        "special": [tokenizer.is_special(token) for token in seen.input_ids],
        "cut_tokens": [tokenizer.decode([token]) for token in cut],
        "messages": [{"role": message.role, "content": message.content} for message in _turns(example)],
    }


def _turns(example: Example) -> tuple[Message, ...]:
    match example:
        case Conversation(messages):
            return messages
        case PromptCompletion(prompt, completion):
            return (*_as_turns("prompt", prompt), *_as_turns("completion", completion))
        case PlainText(text):
            return (Message("text", text),)
        case Preference(prompt, chosen, _):
            return (*_as_turns("prompt", prompt), *_as_turns("chosen", chosen))
        case Judged(prompt, completion, _):
            return (*_as_turns("prompt", prompt), *_as_turns("completion", completion))
        case Task(prompt, _):
            return _as_turns("prompt", prompt)


def _as_turns(role: str, part: str | tuple[Message, ...]) -> tuple[Message, ...]:
    return (Message(role, part),) if isinstance(part, str) else part
