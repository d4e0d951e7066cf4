"""A file's examples as one objective learns from them, still in groups: what came of one row stays together until the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from desktop_ft.core.data.fixes import MALFORMED
from desktop_ft.core.data.formats import Detection
from desktop_ft.core.data.prepared import NumberedExample
from desktop_ft.core.data.records import Example, Preference, Ranked, has_turns
from desktop_ft.core.data.signals import TOKENISED_HERE, Signal, adapt
from desktop_ft.core.data.tokenise import ROW_ERRORS
from desktop_ft.core.errors import DesktopFtError

Group = Sequence[NumberedExample]


@dataclass(frozen=True)
class Learning:
    """What can be learnt from a file.

    Attributes:
        detection: Its format.
        groups: For each row what came of it, one example or two, with the row's number.
        dropped: Rows that fixes left out, by fix.
        num_repeated: Pairs left out because both answers are the same, or equally good.
    """

    detection: Detection
    groups: list[Group]
    dropped: Mapping[str, int]
    num_repeated: int


def learning_from(
    detection: Detection,
    examples: Sequence[NumberedExample],
    dropped: Mapping[str, int],
    signal: Signal,
    *,
    as_chat: bool,
    skips_malformed: bool,
) -> Learning:
    """Adapt every example to the signal.

    Args:
        detection: The file's format.
        examples: Its records, with their rows' numbers.
        dropped: Rows that fixes left out already.
        signal: What the objective learns from.
        as_chat: Whether the model has a chat template.
        skips_malformed: Leave out rows that do not fit, instead of raising.

    Raises:
        DesktopFtError: As `signals.adapt`; ``data_rows_mixed``; ``data_nothing_to_learn`` if no row is left.
    """
    groups: list[Group] = []
    num_malformed, num_repeated = 0, 0
    for number, example in examples:
        if signal in ("pairs", "judgments") and _is_tie(example):
            num_repeated += 1
            continue
        try:
            adapted = adapt(example, number, signal, as_chat=as_chat)
        except DesktopFtError as error:
            if not skips_malformed or error.code not in ROW_ERRORS:
                raise
            num_malformed += 1
            continue
        if adapted:
            groups.append([(number, one) for one in adapted])
    if not groups:
        raise _nothing(len(examples), num_repeated, num_malformed)
    if signal not in TOKENISED_HERE:
        _check_one_kind(groups)
    counts = dict(dropped)
    if num_malformed:
        counts[MALFORMED] = counts.get(MALFORMED, 0) + num_malformed
    return Learning(detection, groups, counts, num_repeated)


def in_order(groups: Sequence[Group]) -> list[NumberedExample]:
    """The examples of the groups: the first of each, then the second of each.

    KTO estimates a divergence from answers that it pairs with their neighbours' prompts, so the two answers to one prompt must not be
    neighbours. Source: trl 1.16, ``unpair_preference_dataset``.
    """
    most = max((len(group) for group in groups), default=0)
    return [group[rank] for rank in range(most) for group in groups if rank < len(group)]


def _is_tie(example: Example) -> bool:
    """Whether there is nothing to prefer."""
    match example:
        case Preference(_, chosen, rejected):
            return chosen == rejected
        case Ranked():
            return not example.pairs()
        case _:
            return False


def _check_one_kind(groups: Sequence[Group]) -> None:
    """TRL decides by the first row whether all are chats."""
    is_chat = has_turns(groups[0][0][1])
    for group in groups:
        number, example = group[0]
        if has_turns(example) != is_chat:
            kinds = ("turns", "text") if is_chat else ("text", "turns")
            raise DesktopFtError(
                "data_rows_mixed",
                "Some rows are chats and some are text",
                f"Row {groups[0][0][0]} is written as {kinds[0]}, row {number} as {kinds[1]}; one run takes one or the other.",
                "Give every row a prompt, and write all of them in one way.",
            )


def _nothing(num_rows: int, num_repeated: int, num_malformed: int) -> DesktopFtError:
    reasons = [
        f"{num_repeated} have answers that are the same or equally good" if num_repeated else "",
        f"{num_malformed} cannot be read" if num_malformed else "",
    ]
    why = "; ".join(filter(None, reasons)) or "every answer is marked bad"
    return DesktopFtError(
        "data_nothing_to_learn",
        "The file teaches nothing",
        f"None of its {num_rows} rows can be learnt from: {why}.",
        "Choose another file, or mend this one.",
    )
