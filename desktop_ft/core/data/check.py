"""Look into a data file: format, counts, lengths, what is wrong with it and whether it is good enough.

Pure: reads files, changes none. No torch. A tokenizer is optional and only used if given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_ft.core.data import findings
from desktop_ft.core.data.findings import FEW_ROWS, Finding, num_rows
from desktop_ft.core.data.findings_judged import judged_findings
from desktop_ft.core.data.fixes import MALFORMED, OVER_LENGTH, Numbered, keep
from desktop_ft.core.data.formats import AUTO, Detection, resolve_format
from desktop_ft.core.data.lengths import Lengths, measure
from desktop_ft.core.data.prepared import count_tokens
from desktop_ft.core.data.read import MalformedRow, Rows, read_rows
from desktop_ft.core.data.records import Example
from desktop_ft.core.data.signals import SIGNALS, WHOLE_ANSWERS, Signal, adapt, natural_signal
from desktop_ft.core.data.tokenise import ROW_ERRORS, naming_row
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.config.objectives import ObjectiveName
    from desktop_ft.core.data.tokenizer import ModelTokenizer

Progress = Callable[[int, int], None]


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
    progress: Progress | None = None,
    objective: ObjectiveName | None = None,
) -> DataReport:
    """Inspect a whole file.

    Args:
        path: The file.
        tokenizer: The model's, for lengths in tokens; of a pair the longer answer with its prompt counts.
        max_length: Longest sequence in tokens; needs a tokenizer.
        format_name: A format's name, or ``auto``.
        columns: Roles mapped to columns by hand.
        fixes: What a run would leave out; the findings are about what is left.
        progress: Called with (rows measured, rows in all).
        objective: What the file is to teach. None: that for which it is made.

    Raises:
        DesktopFtError: If the file as a whole cannot be read, its format is not clear, or the template cannot be rendered.
    """
    rows = read_rows(path)
    detection = resolve_format(rows.rows, format_name, columns or {})
    kept = keep(rows, detection.format, detection.columns, fixes)
    signal = _signal(kept.examples, objective)
    try:
        usable, refused = _usable(kept.examples, signal, tokenizer, progress)
    except DesktopFtError as error:
        if error.code != "data_wrong_for_objective":
            raise
        return _report(rows, detection, signal, 0, None, (_wrong(error),), kept.dropped)
    malformed, dropped = kept.malformed, dict(kept.dropped)
    if MALFORMED in fixes and refused:
        dropped[MALFORMED] = dropped.get(MALFORMED, 0) + len(refused)
    else:
        malformed = tuple(sorted((*malformed, *refused), key=lambda row: row.number))
    if OVER_LENGTH in fixes and max_length is not None:
        over = {index for index, count in usable.items() if count > max_length}
        usable = {index: count for index, count in usable.items() if index not in over}
        dropped.update({OVER_LENGTH: len(over)} if over else {})
    examples = [numbered for numbered in kept.examples if numbered[0] in usable]
    counts = usable if tokenizer is not None else {}
    found = _findings(examples, malformed, counts, max_length, signal, whole_answers=objective in WHOLE_ANSWERS)
    return _report(rows, detection, signal, len(examples), measure(list(counts.values()), max_length), found, dropped)


def _signal(examples: Numbered, objective: ObjectiveName | None) -> Signal:
    """What the objective learns from; without one what the file is made for."""
    if objective is not None:
        return SIGNALS[objective]
    return natural_signal(examples[0][1]) if examples else "answers"


def _usable(
    examples: Numbered, signal: Signal, tokenizer: ModelTokenizer | None, progress: Progress | None
) -> tuple[dict[int, int], list[MalformedRow]]:
    """The rows that teach something by index, each with its tokens (0 without a tokenizer), and the rows that are refused.

    Raises:
        DesktopFtError: ``data_wrong_for_objective``, or what comes of the model and not of a row.
    """
    counts: dict[int, int] = {}
    refused: list[MalformedRow] = []
    as_chat = tokenizer is None or tokenizer.chat_template is not None
    for done, (index, example) in enumerate(examples, start=1):
        try:
            with naming_row(index + 1):
                learnt = adapt(example, index + 1, signal, as_chat=as_chat)
                if learnt:
                    counts[index] = _num_tokens(learnt, tokenizer)
        except DesktopFtError as error:
            if error.code not in ROW_ERRORS:
                raise
            refused.append(MalformedRow(index + 1, error.message))
        if progress is not None and tokenizer is not None and (done % 64 == 0 or done == len(examples)):
            progress(done, len(examples))
    return counts, refused


def _num_tokens(learnt: Sequence[Example], tokenizer: ModelTokenizer | None) -> int:
    return 0 if tokenizer is None else max(count_tokens(example, tokenizer) for example in learnt)


def _findings(
    examples: Numbered,
    malformed: Sequence[MalformedRow],
    token_counts: Mapping[int, int],
    max_length: int | None,
    signal: Signal,
    *,
    whole_answers: bool,
) -> tuple[Finding, ...]:
    found = (
        findings.malformed_rows(malformed),
        findings.empty_answers(examples),
        findings.exact_duplicates(examples),
        *(judged_findings(examples) if signal in ("pairs", "judgments") else ()),
        findings.over_length(token_counts, max_length, signal, whole_answers=whole_answers),
        findings.one_word_answers(examples) if signal == "answers" else None,
        findings.too_few_rows(len(examples), signal),
    )
    return tuple(finding for finding in found if finding is not None)


def _wrong(error: DesktopFtError) -> Finding:
    return Finding("wrong_for_objective", error.title, error.message, "error", (), error.hint)


def _report(
    rows: Rows,
    detection: Detection,
    signal: Signal,
    num_usable: int,
    lengths: Lengths | None,
    found: tuple[Finding, ...],
    dropped: Mapping[str, int],
) -> DataReport:
    score, reasons = _score(found, rows.num_rows, num_usable, FEW_ROWS[signal][0])
    return DataReport(
        format=detection.format,
        format_reason=detection.reason,
        num_rows=rows.num_rows,
        num_usable=num_usable,
        columns=rows.columns,
        lengths=lengths,
        score=score,
        score_reasons=reasons,
        findings=found,
        dropped=dropped,
    )


_WEIGHTS = {
    "malformed_rows": 60.0,
    "empty_answers": 60.0,
    "exact_duplicates": 50.0,
    "over_length": 40.0,
    "identical_pairs": 40.0,
    "swapped_pairs": 60.0,
    "label_conflicts": 60.0,
}
"""Points lost if every row had the fault; the loss grows with the square root of the share, so that a few rows count."""

_OF_THE_WHOLE = {"length_bias": 15.0, "class_imbalance": 10.0, "too_few_rows": 40.0, "wrong_for_objective": 100.0}
"""Points lost for what is wrong with the file and not with single rows; few rows cost by how many are missing."""


def _score(found: Sequence[Finding], num_all: int, num_usable: int, few: int) -> tuple[int, tuple[str, ...]]:
    """100, less what the findings cost."""
    score = 100.0
    reasons: list[str] = []
    for finding in found:
        cost = _WEIGHTS.get(finding.code, 0.0) * (len(finding.rows) / num_all) ** 0.5 + _OF_THE_WHOLE.get(finding.code, 0.0)
        if finding.code == "too_few_rows":
            cost *= 1 - num_usable / few
        if cost > 0:
            score -= cost
            reasons.append(f"{finding.title}: {num_rows(len(finding.rows) or num_usable)}, -{max(1, round(cost))} points.")
    if not reasons:
        reasons.append(f"{num_rows(num_usable)}, nothing found that would hurt.")
    return max(0, round(score)), tuple(reasons)
