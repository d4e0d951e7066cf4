"""The one road from a data file to what is trained on. The engine takes it, and so do previews, so both see the same ids."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_ft.core.data.fingerprint import Fingerprint, data_fingerprint, example_fingerprint, prompt_fingerprint
from desktop_ft.core.data.fixes import (
    LEAKAGE,
    MALFORMED,
    OVER_LENGTH,
    REPAIRS,
    Kept,
    Numbered,
    changed_note,
    dropped_note,
    keep,
    nothing_left,
)
from desktop_ft.core.data.formats import SAMPLED_ROWS, Detection, resolve_format, to_example
from desktop_ft.core.data.learning import Learning, in_order, learning_from
from desktop_ft.core.data.notes import row_notes, source_notes
from desktop_ft.core.data.prepared import NumberedExample, Options, Progress, Row, Steps, check_learnt, prepare
from desktop_ft.core.data.read import Rows, malformed_row, none_readable, read_rows
from desktop_ft.core.data.records import Example
from desktop_ft.core.data.rows import BadRow
from desktop_ft.core.data.signals import TOKENISED_HERE, Signal
from desktop_ft.core.data.source import RowSource
from desktop_ft.core.data.split import split_indices
from desktop_ft.core.data.tokenise import TokenisedExample
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.data.tokenizer import ModelTokenizer


@dataclass(frozen=True)
class TrainingData:
    """Both sides of a run's data.

    Attributes:
        train: Ids to learn from, where the signal is ``answers`` or ``text``; else empty, for TRL tokenises the examples itself.
        eval: Ids held out, likewise.
        format: The format of the training file.
        num_rows: Examples read, of both files; a pair that is learnt as two judgments counts twice.
        fingerprints: ``train`` and, if there is an evaluation file, ``eval``.
        num_masked: Examples left out because no token of them is learnt, or because their prompt does not fit.
        num_truncated: Examples that are cut off at the maximum length, of those that are kept.
        train_examples: What is learnt from, in file order; where pairs become judgments, the chosen answers before the rejected ones.
        eval_examples: What is held out, likewise.
        longest: Tokens of the longest training example after cutting: of a pair the longer answer with its prompt, of a task the prompt.
        notes: What a person should know, in sentences.
        lengths: Tokens of every training example, as `longest` counts them; ``eval_lengths``: of every one held out.
    """

    train: list[TokenisedExample]
    eval: list[TokenisedExample]
    format: str
    num_rows: int
    fingerprints: Mapping[str, Fingerprint]
    num_masked: int
    num_truncated: int
    train_examples: list[Example]
    eval_examples: list[Example]
    longest: int
    notes: tuple[str, ...]
    lengths: tuple[int, ...]
    eval_lengths: tuple[int, ...]


def load_training_data(  # noqa: PLR0913 (the fields of data in run.yaml)
    train: Path,
    eval: Path | None,  # noqa: A002 (the field's name in run.yaml)
    *,
    fraction: float,
    seed: int,
    format: str,  # noqa: A002 (likewise)
    columns: Mapping[str, str],
    tokenizer: ModelTokenizer,
    max_length: int | None,
    assistant_only_loss: bool,
    fixes: Collection[str] = (),
    progress: Progress | None = None,
    signal: Signal = "answers",
    whole_answers: bool = False,
) -> TrainingData:
    """Read, convert, split and tokenise.

    Args:
        train: The training file.
        eval: The evaluation file; without one, ``fraction`` of the training file is held out.
        fraction: Share to hold out, 0 for none; pairs, judgments and tasks of one prompt stay on one side.
        seed: Of the split.
        format: A format's name, or ``auto``.
        columns: Roles mapped to columns by hand.
        tokenizer: The model's.
        max_length: Longest sequence in tokens, or None. A prompt that the model is to answer is never cut: if it is longer, it is left out.
        assistant_only_loss: As in `tokenise.tokenise`.
        fixes: What to leave out, in both files (``data.fixes``).
        progress: Called with (examples done, examples in all), now and then and at the end; what it raises passes through.
        signal: What the objective learns from (`signals.SIGNALS`).
        whole_answers: Leave out pairs longer than ``max_length`` instead of cutting them, as a reward model's trainer does.

    Raises:
        DesktopFtError: Whatever is wrong with the files, the rows or the template; a malformed row is named by its number.
            ``data_wrong_for_objective`` if the file holds nothing of the kind that the objective learns from.
    """
    as_chat = tokenizer.chat_template is not None
    fingerprints = {"train": _fingerprint(train)}
    apart = () if eval is None else held_out_examples(eval, format, columns, fixes)
    source, changed = _learning(train, format, columns, fixes, signal, as_chat=as_chat, held_out=apart)
    if eval is not None:
        fingerprints["eval"] = _fingerprint(eval)
        learnt, held_out = in_order(source.groups), in_order(_learning(eval, format, columns, fixes, signal, as_chat=as_chat)[0].groups)
    else:
        learnt, held_out = _split(source, fraction, seed, signal)
    options = Options(tokenizer, max_length, assistant_only_loss, MALFORMED in fixes)
    sides = _counted(learnt, held_out, options, progress)
    sides = _without_what_is_left_out(sides, source.dropped, drops_long=OVER_LENGTH in fixes, whole_answers=whole_answers)
    if sides.dropped and not sides.train:
        raise nothing_left(train.name, sides.dropped)
    check_learnt(sides.train, sides.num_long)
    kept_train, kept_eval = _kept(sides.train), _kept(sides.eval)
    _check_eval(eval, kept_eval)
    kept = [*kept_train, *kept_eval]
    notes = (
        *RowSource(train).notes,
        *source_notes(source.detection.format, signal, source.num_repeated),
        *filter(None, [dropped_note(sides.dropped), changed_note(changed)]),
        *row_notes(sides.rows, num_long=sides.num_long, assistant_only_loss=assistant_only_loss and signal == "answers"),
        *(["Nothing was held out: there is only one distinct example."] if fraction > 0 and not held_out else []),
    )
    return TrainingData(
        train=[row.tokens for row in kept_train if row.tokens is not None],
        eval=[row.tokens for row in kept_eval if row.tokens is not None],
        format=source.detection.format,
        num_rows=len(learnt) + len(held_out),
        fingerprints=fingerprints,
        num_masked=len(sides.rows) - len(kept),
        num_truncated=sum(row.is_cut for row in kept),
        train_examples=[row.example for row in kept_train],
        eval_examples=[row.example for row in kept_eval],
        longest=max(row.num_tokens for row in kept_train),
        notes=notes,
        lengths=tuple(row.num_tokens for row in kept_train),
        eval_lengths=tuple(row.num_tokens for row in kept_eval),
    )


def load_examples(
    path: Path, format_name: str, columns: Mapping[str, str], fixes: Collection[str] = (), held_out: Numbered = ()
) -> tuple[Detection, Kept]:
    """Every row of a file as an example with its index, and how many rows each fix left out or mended.

    Args:
        path: The file.
        format_name: A format's name, or ``auto``.
        columns: Roles mapped to columns by hand.
        fixes: Names of `fixes.FIXES`.
        held_out: As `fixes.keep`.

    Raises:
        DesktopFtError: As `read.read_rows`, `formats.resolve_format` and `formats.to_example` for the first malformed row;
            ``data_all_dropped``.
    """
    if not fixes:
        return _streamed_examples(path, format_name, columns)
    rows: Rows = read_rows(path, strict=MALFORMED not in fixes)
    detection = resolve_format(rows.rows, format_name, columns)
    kept: Kept = keep(rows, detection.format, detection.columns, fixes, held_out)
    if kept.malformed:
        raise _error_of_row(rows, kept.malformed[0].number, detection)
    if not kept.examples:
        raise nothing_left(path.name, kept.dropped)
    return detection, kept


def held_out_examples(
    path: Path, format_name: str, columns: Mapping[str, str], fixes: Collection[str], *, is_wanted: bool = False
) -> Numbered:
    """The examples of the evaluation file where they are wanted, or needed to leave them out of the training file; else none.

    Raises:
        DesktopFtError: As `read.read_rows` and `formats.resolve_format`.
    """
    if LEAKAGE not in fixes and not is_wanted:
        return ()
    rows = read_rows(path)
    detection = resolve_format(rows.rows, format_name, columns)
    return keep(rows, detection.format, detection.columns, [fix for fix in fixes if fix in REPAIRS]).examples


def _streamed_examples(path: Path, format_name: str, columns: Mapping[str, str]) -> tuple[Detection, Kept]:
    """Every row, read one by one, so that rows and examples are not in memory together."""
    rows = _sound_rows(path)
    first = list(islice(rows, SAMPLED_ROWS))
    if not first:
        raise none_readable(path, [])
    detection = resolve_format([row for _, row in first], format_name, columns)
    examples = ((number - 1, to_example(row, number, detection.format, detection.columns)) for number, row in chain(first, rows))
    return detection, Kept(list(examples), ())


def _sound_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    for number, row in RowSource(path):
        if isinstance(row, BadRow):
            raise malformed_row(number, row.reason, path)
        yield number, row


def _fingerprint(path: Path) -> Fingerprint:
    return data_fingerprint(path, RowSource(path).files)


def _error_of_row(rows: Rows, number: int, detection: Detection) -> DesktopFtError:
    """What is wrong with a row that does not convert."""
    try:
        to_example(rows.rows[rows.numbers.index(number)], number, detection.format, detection.columns)
    except DesktopFtError as error:
        return error
    raise AssertionError(number)


def _learning(
    path: Path,
    format_name: str,
    columns: Mapping[str, str],
    fixes: Collection[str],
    signal: Signal,
    *,
    as_chat: bool,
    held_out: Numbered = (),
) -> tuple[Learning, Mapping[str, int]]:
    """What is learnt from a file, and how many of its rows each fix mended."""
    detection, kept = load_examples(path, format_name, columns, fixes, held_out)
    numbered = [(index + 1, example) for index, example in kept.examples]
    return learning_from(detection, numbered, kept.dropped, signal, as_chat=as_chat, skips_malformed=MALFORMED in fixes), kept.changed


def _split(source: Learning, fraction: float, seed: int, signal: Signal) -> tuple[list[NumberedExample], list[NumberedExample]]:
    fingerprint = example_fingerprint if signal in TOKENISED_HERE else prompt_fingerprint
    split = split_indices([fingerprint(group[0][1]) for group in source.groups], fraction, seed)
    return in_order([source.groups[index] for index in split.train]), in_order([source.groups[index] for index in split.eval])


@dataclass(frozen=True)
class _Sides:
    """Both sides, counted.

    Attributes:
        train: To learn from.
        eval: Held out.
        dropped: Rows left out as asked, by fix.
        num_long: Pairs left out because their objective takes whole answers.
    """

    train: list[Row]
    eval: list[Row]
    dropped: Mapping[str, int]
    num_long: int = 0

    @property
    def rows(self) -> list[Row]:
        """Those of both sides."""
        return [*self.train, *self.eval]


def _counted(learnt: Sequence[NumberedExample], held_out: Sequence[NumberedExample], options: Options, progress: Progress | None) -> _Sides:
    steps = Steps(len(learnt) + len(held_out), progress)
    train, eval_side = prepare(learnt, options, steps), prepare(held_out, options, steps)
    num_refused = len(learnt) + len(held_out) - len(train) - len(eval_side)
    return _Sides(train, eval_side, {MALFORMED: num_refused} if num_refused else {})


def _without_what_is_left_out(sides: _Sides, dropped: Mapping[str, int], *, drops_long: bool, whole_answers: bool) -> _Sides:
    """Leave out what is too long, if that is asked for or in the nature of the objective, and add up what was left out."""
    counts = dict(dropped)
    for fix, count in sides.dropped.items():
        counts[fix] = counts.get(fix, 0) + count
    if not drops_long and not whole_answers:
        return _Sides(sides.train, sides.eval, counts)
    num_long = sum(row.is_cut for row in sides.rows)
    if drops_long:
        counts[OVER_LENGTH] = num_long
    return _Sides(_whole(sides.train), _whole(sides.eval), counts, 0 if drops_long else num_long)


def _kept(side: Sequence[Row]) -> list[Row]:
    return [row for row in side if row.is_learnt]


def _whole(side: Sequence[Row]) -> list[Row]:
    return [row for row in side if not row.is_cut]


def _check_eval(path: Path | None, kept: Sequence[Row]) -> None:
    if path is not None and not kept:
        raise DesktopFtError(
            "data_all_masked",
            "No held-out example has a token to learn",
            f"All examples of {path.name} are masked from start to end, so no evaluation loss can be computed.",
            "Raise the maximum length so that the answers fit, or leave the evaluation file out.",
        )
