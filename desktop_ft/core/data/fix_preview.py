"""What a fix would do, before it is taken: the first rows that it touches, before and after. Reads the file, changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from desktop_ft.core.data.dataset import held_out_examples
from desktop_ft.core.data.doctor.scan import Examiner
from desktop_ft.core.data.doctor.texts import turns_of
from desktop_ft.core.data.fixes import FIXES, OVER_LENGTH, Numbered, keep
from desktop_ft.core.data.formats import AUTO, resolve_format
from desktop_ft.core.data.read import read_rows
from desktop_ft.core.data.records import Example
from desktop_ft.core.data.signals import SIGNALS, natural_signal
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.config.objectives import ObjectiveName
    from desktop_ft.core.data.tokenizer import ModelTokenizer

Turns = list[tuple[str, str]]
ROWS: Final = 20


@dataclass(frozen=True)
class Touched:
    """A row that a fix touches.

    Attributes:
        index: 0-based.
        before: Role and text of each turn.
        after: The same once mended; None where the row is left out.
    """

    index: int
    before: Turns
    after: Turns | None


@dataclass(frozen=True)
class FixPreview:
    """What a fix does.

    Attributes:
        fix: Its name.
        num_dropped: Rows that it leaves out.
        num_changed: Rows that it mends.
        rows: The first of them.
    """

    fix: str
    num_dropped: int
    num_changed: int
    rows: tuple[Touched, ...]

    def to_dict(self) -> dict[str, object]:
        """The shape that ``data inspect --preview --json`` documents."""
        return {
            "fix": self.fix,
            "num_dropped": self.num_dropped,
            "num_changed": self.num_changed,
            "rows": [{"row": row.index, "before": _plain(row.before), "after": _plain(row.after)} for row in self.rows],
        }


def preview_fix(
    path: Path,
    fix: str,
    *,
    format_name: str = AUTO,
    columns: Mapping[str, str] | None = None,
    fixes: Collection[str] = (),
    eval_path: Path | None = None,
    tokenizer: ModelTokenizer | None = None,
    max_length: int | None = None,
    objective: ObjectiveName | None = None,
    num_rows: int = ROWS,
) -> FixPreview:
    """What one more fix would do to a file. Malformed rows have no text to show; they are counted only.

    Args:
        path: The file.
        fix: One of `fixes.FIXES`.
        format_name: A format's name, or ``auto``.
        columns: Roles mapped to columns by hand.
        fixes: Those that are taken already.
        eval_path: The evaluation file, for ``drop_leakage``.
        tokenizer: The model's, for ``drop_over_length``.
        max_length: Longest sequence in tokens, likewise.
        objective: What the file is to teach, likewise.
        num_rows: How many rows to give.

    Raises:
        DesktopFtError: ``data_fix_unknown``, or as `check.inspect_data`.
    """
    if fix not in FIXES:
        raise _unknown(fix)
    rows = read_rows(path)
    detection = resolve_format(rows.rows, format_name, columns or {})
    others, wanted = [one for one in fixes if one != fix], [*fixes, fix]
    apart = () if eval_path is None else held_out_examples(eval_path, format_name, columns or {}, wanted)
    before = keep(rows, detection.format, detection.columns, others, apart)
    after = keep(rows, detection.format, detection.columns, wanted, apart)
    left = dict(after.examples)
    if fix == OVER_LENGTH and tokenizer is not None and max_length is not None:
        too_long = _too_long(before.examples, tokenizer, max_length, objective)
        left = {index: example for index, example in left.items() if index not in too_long}
    touched = [(index, example, left.get(index)) for index, example in before.examples if left.get(index) != example]
    num_malformed = len(before.malformed) - len(after.malformed)
    return FixPreview(
        fix,
        sum(mended is None for _, _, mended in touched) + num_malformed,
        sum(mended is not None for _, _, mended in touched),
        tuple(Touched(index, turns_of(example), _turns(mended)) for index, example, mended in touched[:num_rows]),
    )


def _too_long(examples: Numbered, tokenizer: ModelTokenizer, max_length: int, objective: ObjectiveName | None) -> frozenset[int]:
    signal = SIGNALS[objective] if objective is not None else natural_signal(examples[0][1]) if examples else "answers"
    facts = Examiner(signal, tokenizer)(examples)
    return frozenset(fact.index for fact in facts if (fact.num_tokens or 0) > max_length)


def _turns(example: Example | None) -> Turns | None:
    return None if example is None else turns_of(example)


def _plain(turns: Turns | None) -> list[dict[str, str]] | None:
    return None if turns is None else [{"role": role, "content": text} for role, text in turns]


def _unknown(fix: str) -> DesktopFtError:
    return DesktopFtError("data_fix_unknown", "There is no such fix", f"'{fix}' is not a fix.", f"There are {', '.join(FIXES)}.")
