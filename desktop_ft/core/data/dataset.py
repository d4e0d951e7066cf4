"""The one road from a data file to what is trained on. The engine takes it, and so do previews, so both see the same ids."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_ft.core.data.fingerprint import Fingerprint, example_fingerprint, file_fingerprint
from desktop_ft.core.data.fixes import MALFORMED, OVER_LENGTH, Kept, dropped_note, keep, nothing_left
from desktop_ft.core.data.formats import PREFERENCE_FORMATS, Detection, resolve_format, to_example
from desktop_ft.core.data.read import Rows, read_rows
from desktop_ft.core.data.records import Conversation, Example, Judged, PlainText, Preference, PromptCompletion, Task
from desktop_ft.core.data.split import split_indices
from desktop_ft.core.data.tokenise import ROW_ERRORS, TokenisedExample, check_supervised, tokenise_row
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.data.tokenizer import ModelTokenizer

Progress = Callable[[int, int], None]
NumberedExample = tuple[int, Example]
_PROGRESS_EVERY = 64


@dataclass(frozen=True)
class TrainingData:
    """Both sides of a run's data.

    Attributes:
        train: Examples to learn from, in file order; those without a learnt token are left out.
        eval: Examples held out, likewise.
        format: The format of the training file.
        num_rows: Rows read, of both files.
        fingerprints: ``train`` and, if there is an evaluation file, ``eval``.
        num_masked: Examples left out because no token of them is learnt.
        num_truncated: Examples that were cut off at the maximum length, of those that are kept.
        train_examples: The examples behind ``train``, in the same order.
        eval_examples: The examples behind ``eval``, in the same order.
        notes: What a person should know, in sentences.
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
    notes: tuple[str, ...]


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
) -> TrainingData:
    """Read, convert, split and tokenise.

    Args:
        train: The training file.
        eval: The evaluation file; without one, ``fraction`` of the training file is held out.
        fraction: Share to hold out, 0 for none.
        seed: Of the split.
        format: A format's name, or ``auto``.
        columns: Roles mapped to columns by hand.
        tokenizer: The model's.
        max_length: Longest sequence in tokens, or None.
        assistant_only_loss: As in `tokenise.tokenise`.
        fixes: What to leave out, in both files (``data.fixes``).
        progress: Called with (examples done, examples in all), now and then and at the end; what it raises passes through.

    Raises:
        DesktopFtError: Whatever is wrong with the files, the rows or the template; a malformed row is named by its number.
    """
    fingerprints = {"train": file_fingerprint(train)}
    detection, examples, dropped = load_examples(train, format, columns, fixes)
    if eval is not None:
        fingerprints["eval"] = file_fingerprint(eval)
        _, held_out, _ = load_examples(eval, format, columns, fixes)
        learnt = examples
    else:
        split = split_indices([example_fingerprint(example) for _, example in examples], fraction, seed)
        learnt, held_out = [examples[index] for index in split.train], [examples[index] for index in split.eval]
    steps = _Steps(len(learnt) + len(held_out), progress)
    options = _Options(tokenizer, max_length, assistant_only_loss, MALFORMED in fixes)
    train_side, eval_side = _tokenised(learnt, options, steps), _tokenised(held_out, options, steps)
    num_refused = len(learnt) + len(held_out) - len(train_side) - len(eval_side)
    if num_refused:
        dropped[MALFORMED] = dropped.get(MALFORMED, 0) + num_refused
    if OVER_LENGTH in fixes:
        num_before = len(train_side) + len(eval_side)
        train_side, eval_side = _whole(train_side), _whole(eval_side)
        dropped[OVER_LENGTH] = num_before - len(train_side) - len(eval_side)
    if dropped and not train_side:
        raise nothing_left(train.name, dropped)
    check_supervised([tokenised for _, tokenised in train_side])
    kept_train, kept_eval = _kept(train_side), _kept(eval_side)
    _check_eval(eval, kept_eval)
    num_masked = len(train_side) + len(eval_side) - len(kept_train) - len(kept_eval)
    kept = [tokenised for _, tokenised in (*kept_train, *kept_eval)]
    return TrainingData(
        train=[tokenised for _, tokenised in kept_train],
        eval=[tokenised for _, tokenised in kept_eval],
        format=detection.format,
        num_rows=len(learnt) + len(held_out),
        fingerprints=fingerprints,
        num_masked=num_masked,
        num_truncated=sum(tokenised.truncated for tokenised in kept),
        train_examples=[example for example, _ in kept_train],
        eval_examples=[example for example, _ in kept_eval],
        notes=(
            *_format_notes(detection.format),
            *filter(None, [dropped_note(dropped)]),
            *_notes(learnt, kept, num_masked, fraction > 0 and not held_out, assistant_only_loss),
        ),
    )


def load_examples(
    path: Path, format_name: str, columns: Mapping[str, str], fixes: Collection[str] = ()
) -> tuple[Detection, list[NumberedExample], dict[str, int]]:
    """Every row of a file as an example with the row's number, and how many rows each fix left out.

    Raises:
        DesktopFtError: As `read.read_rows`, `formats.resolve_format` and `formats.to_example` for the first malformed row;
            ``data_all_dropped``.
    """
    rows: Rows = read_rows(path, strict=MALFORMED not in fixes)
    detection = resolve_format(rows.rows, format_name, columns)
    if not fixes:
        numbered = zip(rows.rows, rows.numbers, strict=True)
        return detection, [(number, to_example(row, number, detection.format, detection.columns)) for row, number in numbered], {}
    kept: Kept = keep(rows, detection.format, detection.columns, fixes)
    if kept.malformed:
        raise _error_of_row(rows, kept.malformed[0].number, detection)
    if not kept.examples:
        raise nothing_left(path.name, kept.dropped)
    return detection, [(index + 1, example) for index, example in kept.examples], dict(kept.dropped)


def _error_of_row(rows: Rows, number: int, detection: Detection) -> DesktopFtError:
    """What is wrong with a row that does not convert."""
    try:
        to_example(rows.rows[rows.numbers.index(number)], number, detection.format, detection.columns)
    except DesktopFtError as error:
        return error
    raise AssertionError(number)


@dataclass(frozen=True)
class _Options:
    tokenizer: ModelTokenizer
    max_length: int | None
    assistant_only_loss: bool
    skips_refused: bool


class _Steps:
    """Counts examples over both sides."""

    def __init__(self, total: int, report: Progress | None) -> None:
        self._total = total
        self._done = 0
        self._report = report

    def advance(self) -> None:
        """One more example is done."""
        self._done += 1
        if self._report is not None and (self._done % _PROGRESS_EVERY == 0 or self._done == self._total):
            self._report(self._done, self._total)


_Side = list[tuple[Example, TokenisedExample]]


def _tokenised(examples: Iterable[NumberedExample], options: _Options, steps: _Steps) -> _Side:
    side: _Side = []
    for number, example in examples:
        try:
            tokenised = tokenise_row(
                example, number, options.tokenizer, max_length=options.max_length, assistant_only_loss=options.assistant_only_loss
            )
            side.append((example, tokenised))
        except DesktopFtError as error:
            if not options.skips_refused or error.code not in ROW_ERRORS:
                raise
        steps.advance()
    return side


def _kept(side: _Side) -> _Side:
    return [pair for pair in side if pair[1].num_supervised > 0]


def _whole(side: _Side) -> _Side:
    return [pair for pair in side if not pair[1].truncated]


def _check_eval(path: Path | None, kept: _Side) -> None:
    if path is not None and not kept:
        raise DesktopFtError(
            "data_all_masked",
            "No held-out example has a token to learn",
            f"All examples of {path.name} are masked from start to end, so no evaluation loss can be computed.",
            "Raise the maximum length so that the answers fit, or leave the evaluation file out.",
        )


def _format_notes(format_name: str) -> tuple[str, ...]:
    if format_name in PREFERENCE_FORMATS:
        return ("These are preference pairs; supervised fine-tuning learns the chosen answers and leaves the rejected ones out.",)
    return ()


def _notes(
    learnt: Sequence[NumberedExample], kept: Sequence[TokenisedExample], num_masked: int, lacks_eval: bool, assistant_only_loss: bool
) -> tuple[str, ...]:
    notes: list[str] = []
    if num_masked:
        notes.append(f"{num_masked} examples are left out: no token of them is learnt (the prompt alone fills the maximum length).")
    num_truncated = sum(example.truncated for example in kept)
    if num_truncated:
        notes.append(f"{num_truncated} of {len(kept)} examples are longer than the maximum length and are cut off at the end.")
    num_without_end = sum(not example.ends_with_eos and not example.truncated for example in kept)
    if num_without_end:
        notes.append(f"{num_without_end} examples do not teach the model to stop: no end token is learnt at their end.")
    if lacks_eval:
        notes.append("Nothing was held out: there is only one distinct example.")
    if assistant_only_loss and not any(_has_turns(example) for _, example in learnt):
        notes.append("Training on the assistant's turns only does not apply: these examples have no turns.")
    return tuple(notes)


def _has_turns(example: Example) -> bool:
    match example:
        case Conversation():
            return True
        case PromptCompletion(prompt, _):
            return not isinstance(prompt, str)
        case Preference(prompt, _, _) | Judged(prompt, _, _) | Task(prompt, _):
            return not isinstance(prompt, str)
        case PlainText():
            return False
