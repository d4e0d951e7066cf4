"""What a run leaves out when it reads its data (``data.fixes``). The file itself is never changed. Imports no tokenizer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from desktop_ft.core.data.fingerprint import example_fingerprint
from desktop_ft.core.data.formats import to_example
from desktop_ft.core.data.read import MalformedRow, Rows
from desktop_ft.core.data.records import Example, answers
from desktop_ft.core.errors import DesktopFtError

MALFORMED: Final = "drop_malformed_rows"
DUPLICATES: Final = "drop_exact_duplicates"
EMPTY: Final = "drop_empty_answers"
OVER_LENGTH: Final = "drop_over_length"
FIXES: Final = (MALFORMED, EMPTY, DUPLICATES, OVER_LENGTH)
"""In the order in which they are applied."""

Numbered = Sequence[tuple[int, Example]]
"""0-based index of the row, and what it says."""

_WORDS: Final[Mapping[str, str]] = {
    MALFORMED: "cannot be read",
    EMPTY: "have an answer without a word",
    DUPLICATES: "repeat an earlier one word for word",
    OVER_LENGTH: "are longer than the maximum length",
}


@dataclass(frozen=True)
class Kept:
    """What is left of a file's rows.

    Attributes:
        examples: Those that stay, in file order.
        malformed: Rows that cannot be read and are not to be left out.
        dropped: Rows left out, by fix; fixes that found nothing are not in it.
    """

    examples: list[tuple[int, Example]]
    malformed: tuple[MalformedRow, ...]
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])


def keep(rows: Rows, format_name: str, columns: Mapping[str, str], fixes: Collection[str]) -> Kept:
    """Turn rows into examples and leave out what the fixes name; `OVER_LENGTH` is up to whoever counts tokens.

    Args:
        rows: As `read_rows` gives them without ``strict``.
        format_name: One of `formats.FORMATS`.
        columns: Role to column name.
        fixes: Names of `FIXES`.
    """
    examples: list[tuple[int, Example]] = []
    malformed = list(rows.malformed)
    for row, number in zip(rows.rows, rows.numbers, strict=True):
        try:
            examples.append((number - 1, to_example(row, number, format_name, columns)))
        except DesktopFtError as error:
            malformed.append(MalformedRow(number, error.message))
    dropped: dict[str, int] = {}
    if MALFORMED in fixes:
        dropped[MALFORMED], malformed = len(malformed), []
    unwanted = {EMPTY: empty_answers, DUPLICATES: exact_duplicates}
    for fix, find in unwanted.items():
        if fix in fixes:
            found = frozenset(find(examples))
            dropped[fix] = len(found)
            examples = [pair for pair in examples if pair[0] not in found]
    ordered = tuple(sorted(malformed, key=lambda row: row.number))
    return Kept(examples, ordered, {fix: count for fix, count in dropped.items() if count})


def empty_answers(examples: Numbered) -> list[int]:
    """Indices of the rows with an answer that has no word."""
    return [index for index, example in examples if any(not answer.strip() for answer in answers(example))]


def exact_duplicates(examples: Numbered) -> list[int]:
    """Indices of the rows that repeat an earlier one word for word."""
    seen: set[str] = set()
    repeated: list[int] = []
    for index, example in examples:
        fingerprint = example_fingerprint(example)
        if fingerprint in seen:
            repeated.append(index)
        seen.add(fingerprint)
    return repeated


def dropped_note(dropped: Mapping[str, int]) -> str:
    """A sentence about what was left out; empty where nothing was."""
    parts = [f"{dropped[fix]} that {_WORDS[fix]}" for fix in FIXES if dropped.get(fix)]
    return f"Left out as asked: rows, {'; '.join(parts)}." if parts else ""


def nothing_left(name: str, dropped: Mapping[str, int]) -> DesktopFtError:
    """``data_all_dropped``: the fixes left out every row of a file."""
    return DesktopFtError(
        "data_all_dropped",
        "No row is left to train on",
        f"The fixes leave out all {sum(dropped.values())} rows of {name}.",
        "Take back a fix in data.fixes, or mend the file.",
    )
