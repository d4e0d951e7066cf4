"""Look into a data file: format, counts, lengths, what is wrong with it and whether it is good enough.

Pure: reads files, changes none. No torch. A tokenizer is optional and only used if given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_ft.core.data.fixes import MALFORMED, OVER_LENGTH, Numbered, empty_answers, exact_duplicates, keep
from desktop_ft.core.data.formats import AUTO, resolve_format
from desktop_ft.core.data.lengths import Lengths, measure
from desktop_ft.core.data.prepared import count_tokens
from desktop_ft.core.data.read import MalformedRow, read_rows
from desktop_ft.core.data.records import PlainText, answers
from desktop_ft.core.data.signals import adapt, natural_signal
from desktop_ft.core.data.tokenise import ROW_ERRORS
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.data.tokenizer import ModelTokenizer

FEW_ROWS = 100
"""Below this many examples a fine-tune mostly learns them by heart."""


@dataclass(frozen=True)
class Finding:
    """One kind of fault.

    Attributes:
        code: Stable name, as the command line documents.
        title: A few words.
        message: What was found, with numbers, and why it matters.
        severity: ``info``, ``warning`` or ``error`` (training would refuse).
        rows: 0-based indices of the rows, ascending.
        fix: What to do.
    """

    code: str
    title: str
    message: str
    severity: str
    rows: tuple[int, ...]
    fix: str

    def to_dict(self) -> dict[str, object]:
        """The shape that ``data inspect --json`` documents."""
        return {
            "code": self.code,
            "title": self.title,
            "message": self.message,
            "severity": self.severity,
            "num_rows": len(self.rows),
            "rows": list(self.rows),
            "fix": self.fix,
        }


@dataclass(frozen=True)
class DataReport:
    """What a file holds.

    Attributes:
        format: Its format.
        format_reason: Why.
        num_rows: Rows seen.
        num_usable: Rows that can be trained on.
        columns: Column names.
        lengths: Lengths in tokens; None without a tokenizer.
        score: 0 to 100: good enough to train?
        score_reasons: What took points off, or what is fine.
        findings: What is wrong with what is left, the worst first.
        dropped: Rows that the fixes left out, by fix.
    """

    format: str
    format_reason: str
    num_rows: int
    num_usable: int
    columns: tuple[str, ...]
    lengths: Lengths | None
    score: int
    score_reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    dropped: Mapping[str, int]

    def to_dict(self) -> dict[str, object]:
        """The shape that ``data inspect --json`` documents; ``lengths`` is empty without a tokenizer."""
        return {
            "format": self.format,
            "format_reason": self.format_reason,
            "num_rows": self.num_rows,
            "num_usable": self.num_usable,
            "columns": list(self.columns),
            "lengths": self.lengths.to_dict() if self.lengths else {},
            "score": self.score,
            "score_reasons": list(self.score_reasons),
            "findings": [finding.to_dict() for finding in self.findings],
            "dropped": dict(self.dropped),
        }


def inspect_data(
    path: Path,
    *,
    tokenizer: ModelTokenizer | None = None,
    max_length: int | None = None,
    format_name: str = AUTO,
    columns: Mapping[str, str] | None = None,
    fixes: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Inspect a whole file.

    Args:
        path: The file.
        tokenizer: The model's, for lengths in tokens.
        max_length: Longest sequence in tokens; needs a tokenizer.
        format_name: A format's name, or ``auto``.
        columns: Roles mapped to columns by hand.
        fixes: What a run would leave out; the findings are about what is left.
        progress: Called with (rows measured, rows in all).

    Raises:
        DesktopFtError: If the file as a whole cannot be read, its format is not clear, or the template cannot be rendered.
    """
    rows = read_rows(path)
    detection = resolve_format(rows.rows, format_name, columns or {})
    kept = keep(rows, detection.format, detection.columns, fixes)
    examples, malformed, dropped = kept.examples, kept.malformed, dict(kept.dropped)
    lengths, token_counts = None, dict[int, int]()
    if tokenizer is not None:
        token_counts, refused = _token_counts(examples, tokenizer, progress)
        if MALFORMED in fixes and refused:
            dropped[MALFORMED] = dropped.get(MALFORMED, 0) + len(refused)
        else:
            malformed = tuple(sorted((*malformed, *refused), key=lambda row: row.number))
        if OVER_LENGTH in fixes and max_length is not None:
            over = {index for index, count in token_counts.items() if count > max_length}
            token_counts = {index: count for index, count in token_counts.items() if index not in over}
            dropped.update({OVER_LENGTH: len(over)} if over else {})
        examples = [numbered for numbered in examples if numbered[0] in token_counts]
        lengths = measure(list(token_counts.values()), max_length)
    findings = _findings(examples, malformed, token_counts, max_length)
    score, reasons = _score(findings, rows.num_rows, len(examples))
    return DataReport(
        format=detection.format,
        format_reason=detection.reason,
        num_rows=rows.num_rows,
        num_usable=len(examples),
        columns=rows.columns,
        lengths=lengths,
        score=score,
        score_reasons=reasons,
        findings=findings,
        dropped=dropped,
    )


def _token_counts(
    examples: Numbered, tokenizer: ModelTokenizer, progress: Callable[[int, int], None] | None
) -> tuple[dict[int, int], list[MalformedRow]]:
    """Tokens of each example by its row's index, and the rows that the model's template refuses."""
    counts: dict[int, int] = {}
    refused: list[MalformedRow] = []
    for done, (index, example) in enumerate(examples, start=1):
        try:
            learnt = adapt(example, index + 1, natural_signal(example), as_chat=tokenizer.chat_template is not None)
            counts[index] = max(count_tokens(one, tokenizer) for one in learnt)
        except DesktopFtError as error:
            if error.code not in ROW_ERRORS:
                raise
            refused.append(MalformedRow(index + 1, error.message))
        if progress is not None and (done % 64 == 0 or done == len(examples)):
            progress(done, len(examples))
    return counts, refused


def _findings(
    examples: Numbered, malformed: Sequence[MalformedRow], token_counts: Mapping[int, int], max_length: int | None
) -> tuple[Finding, ...]:
    found = (
        _malformed_rows(malformed),
        _empty_answers(examples),
        _exact_duplicates(examples),
        _over_length(token_counts, max_length),
        _one_word_answers(examples),
        _too_few_rows(len(examples)),
    )
    return tuple(finding for finding in found if finding is not None)


def _malformed_rows(malformed: Sequence[MalformedRow]) -> Finding | None:
    if not malformed:
        return None
    first = malformed[0]
    return Finding(
        "malformed_rows",
        "Malformed rows",
        f"{_rows(len(malformed))} cannot be used; the first is row {first.number}: {first.reason} Training refuses the file.",
        "error",
        tuple(row.number - 1 for row in malformed),
        "Mend or remove these rows.",
    )


def _exact_duplicates(examples: Numbered) -> Finding | None:
    repeated = exact_duplicates(examples)
    if not repeated:
        return None
    return Finding(
        "exact_duplicates",
        "Exact duplicates",
        f"{_rows(len(repeated))} repeat an earlier one word for word; the model learns those by heart.",
        "warning",
        tuple(repeated),
        "Keep one of each.",
    )


def _empty_answers(examples: Numbered) -> Finding | None:
    empty = tuple(empty_answers(examples))
    if not empty:
        return None
    return Finding(
        "empty_answers",
        "Empty answers",
        f"{_rows(len(empty))} have an answer without a word; the model would learn to say nothing.",
        "warning",
        empty,
        "Write the answers, or remove these rows.",
    )


def _one_word_answers(examples: Numbered) -> Finding | None:
    short = tuple(
        index
        for index, example in examples
        if not isinstance(example, PlainText) and all(len(answer.split()) == 1 for answer in answers(example))
    )
    if not short:
        return None
    return Finding(
        "one_word_answers",
        "One-word answers",
        f"{_rows(len(short))} have nothing but one-word answers. That is right for labels and choices; elsewhere the model turns terse.",
        "info",
        short,
        "Leave them if one word is the right answer; else write whole answers.",
    )


def _over_length(token_counts: Mapping[int, int], max_length: int | None) -> Finding | None:
    if max_length is None:
        return None
    over = {index: count for index, count in token_counts.items() if count > max_length}
    if not over:
        return None
    lost = sum(over.values()) - max_length * len(over)
    share = lost / sum(token_counts.values())
    return Finding(
        "over_length",
        "Longer than the maximum length",
        f"{_rows(len(over))} have more than {max_length} tokens; {lost} tokens ({share:.1%}) are cut off, end tokens among them.",
        "warning",
        tuple(sorted(over)),
        f"Raise the maximum length (the longest row has {max(over.values())} tokens), or shorten these rows.",
    )


def _too_few_rows(num_usable: int) -> Finding | None:
    if num_usable >= FEW_ROWS:
        return None
    return Finding(
        "too_few_rows",
        "Few examples",
        f"{_rows(num_usable)} can be used. Below {FEW_ROWS} the model mostly learns them by heart.",
        "warning",
        (),
        "Add examples; a few hundred good ones are a start for LoRA.",
    )


_WEIGHTS = {"malformed_rows": 60.0, "empty_answers": 60.0, "exact_duplicates": 50.0, "over_length": 40.0}
"""Points lost if every row had the fault; the loss grows with the square root of the share, so that a few rows count."""


def _score(findings: Sequence[Finding], num_rows: int, num_usable: int) -> tuple[int, tuple[str, ...]]:
    """100, less what the findings cost."""
    score = 100.0
    reasons: list[str] = []
    for finding in findings:
        cost = _WEIGHTS.get(finding.code, 0.0) * (len(finding.rows) / num_rows) ** 0.5
        if finding.code == "too_few_rows":
            cost = 40.0 * (1 - num_usable / FEW_ROWS)
        if cost > 0:
            score -= cost
            reasons.append(f"{finding.title}: {_rows(len(finding.rows) or num_usable)}, -{max(1, round(cost))} points.")
    if not reasons:
        reasons.append(f"{_rows(num_usable)}, nothing found that would hurt.")
    return max(0, round(score)), tuple(reasons)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
