"""Examples with their tokens counted: what is learnt of each, what is cut, and what is left out for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from desktop_ft.core.data.records import Example, Judged, Preference, Task
from desktop_ft.core.data.sequences import sequences_of
from desktop_ft.core.data.tokenise import ROW_ERRORS, TokenisedExample, naming_row, tokenise
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.data.tokenizer import ModelTokenizer

Progress = Callable[[int, int], None]
NumberedExample = tuple[int, Example]
_PROGRESS_EVERY = 64


@dataclass(frozen=True)
class Row:
    """One example, counted.

    Attributes:
        example: The example.
        num_tokens: Tokens of its longest sequence after cutting.
        is_learnt: Whether anything of it can be learnt: a token that counts, or a prompt that fits.
        is_cut: Whether tokens beyond the maximum length are cut off.
        tokens: Ids and labels, where core makes them (answers and text).
    """

    example: Example
    num_tokens: int
    is_learnt: bool
    is_cut: bool
    tokens: TokenisedExample | None = None


@dataclass(frozen=True)
class Options:
    """How to count.

    Attributes:
        tokenizer: The model's.
        max_length: Longest sequence in tokens, or None.
        assistant_only_loss: As in `tokenise.tokenise`.
        skips_refused: Leave out examples that the template refuses, instead of raising.
    """

    tokenizer: ModelTokenizer
    max_length: int | None
    assistant_only_loss: bool
    skips_refused: bool


class Steps:
    """Counts examples over both sides.

    Args:
        total: Examples in all.
        report: Called with (done, total) now and then and at the end.
    """

    def __init__(self, total: int, report: Progress | None) -> None:
        self._total = total
        self._done = 0
        self._report = report

    def advance(self) -> None:
        """One more example is done."""
        self._done += 1
        if self._report is not None and (self._done % _PROGRESS_EVERY == 0 or self._done == self._total):
            self._report(self._done, self._total)


def prepare(examples: Iterable[NumberedExample], options: Options, steps: Steps) -> list[Row]:
    """Count every example, in order.

    Raises:
        DesktopFtError: What the template refuses, with the row's number, unless such examples are to be left out.
    """
    rows: list[Row] = []
    for number, example in examples:
        try:
            with naming_row(number):
                rows.append(_row(example, options))
        except DesktopFtError as error:
            if not options.skips_refused or error.code not in ROW_ERRORS:
                raise
        steps.advance()
    return rows


def check_learnt(rows: Sequence[Row], num_long: int) -> None:
    """Refuse data of which nothing can be learnt.

    Args:
        rows: The training side.
        num_long: Pairs that were left out because they are longer than the maximum length.

    Raises:
        DesktopFtError: ``data_all_masked``.
    """
    if not rows:
        pairs = "1 pair is" if num_long == 1 else f"{num_long} pairs are"
        raise DesktopFtError(
            "data_all_masked",
            "No example is left to learn from",
            f"{pairs} longer than the maximum length, and a reward model scores whole answers.",
            "Raise data.max_length so that the answers fit.",
        )
    if any(row.is_learnt for row in rows):
        return
    num_cut = sum(row.is_cut for row in rows)
    if isinstance(rows[0].example, Task):
        raise DesktopFtError(
            "data_all_masked",
            "No prompt fits",
            f"All {len(rows)} prompts are longer than the maximum length.",
            "Raise data.max_length, or shorten the prompts.",
        )
    raise DesktopFtError(
        "data_all_masked",
        "No example has a token to learn",
        f"All {len(rows)} examples are masked from start to end; {num_cut} of them were cut off at the maximum length.",
        "Raise the maximum length so that the answers fit, or check that the assistant's turns have text.",
    )


def count_tokens(example: Example, tokenizer: ModelTokenizer) -> int:
    """Tokens of an example's longest sequence, uncut.

    Raises:
        DesktopFtError: As `tokenise.tokenise`.
    """
    return _row(example, Options(tokenizer, None, assistant_only_loss=False, skips_refused=False)).num_tokens


def _row(example: Example, options: Options) -> Row:
    limit = options.max_length
    match example:
        case Task():
            count = sequences_of(example, options.tokenizer).longest
            return Row(example, count, is_learnt=limit is None or count <= limit, is_cut=False)
        case Preference() | Judged():
            found = sequences_of(example, options.tokenizer)
            if limit is None:
                return Row(example, found.longest, is_learnt=True, is_cut=False)
            return Row(example, min(found.longest, limit), is_learnt=len(found.prompt_ids) < limit, is_cut=found.longest > limit)
        case _:
            tokens = tokenise(example, options.tokenizer, max_length=limit, assistant_only_loss=options.assistant_only_loss)
            return Row(example, len(tokens), tokens.num_supervised > 0, tokens.truncated, tokens)
