"""Rows of a data file as the trainer will see them, token by token. Pure: reads files, changes none. No torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_ft.core.data.browse import rows_numbered
from desktop_ft.core.data.dataset import held_out_examples
from desktop_ft.core.data.fixes import DUPLICATES, EMPTY, MALFORMED, OVER_LENGTH, REPAIRS, keep
from desktop_ft.core.data.formats import AUTO, SAMPLED_ROWS, resolve_format
from desktop_ft.core.data.read import Rows, malformed_row, read_rows
from desktop_ft.core.data.records import Conversation, Example, Judged, Message, PlainText, Preference, PromptCompletion, Task
from desktop_ft.core.data.sequences import cut_answers, sequences_of
from desktop_ft.core.data.signals import SIGNALS, WHOLE_ANSWERS, adapt, natural_signal
from desktop_ft.core.data.source import RowSource
from desktop_ft.core.data.tokenise import ROW_ERRORS, TokenisedExample, naming_row, tokenise
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.config.objectives import ObjectiveName
    from desktop_ft.core.data.tokenizer import ModelTokenizer

_MOST_CUT_TOKENS = 200
"""Of what is cut off, so much is shown."""

_ROW_BY_ROW = frozenset({MALFORMED, EMPTY, OVER_LENGTH, *REPAIRS})
"""Fixes that look at each row by itself."""

View = dict[str, object]


def view_rows(  # noqa: PLR0913 (what a person may ask about a view)
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
    objective: ObjectiveName | None = None,
    eval_path: Path | None = None,
) -> list[View]:
    """The first rows as the trainer will see them; of answers with scores the first pair that is made of them.

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
        objective: Whose trainer. None: that for which the file is made, such as a comparing one for pairs.
        eval_path: The evaluation file, where the fixes leave out what stands in it too.

    Returns:
        Per row the shape that ``data view --json`` documents. Every row has ``row`` (its index), ``kind`` and ``is_left_out`` (whether
        training passes it over, because nothing of it would be learnt or, for a reward model, because it would be cut). By ``kind``:

        ``answer``: one sequence, as below.
        ``pair``: ``chosen`` and ``rejected``, each a sequence; ``messages``: the turns of their prompt.
        ``judgment``: one sequence, and ``is_good``.
        ``prompt``: ``input_ids``, ``text``, ``tokens``, ``special`` and ``messages`` of the prompt, never cut; ``answer``: the right
        answer, or None.

        A sequence has ``input_ids``, ``labels``, ``text``, ``num_supervised``, ``truncated``, ``ends_with_eos``, ``tokens`` (the text of
        each token), ``special`` (whether each is a special one), ``cut_tokens`` (the first tokens beyond the maximum length) and
        ``messages`` (role and content of each turn, the prompt's first; text has the role ``text``, ``prompt`` or ``completion``).

        Malformed rows are left out; `check.inspect_data` lists them. So are rows of which the objective learns nothing (a bad answer under
        supervised fine-tuning).

    Raises:
        DesktopFtError: ``data_row_malformed`` if none of the rows can be used; ``data_wrong_for_objective``; what the template refuses,
            with the row's number, unless the fixes leave such rows out.
    """
    first = read_rows(path, limit=SAMPLED_ROWS)
    detection = resolve_format(first.rows, format_name, columns or {})
    apart = () if eval_path is None else held_out_examples(eval_path, format_name, columns or {}, fixes)
    viewer = _Viewer(tokenizer, max_length, assistant_only_loss, objective)
    for opened in _growing(path, first, rows, fixes, only):
        kept = keep(opened, detection.format, detection.columns, fixes, apart)
        if opened.is_complete and not kept.examples and kept.malformed:
            raise malformed_row(kept.malformed[0].number, kept.malformed[0].reason, path)
        views = _views(kept.examples, viewer, rows, fixes, only)
        if len(views) >= rows or opened.is_complete:
            return views
    raise AssertionError(path)


def _growing(path: Path, first: Rows, rows: int, fixes: Collection[str], only: Collection[int] | None) -> Iterator[Rows]:
    """More and more of the file, as far as what is to be shown does not depend on what comes behind."""
    if only is not None and set(fixes) <= _ROW_BY_ROW:
        yield rows_numbered(RowSource(path), [index + 1 for index in only])
        return
    if only is None and set(fixes) <= {*_ROW_BY_ROW, DUPLICATES}:
        limit = max(rows, SAMPLED_ROWS)
        while True:
            opened = first if first.is_complete or limit == SAMPLED_ROWS else read_rows(path, limit=limit)
            yield opened
            if opened.is_complete:
                return
            limit *= 8
    yield read_rows(path)


def _views(
    examples: Sequence[tuple[int, Example]], viewer: _Viewer, rows: int, fixes: Collection[str], only: Collection[int] | None
) -> list[View]:
    views: list[View] = []
    for index, record in examples:
        if len(views) >= rows:
            break
        if only is not None and index not in only:
            continue
        try:
            with naming_row(index + 1):
                view = viewer.view(record, index + 1)
        except DesktopFtError as error:
            if MALFORMED in fixes and error.code in ROW_ERRORS:
                continue
            raise
        if view is not None and not (OVER_LENGTH in fixes and _is_truncated(view)):
            views.append({"row": index, **view})
    return views


@dataclass(frozen=True)
class _Viewer:
    """Shows a record for an objective."""

    tokenizer: ModelTokenizer
    max_length: int | None
    assistant_only_loss: bool
    objective: ObjectiveName | None

    def view(self, record: Example, number: int) -> View | None:
        """The row's shape without its index; None where the objective learns nothing of it."""
        signal = natural_signal(record) if self.objective is None else SIGNALS[self.objective]
        learnt = adapt(record, number, signal, as_chat=self.tokenizer.chat_template is not None)
        if not learnt:
            return None
        match learnt:
            case (Preference(prompt, chosen, rejected) as pair, *_):
                return self._pair(pair, prompt, chosen, rejected)
            case (Judged(prompt, chosen, _), Judged(_, rejected, _)):
                return self._pair(Preference(prompt, chosen, rejected), prompt, chosen, rejected)
            case (Judged(prompt, completion, is_good) as judged,):
                (sequence,), is_left_out = self._answers(judged, (_turns(prompt, completion),))
                return {"kind": "judgment", "is_good": is_good, "is_left_out": is_left_out, **sequence}
            case (Task() as task,):
                return self._task(task)
            case _:
                example = learnt[0]
                seen = self._tokenise(example, self.max_length)
                sequence = self._sequence(seen, self._tokenise(example, None) if seen.truncated else seen, _turns_of(example))
                return {"kind": "answer", "is_left_out": seen.num_supervised == 0, **sequence}

    def _pair(self, pair: Preference, prompt: _Part, chosen: _Part, rejected: _Part) -> View:
        (better, worse), is_left_out = self._answers(pair, (_turns(prompt, chosen), _turns(prompt, rejected)))
        is_left_out = is_left_out or pair.chosen == pair.rejected
        messages = _plain(_turns(prompt, ""))
        return {"kind": "pair", "is_left_out": is_left_out, "messages": messages, "chosen": better, "rejected": worse}

    def _answers(self, record: Preference | Judged, turns: Sequence[Sequence[Message]]) -> tuple[list[View], bool]:
        """The sequences of a record, and whether training passes it over."""
        found = sequences_of(record, self.tokenizer)
        seen = cut_answers(found, self.tokenizer, self.max_length)
        views = [self._sequence(*each) for each in zip(seen, found.answers, turns, strict=True)]
        fills = self.max_length is not None and len(found.prompt_ids) >= self.max_length
        is_cut = any(answer.truncated for answer in seen)
        return views, fills or (is_cut and self.objective in WHOLE_ANSWERS)

    def _task(self, task: Task) -> View:
        ids = sequences_of(task, self.tokenizer).prompt_ids
        return {
            "kind": "prompt",
            "is_left_out": self.max_length is not None and len(ids) > self.max_length,
            "input_ids": list(ids),
            "text": self.tokenizer.decode(ids),
            "tokens": [self.tokenizer.decode([token]) for token in ids],
            "special": [self.tokenizer.is_special(token) for token in ids],
            "messages": _plain(_turns(task.prompt, "")),
            "answer": task.answer,
        }

    def _tokenise(self, example: Example, max_length: int | None) -> TokenisedExample:
        return tokenise(example, self.tokenizer, max_length=max_length, assistant_only_loss=self.assistant_only_loss)

    def _sequence(self, seen: TokenisedExample, whole: TokenisedExample, turns: Sequence[Message]) -> View:
        decode = self.tokenizer.decode
        cut = whole.input_ids[len(seen.input_ids) :][:_MOST_CUT_TOKENS]
        return {
            "input_ids": list(seen.input_ids),
            "labels": list(seen.labels),
            "text": decode(seen.input_ids),
            "num_supervised": seen.num_supervised,
            "truncated": seen.truncated,
            "ends_with_eos": seen.ends_with_eos,
            "tokens": [decode([token]) for token in seen.input_ids],
            "special": [self.tokenizer.is_special(token) for token in seen.input_ids],
            "cut_tokens": [decode([token]) for token in cut],
            "messages": _plain(turns),
        }


_Part = str | tuple[Message, ...]


def _is_truncated(view: View) -> bool:
    """Whether a sequence of the row is cut, or its prompt does not fit."""
    sides = [view, view.get("chosen"), view.get("rejected")]
    is_cut = any(isinstance(side, dict) and side.get("truncated") for side in sides)
    return is_cut or (view["kind"] == "prompt" and bool(view["is_left_out"]))


def _turns_of(example: Example) -> Sequence[Message]:
    match example:
        case Conversation(messages, _):
            return messages
        case PlainText(text):
            return (Message("text", text),)
        case PromptCompletion(prompt, completion):
            return _turns(prompt, completion)
        case _:
            raise AssertionError(example)


def _turns(prompt: _Part, answer: _Part) -> tuple[Message, ...]:
    return (*_as_turns("prompt", prompt), *_as_turns("completion", answer))


def _as_turns(role: str, part: _Part) -> tuple[Message, ...]:
    if isinstance(part, str):
        return (Message(role, part),) if part else ()
    return part


def _plain(turns: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": "\n".join(filter(None, (turn.content, turn.extra)))} for turn in turns]
