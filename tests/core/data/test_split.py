"""The split: stable, seeded, and equal rows together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop_ft.core.data.split import split_indices
from desktop_ft.core.errors import DesktopFtError

FINGERPRINTS = st.lists(st.text("abcdef", min_size=1, max_size=3), max_size=60)
FRACTIONS = st.floats(0.1, 0.9)


@given(FINGERPRINTS, FRACTIONS, st.integers())
def test_every_row_is_on_one_side_and_equal_rows_on_the_same(fingerprints: list[str], fraction: float, seed: int) -> None:
    split = split_indices(fingerprints, fraction, seed)
    assert sorted([*split.train, *split.eval]) == list(range(len(fingerprints)))
    assert not {fingerprints[index] for index in split.train} & {fingerprints[index] for index in split.eval}
    if len(set(fingerprints)) >= 2:
        assert split.train
        assert split.eval


@given(FINGERPRINTS, FINGERPRINTS, FRACTIONS, st.integers())
def test_added_rows_move_none_of_the_others(before: list[str], added: list[str], fraction: float, seed: int) -> None:
    anchors = [f"anchor {index}" for index in range(250)]  # so many that chance leaves no side empty
    old = split_indices([*anchors, *before], fraction, seed)
    new = split_indices([*anchors, *before, *added], fraction, seed)
    assert [index for index in new.eval if index < len(anchors) + len(before)] == old.eval


def test_the_share_is_about_what_was_asked_for_and_the_seed_counts() -> None:
    fingerprints = [str(index) for index in range(4000)]
    first = split_indices(fingerprints, 0.1, 1).eval
    assert 330 <= len(first) <= 470
    assert split_indices(fingerprints, 0.1, 2).eval != first
    assert split_indices(fingerprints, 0.1, 1).eval == first


def test_edges() -> None:
    assert split_indices(["a", "b"], 0.0, 0).eval == []
    assert len(split_indices(["a", "b"], 0.01, 0).eval) == 1
    assert [split_indices(["a", "a"], 0.99, seed).train for seed in range(5)] == [[0, 1]] * 5
    assert split_indices([], 0.5, 0).train == []
    with pytest.raises(DesktopFtError, match=r"fraction is 1\.0"):
        split_indices(["a"], 1.0, 0)
