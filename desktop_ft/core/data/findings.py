"""What may be wrong with a file's examples, each as a finding with its rows, why it matters and what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from desktop_ft.core.advice import FEW_ROWS_FULL
from desktop_ft.core.data.fix_names import FIXES_OF
from desktop_ft.core.data.fixes import Numbered
from desktop_ft.core.data.fixes import exact_duplicates as exact_duplicates_of
from desktop_ft.core.data.read import MalformedRow
from desktop_ft.core.data.signals import Signal

FEW_ROWS: Final[Mapping[Signal, tuple[int, str, str]]] = {
    "answers": (100, "the model mostly learns them by heart", "Add examples; a few hundred good ones are a start for LoRA."),
    "text": (100, "the model mostly learns them by heart", "Add text; continued pretraining wants much of it."),
    "pairs": (200, "the model learns these answers rather than why one is better", "Add pairs; some hundreds are a start."),
    "judgments": (
        200,
        "the model learns these answers rather than what makes one good",
        "Add answers; some hundreds are a start.",
    ),
    "prompts": (50, "the model meets the same questions again and again", "Add prompts; they need no answers."),
}
"""Below this many a run of the kind is a trial, what then happens, and what to do: rules of thumb."""


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
            "fixes": list(FIXES_OF.get(self.code, ())),
        }


def malformed_rows(malformed: Sequence[MalformedRow]) -> Finding | None:
    """Rows that cannot be used."""
    if not malformed:
        return None
    first = malformed[0]
    return Finding(
        "malformed_rows",
        "Malformed rows",
        f"{num_rows(len(malformed))} cannot be used; the first is row {first.number}: {first.reason} Training refuses the file.",
        "error",
        tuple(row.number - 1 for row in malformed),
        "Mend or remove these rows.",
    )


def exact_duplicates(examples: Numbered) -> Finding | None:
    """Rows that repeat an earlier one."""
    repeated = exact_duplicates_of(examples)
    if not repeated:
        return None
    return Finding(
        "exact_duplicates",
        "Exact duplicates",
        f"{num_rows(len(repeated))} repeat an earlier one word for word; the model learns those by heart.",
        "warning",
        tuple(repeated),
        "Keep one of each.",
    )


def over_length(token_counts: Mapping[int, int], max_length: int | None, signal: Signal, *, whole_answers: bool) -> Finding | None:
    """Examples longer than the maximum length, and what becomes of them."""
    if max_length is None:
        return None
    over = {index: count for index, count in token_counts.items() if count > max_length}
    if not over:
        return None
    lost = sum(over.values()) - max_length * len(over)
    share = lost / sum(token_counts.values())
    if signal == "prompts":
        what = "training leaves these prompts out"
    elif whole_answers:
        what = "a reward model leaves these pairs out"
    else:
        what = f"{lost} tokens ({share:.1%}) are cut off, end tokens among them"
    return Finding(
        "over_length",
        "Longer than the maximum length",
        f"{num_rows(len(over))} have more than {max_length} tokens; {what}.",
        "warning",
        tuple(sorted(over)),
        f"Raise the maximum length (the longest row has {max(over.values())} tokens), or shorten these rows.",
    )


def too_few_rows(num_usable: int, signal: Signal, *, is_full: bool = False) -> Finding | None:
    """Fewer examples than a run of this kind wants, or than full fine-tuning wants where that is the method."""
    few, consequence, fix = FEW_ROWS[signal]
    if num_usable < few:
        message = f"{num_rows(num_usable)} can be used. Below {few} {consequence}."
        return Finding("too_few_rows", "Few examples", message, "warning", (), fix)
    if is_full and num_usable < FEW_ROWS_FULL and signal in ("answers", "pairs", "judgments"):
        message = (
            f"{num_rows(num_usable)} can be used, and full fine-tuning changes every weight. Below about {FEW_ROWS_FULL} it tends to learn"
            " them by heart and to forget what the model could do; LoRA does as well from so few and forgets less."
        )
        fix = f"Choose LoRA, or have at least {FEW_ROWS_FULL} examples."
        return Finding("too_few_rows", "Few examples for full fine-tuning", message, "warning", (), fix)
    return None


def num_rows(count: int) -> str:
    """So many rows, in words."""
    return "1 row" if count == 1 else f"{count} rows"
