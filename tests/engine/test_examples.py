"""Core's ids as a data set: what TRL reads is what core made, and packing takes it as it takes lists of Python numbers."""

from __future__ import annotations

import pytest
from datasets import Dataset
from trl.data_utils import pack_dataset

from desktop_ft.core.data.tokenise import TokenisedExample
from desktop_ft.engine import examples
from desktop_ft.engine.examples import to_dataset

ROWS = [
    TokenisedExample(tuple(range(n, 2 * n)), (-100,) * (n // 2) + tuple(range(n + n // 2, 2 * n)), False, n - n // 2, True)
    for n in (5, 1, 9)
]


def _as_lists() -> Dataset:
    return Dataset.from_dict({"input_ids": [list(row.input_ids) for row in ROWS], "labels": [list(row.labels) for row in ROWS]})


def test_the_numbers_are_those_of_plain_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "_CHUNK_ROWS", 2)
    assert to_dataset(ROWS).to_dict() == _as_lists().to_dict()


@pytest.mark.parametrize("strategy", ["bfd", "wrapped"])
def test_packed_rows_are_those_of_plain_lists(strategy: str) -> None:
    ours, theirs = (pack_dataset(each, 10, strategy).to_dict() for each in (to_dataset(ROWS), _as_lists()))
    assert ours == theirs
