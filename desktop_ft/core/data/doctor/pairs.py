"""Pairs and marked answers that teach nothing or contradict each other. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from desktop_ft.core.data.records import Example, Judged, Preference, canonical

Numbered = Sequence[tuple[int, Example]]


def identical_pairs(examples: Numbered) -> list[int]:
    """Indices of the pairs whose answers are the same."""
    return [index for index, pair in examples if isinstance(pair, Preference) and pair.chosen == pair.rejected]


def swapped_pairs(examples: Numbered) -> list[int]:
    """Indices of the pairs that another row holds the other way round."""
    pairs = [(index, pair) for index, pair in examples if isinstance(pair, Preference) and pair.chosen != pair.rejected]
    seen = {_key(pair) for _, pair in pairs}
    return [index for index, pair in pairs if _key(Preference(pair.prompt, pair.rejected, pair.chosen)) in seen]


def label_conflicts(examples: Numbered) -> list[int]:
    """Indices of the answers that are marked good in one row and bad in another."""
    judged = [(index, one) for index, one in examples if isinstance(one, Judged)]
    marks: dict[str, set[bool]] = {}
    for _, one in judged:
        marks.setdefault(_answer_key(one), set()).add(one.is_good)
    return [index for index, one in judged if len(marks[_answer_key(one)]) == 2]


def _answer_key(one: Judged) -> str:
    return _key(Judged(one.prompt, one.completion, is_good=True))


def _key(example: Preference | Judged) -> str:
    return json.dumps(canonical(example))
