"""What a run leaves out or mends when it reads its data (``data.fixes``). The file itself is never changed. Imports no tokenizer.

Previews, checks and training all take the road of `keep`, so that what is seen is what is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from desktop_ft.core.data.doctor.contact import CARD, EMAIL, PHONE, card_spans, email_spans, masked, phone_spans
from desktop_ft.core.data.doctor.faults import ROW_CHECKS
from desktop_ft.core.data.doctor.html import has_html, strip_html
from desktop_ft.core.data.doctor.language import languages_of, mixed_rows
from desktop_ft.core.data.doctor.mojibake import repair_mojibake
from desktop_ft.core.data.doctor.near_duplicates import near_any, near_duplicates
from desktop_ft.core.data.doctor.pairs import identical_pairs, label_conflicts, swapped_pairs
from desktop_ft.core.data.doctor.secrets import mask_api_keys
from desktop_ft.core.data.doctor.texts import rewritten, seen
from desktop_ft.core.data.fingerprint import example_fingerprint
from desktop_ft.core.data.fix_names import DUPLICATES, EMPTY, LEAKAGE, MALFORMED, NEAR_DUPLICATES, OVER_LENGTH
from desktop_ft.core.data.formats import to_example
from desktop_ft.core.data.read import MalformedRow, Rows
from desktop_ft.core.data.records import Example
from desktop_ft.core.errors import DesktopFtError

Numbered = Sequence[tuple[int, Example]]
"""0-based index of the row, and what it says."""

Mend = Callable[[Example], Example]


def _masking(spans: Callable[[str], list[tuple[int, int]]], mask: str) -> Mend:
    return lambda example: rewritten(example, lambda text: masked(text, spans(text), mask))


def _without_html(example: Example) -> Example:
    return rewritten(example, strip_html) if has_html(seen(example)) else example


REPAIRS: Final[Mapping[str, Mend]] = {
    "repair_mojibake": lambda example: rewritten(example, repair_mojibake),
    "strip_html": _without_html,
    "mask_api_keys": lambda example: rewritten(example, mask_api_keys),
    "mask_cards": _masking(card_spans, CARD),
    "mask_emails": _masking(email_spans, EMAIL),
    "mask_phones": _masking(phone_spans, PHONE),
}
"""Fixes that mend a row's text; each is a function of the row alone. In the order in which they are applied, before rows are left out."""


def _with_fault(code: str) -> Callable[[Numbered], list[int]]:
    check = ROW_CHECKS[code]
    return lambda examples: [index for index, example in examples if check(seen(example))]


def mixed_languages(examples: Numbered) -> list[int]:
    """Indices of the rows that answer in another language than asked, or than nearly all of the file."""
    return mixed_rows([(index, *languages_of(seen(example))) for index, example in examples])


def empty_answers(examples: Numbered) -> list[int]:
    """Indices of the rows with an answer that has no word."""
    return _with_fault("empty_answers")(examples)


def exact_duplicates(examples: Numbered) -> list[int]:
    """Indices of the rows that repeat an earlier one word for word."""
    known: set[str] = set()
    repeated: list[int] = []
    for index, example in examples:
        fingerprint = example_fingerprint(example)
        if fingerprint in known:
            repeated.append(index)
        known.add(fingerprint)
    return repeated


def distinct(examples: Numbered) -> Numbered:
    """The rows without those that repeat an earlier one word for word."""
    repeated = frozenset(exact_duplicates(examples))
    return [row for row in examples if row[0] not in repeated] if repeated else examples


_UNWANTED: Final[Mapping[str, Callable[[Numbered], list[int]]]] = {
    EMPTY: empty_answers,
    **{
        f"drop_{code}": _with_fault(code)
        for code in ("one_word_answers", "mojibake", "html", "refusals", "api_keys", "cards", "emails", "phones", "tool_calls")
    },
    "drop_language_mix": mixed_languages,
    "drop_identical_pairs": identical_pairs,
    "drop_swapped_pairs": swapped_pairs,
    "drop_label_conflicts": label_conflicts,
    DUPLICATES: exact_duplicates,
    NEAR_DUPLICATES: lambda examples: near_duplicates(distinct(examples)),
}
"""Fixes that leave rows out, in the order in which they are applied."""

FIXES: Final = (MALFORMED, *REPAIRS, *_UNWANTED, LEAKAGE, OVER_LENGTH)
"""All, in the order in which they are applied."""

_WORDS: Final[Mapping[str, str]] = {
    MALFORMED: "cannot be read",
    EMPTY: "have an answer without a word",
    DUPLICATES: "repeat an earlier one word for word",
    OVER_LENGTH: "are longer than the maximum length",
    "drop_one_word_answers": "answer with one word where more was asked for",
    "drop_mojibake": "hold broken characters",
    "drop_html": "hold debris of web pages",
    "drop_refusals": "refuse, or speak of being a language model",
    "drop_api_keys": "hold keys or tokens",
    "drop_cards": "hold card numbers",
    "drop_emails": "hold e-mail addresses",
    "drop_phones": "hold phone numbers",
    "drop_tool_calls": "hold calls of tools that cannot be read",
    "drop_language_mix": "answer in another language",
    "drop_identical_pairs": "have the same answer twice",
    "drop_swapped_pairs": "stand in the file the other way round too",
    "drop_label_conflicts": "hold an answer marked both good and bad",
    NEAR_DUPLICATES: "nearly repeat an earlier one",
    LEAKAGE: "stand in the evaluation file too",
    "repair_mojibake": "had broken characters, which are repaired",
    "strip_html": "had tags and entities, which are taken out",
    "mask_api_keys": "had keys or tokens, which are masked",
    "mask_cards": "had card numbers, which are masked",
    "mask_emails": "had e-mail addresses, which are masked",
    "mask_phones": "had phone numbers, which are masked",
}


@dataclass(frozen=True)
class Kept:
    """What is left of a file's rows.

    Attributes:
        examples: Those that stay, in file order.
        malformed: Rows that cannot be read and are not to be left out.
        dropped: Rows left out, by fix; fixes that found nothing are not in it.
        changed: Rows whose text was mended, by fix, likewise.
    """

    examples: list[tuple[int, Example]]
    malformed: tuple[MalformedRow, ...]
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    changed: Mapping[str, int] = field(default_factory=dict[str, int])


def keep(rows: Rows, format_name: str, columns: Mapping[str, str], fixes: Collection[str], held_out: Numbered = ()) -> Kept:
    """Turn rows into examples, mend and leave out what the fixes name; `OVER_LENGTH` is up to whoever counts tokens.

    Args:
        rows: As `read_rows` gives them without ``strict``.
        format_name: One of `formats.FORMATS`.
        columns: Role to column name.
        fixes: Names of `FIXES`.
        held_out: The examples of the evaluation file, for `LEAKAGE`; none for the evaluation file itself.
    """
    examples, malformed = _converted(rows, format_name, columns)
    dropped: dict[str, int] = {}
    changed: dict[str, int] = {}
    if MALFORMED in fixes:
        dropped[MALFORMED], malformed = len(malformed), []
    for fix, mend in REPAIRS.items():
        if fix in fixes:
            mended = [(index, mend(example)) for index, example in examples]
            changed[fix] = sum(after is not before for (_, after), (_, before) in zip(mended, examples, strict=True))
            examples = mended
    unwanted = {**_UNWANTED, LEAKAGE: lambda left: near_any(left, held_out)} if held_out else _UNWANTED
    for fix, find in unwanted.items():
        if fix in fixes:
            found = frozenset(find(examples))
            dropped[fix] = len(found)
            examples = [pair for pair in examples if pair[0] not in found]
    ordered = tuple(sorted(malformed, key=lambda row: row.number))
    return Kept(
        examples, ordered, {fix: count for fix, count in dropped.items() if count}, {fix: count for fix, count in changed.items() if count}
    )


def _converted(rows: Rows, format_name: str, columns: Mapping[str, str]) -> tuple[list[tuple[int, Example]], list[MalformedRow]]:
    examples: list[tuple[int, Example]] = []
    malformed = list(rows.malformed)
    for row, number in zip(rows.rows, rows.numbers, strict=True):
        try:
            examples.append((number - 1, to_example(row, number, format_name, columns)))
        except DesktopFtError as error:
            malformed.append(MalformedRow(number, error.message))
    return examples, malformed


def dropped_note(dropped: Mapping[str, int]) -> str:
    """A sentence about what was left out; empty where nothing was."""
    parts = [f"{dropped[fix]} that {_WORDS[fix]}" for fix in FIXES if dropped.get(fix)]
    return f"Left out as asked: rows, {'; '.join(parts)}." if parts else ""


def changed_note(changed: Mapping[str, int]) -> str:
    """A sentence about what was mended; empty where nothing was."""
    parts = [f"{changed[fix]} that {_WORDS[fix]}" for fix in FIXES if changed.get(fix)]
    return f"Mended as asked: rows, {'; '.join(parts)}." if parts else ""


def nothing_left(name: str, dropped: Mapping[str, int]) -> DesktopFtError:
    """``data_all_dropped``: the fixes left out every row of a file."""
    return DesktopFtError(
        "data_all_dropped",
        "No row is left to train on",
        f"The fixes leave out all {sum(dropped.values())} rows of {name}.",
        "Take back a fix in data.fixes, or mend the file.",
    )
