"""What may be wrong with pairs and marked answers: nothing to prefer, contradictions, and what gives the better answer away. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from desktop_ft.core.data.doctor.pairs import identical_pairs, label_conflicts, swapped_pairs
from desktop_ft.core.data.findings import Finding, num_rows
from desktop_ft.core.data.fixes import Numbered
from desktop_ft.core.data.records import Judged, Preference, answers

_BIASED_SHARE: Final = 0.75
"""Of the pairs whose answers differ in length; above it, length alone is a fair guess at the better one."""
_FEWEST_FOR_BIAS: Final = 20
_RARE_SHARE: Final = 0.25
"""Below this share of good or of bad answers KTO wants weights."""


def judged_findings(examples: Numbered) -> tuple[Finding | None, ...]:
    """Every finding about pairs and marked answers, the worst first."""
    pairs = [(index, example) for index, example in examples if isinstance(example, Preference)]
    judged = [(index, example) for index, example in examples if isinstance(example, Judged)]
    return (_label_conflicts(judged), _swapped_pairs(pairs), _identical_pairs(pairs), _class_imbalance(judged), _length_bias(pairs))


def _identical_pairs(pairs: Sequence[tuple[int, Preference]]) -> Finding | None:
    same = tuple(identical_pairs(pairs))
    if not same:
        return None
    return Finding(
        "identical_pairs",
        "Both answers are the same",
        f"{num_rows(len(same))} have the same answer twice; there is nothing to prefer, so training leaves them out.",
        "warning",
        same,
        "Write a second answer, or remove these rows.",
    )


def _swapped_pairs(pairs: Sequence[tuple[int, Preference]]) -> Finding | None:
    """Pairs that another row holds the other way round."""
    swapped = tuple(swapped_pairs(pairs))
    if not swapped:
        return None
    return Finding(
        "swapped_pairs",
        "Pairs that contradict each other",
        f"{num_rows(len(swapped))} stand in the file the other way round too; what one teaches the other takes back.",
        "warning",
        swapped,
        "Decide which answer is better and remove the other row.",
    )


def _label_conflicts(judged: Sequence[tuple[int, Judged]]) -> Finding | None:
    """Answers that are marked good in one row and bad in another."""
    both = tuple(label_conflicts(judged))
    if not both:
        return None
    return Finding(
        "label_conflicts",
        "Answers marked both good and bad",
        f"{num_rows(len(both))} hold an answer that is marked good in one row and bad in another.",
        "warning",
        both,
        "Decide which mark is right and remove the other row.",
    )


def _class_imbalance(judged: Sequence[tuple[int, Judged]]) -> Finding | None:
    """Few good or few bad answers. Source: Ethayarajh et al. 2024, arXiv 2402.01306, equation 8."""
    num_good = sum(one.is_good for _, one in judged)
    num_bad = len(judged) - num_good
    if not judged or min(num_good, num_bad) >= _RARE_SHARE * len(judged):
        return None
    title = "Good and bad answers are out of balance"
    if not num_good or not num_bad:
        kind = "good" if num_good else "bad"
        message = f"All {len(judged)} answers are marked {kind}; what makes an answer good shows only beside bad ones."
        return Finding("class_imbalance", title, message, "warning", (), "Add answers of the other kind.")
    rare, field, weight = (
        ("good", "desirable_weight", num_bad / num_good) if num_good < num_bad else ("bad", "undesirable_weight", num_good / num_bad / 1.33)
    )
    return Finding(
        "class_imbalance",
        title,
        f"{num_good} answers are good and {num_bad} are bad; the {rare} ones hardly count.",
        "warning",
        (),
        f"Add {rare} answers, or set objective.kto.{field} to about {weight:.1f}.",
    )


def _length_bias(pairs: Sequence[tuple[int, Preference]]) -> Finding | None:
    lengths = [(_num_characters(pair), _num_characters(Preference(pair.prompt, pair.rejected, pair.chosen))) for _, pair in pairs]
    different = [(chosen, rejected) for chosen, rejected in lengths if chosen != rejected]
    if len(different) < _FEWEST_FOR_BIAS:
        return None
    share = sum(chosen > rejected for chosen, rejected in different) / len(different)
    if max(share, 1 - share) <= _BIASED_SHARE:
        return None
    word = "longer" if share > 0.5 else "shorter"
    return Finding(
        "length_bias",
        f"The better answer is mostly the {word} one",
        f"In {max(share, 1 - share):.0%} of the pairs the chosen answer is the {word} one; the model may learn length instead of quality.",
        "warning",
        (),
        f"Add pairs in which the {word} answer is the worse one.",
    )


def _num_characters(pair: Preference) -> int:
    """Of the better answer."""
    return sum(len(answer) for answer in answers(pair))
