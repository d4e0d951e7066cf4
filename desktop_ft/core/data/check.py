"""Look into a data file: format, counts, lengths, what is wrong with it and whether it is good enough.

Pure: reads files, changes none. No torch. A tokenizer is optional and only used if given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_ft.core.data import findings
from desktop_ft.core.data.dataset import held_out_examples
from desktop_ft.core.data.doctor.language import mixed_rows
from desktop_ft.core.data.doctor.near_duplicates import near_any, near_duplicates
from desktop_ft.core.data.doctor.scan import Examiner, Progress, RowFacts, examine
from desktop_ft.core.data.findings import FEW_ROWS, Finding, num_rows
from desktop_ft.core.data.findings_judged import judged_findings
from desktop_ft.core.data.findings_rows import finding_of
from desktop_ft.core.data.fixes import LEAKAGE, MALFORMED, OVER_LENGTH, Kept, Numbered, exact_duplicates, keep
from desktop_ft.core.data.formats import AUTO, Detection, resolve_format
from desktop_ft.core.data.lengths import Lengths, measure
from desktop_ft.core.data.read import MalformedRow, Rows, read_rows
from desktop_ft.core.data.signals import SIGNALS, WHOLE_ANSWERS, Signal, natural_signal
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.config.defaults import MethodName
    from desktop_ft.core.config.objectives import ObjectiveName
    from desktop_ft.core.data.tokenizer import ModelTokenizer


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
        changed: Rows whose text the fixes mended, by fix.
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
    changed: Mapping[str, int]

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
            "changed": dict(self.changed),
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
    method: MethodName | None = None,
    eval_path: Path | None = None,
) -> DataReport:
    """Inspect a whole file.

    Args:
        path: The file.
        tokenizer: The model's, for lengths in tokens; of a pair the longer answer with its prompt counts.
        max_length: Longest sequence in tokens; needs a tokenizer.
        format_name: A format's name, or ``auto``.
        columns: Roles mapped to columns by hand.
        fixes: What a run would leave out or mend; the findings are about what is left.
        progress: Called with (rows looked at, rows in all).
        objective: What the file is to teach. None: that for which it is made.
        method: How much of the model is trained, if that is known: full fine-tuning wants more rows.
        eval_path: The evaluation file, whose examples should not stand in this one.

    Raises:
        DesktopFtError: If a file as a whole cannot be read, its format is not clear, or the template cannot be rendered.
    """
    rows = read_rows(path)
    detection = resolve_format(rows.rows, format_name, columns or {})
    apart = () if eval_path is None else held_out_examples(eval_path, format_name, columns or {}, fixes, is_wanted=True)
    kept = keep(rows, detection.format, detection.columns, fixes, apart if LEAKAGE in fixes else ())
    signal = _signal(kept.examples, objective)
    try:
        facts = examine(kept.examples, Examiner(signal, tokenizer), progress)
    except DesktopFtError as error:
        if error.code != "data_wrong_for_objective":
            raise
        return _report(rows, detection, signal, 0, None, (_wrong(error),), kept)
    refused = [MalformedRow(fact.index + 1, fact.refusal) for fact in facts if fact.refusal is not None]
    malformed, dropped = kept.malformed, dict(kept.dropped)
    if MALFORMED in fixes and refused:
        dropped[MALFORMED] = dropped.get(MALFORMED, 0) + len(refused)
    else:
        malformed = tuple(sorted((*malformed, *refused), key=lambda row: row.number))
    usable = [fact for fact in facts if fact.num_tokens is not None]
    if OVER_LENGTH in fixes and max_length is not None:
        short = [fact for fact in usable if (fact.num_tokens or 0) <= max_length]
        dropped.update({OVER_LENGTH: len(usable) - len(short)} if len(short) < len(usable) else {})
        usable = short
    counts = {fact.index: fact.num_tokens or 0 for fact in usable} if tokenizer is not None else {}
    left = _Left(kept.examples, usable, signal, apart)
    found = (
        findings.malformed_rows(malformed),
        *left.findings(),
        findings.over_length(counts, max_length, signal, whole_answers=objective in WHOLE_ANSWERS),
        *left.lesser_findings(),
        findings.too_few_rows(len(usable), signal, is_full=method == "full"),
    )
    told = tuple(finding for finding in found if finding is not None)
    final = Kept(kept.examples, malformed, dropped, kept.changed)
    return _report(rows, detection, signal, len(usable), measure(list(counts.values()), max_length), told, final)


def _signal(examples: Numbered, objective: ObjectiveName | None) -> Signal:
    """What the objective learns from; without one what the file is made for."""
    if objective is not None:
        return SIGNALS[objective]
    return natural_signal(examples[0][1]) if examples else "answers"


class _Left:
    """The rows that are learnt from, and what is wrong with them.

    Args:
        examples: All that the fixes keep.
        facts: Of those that are learnt from.
        signal: What the objective learns from.
        apart: The evaluation file's examples.
    """

    def __init__(self, examples: Numbered, facts: Sequence[RowFacts], signal: Signal, apart: Numbered) -> None:
        learnt = frozenset(fact.index for fact in facts)
        self._examples = [row for row in examples if row[0] in learnt]
        self._facts = facts
        self._signal = signal
        self._apart = apart
        self._signed = {fact.index: fact.signature for fact in facts}

    def findings(self) -> tuple[Finding | None, ...]:
        """The graver ones, the worst first."""
        leaked = near_any(self._examples, self._apart, list(self._signed.values())) if self._apart else ()
        return (
            self._with("empty_answers"),
            finding_of("leakage", leaked),
            *(self._with(code) for code in ("api_keys", "cards", "emails", "phones", "mojibake", "tool_calls", "refusals")),
            finding_of("language_mix", mixed_rows([(fact.index, fact.asked, fact.said) for fact in self._facts])),
            self._with("html"),
            findings.exact_duplicates(self._examples),
            self._near_duplicates(),
            *(judged_findings(self._examples) if self._signal in ("pairs", "judgments") else ()),
        )

    def lesser_findings(self) -> tuple[Finding | None, ...]:
        """Those that are right in some files."""
        return (self._with("one_word_answers") if self._signal == "answers" else None,)

    def _with(self, code: str) -> Finding | None:
        return finding_of(code, (fact.index for fact in self._facts if code in fact.codes))

    def _near_duplicates(self) -> Finding | None:
        repeated = frozenset(exact_duplicates(self._examples))
        distinct = [row for row in self._examples if row[0] not in repeated]
        return finding_of("near_duplicates", near_duplicates(distinct, [self._signed[index] for index, _ in distinct]))


def _wrong(error: DesktopFtError) -> Finding:
    return Finding("wrong_for_objective", error.title, error.message, "error", (), error.hint)


def _report(
    rows: Rows,
    detection: Detection,
    signal: Signal,
    num_usable: int,
    lengths: Lengths | None,
    found: tuple[Finding, ...],
    kept: Kept,
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
        dropped=kept.dropped,
        changed=kept.changed,
    )


_WEIGHTS = {
    "malformed_rows": 60.0,
    "empty_answers": 60.0,
    "exact_duplicates": 50.0,
    "over_length": 40.0,
    "identical_pairs": 40.0,
    "swapped_pairs": 60.0,
    "label_conflicts": 60.0,
    "leakage": 40.0,
    "near_duplicates": 40.0,
    "api_keys": 40.0,
    "cards": 40.0,
    "emails": 25.0,
    "phones": 25.0,
    "mojibake": 40.0,
    "html": 30.0,
    "refusals": 40.0,
    "language_mix": 40.0,
    "tool_calls": 60.0,
}
"""Points lost if every row had the fault; the loss grows with the square root of the share, so that a few rows count."""

_OF_THE_WHOLE = {"length_bias": 15.0, "class_imbalance": 10.0, "too_few_rows": 40.0, "wrong_for_objective": 100.0}
"""Points lost for what is wrong with the file and not with single rows; few rows cost by how many are missing."""
_FEW_FOR_FULL = 15.0
"""Points lost where there are enough rows for LoRA and too few for full fine-tuning."""


def _score(found: Sequence[Finding], num_all: int, num_usable: int, few: int) -> tuple[int, tuple[str, ...]]:
    """100, less what the findings cost."""
    score = 100.0
    reasons: list[str] = []
    for finding in found:
        cost = _WEIGHTS.get(finding.code, 0.0) * (len(finding.rows) / num_all) ** 0.5 + _OF_THE_WHOLE.get(finding.code, 0.0)
        if finding.code == "too_few_rows":
            cost = cost * (1 - num_usable / few) if num_usable < few else _FEW_FOR_FULL
        if cost > 0:
            score -= cost
            reasons.append(f"{finding.title}: {num_rows(len(finding.rows) or num_usable)}, -{max(1, round(cost))} points.")
    if not reasons:
        reasons.append(f"{num_rows(num_usable)}, nothing found that would hurt.")
    return max(0, round(score)), tuple(reasons)
