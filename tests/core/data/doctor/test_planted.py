"""The doctor against a file with planted faults and rows that look alike: precision and recall of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.data.check import inspect_data
from tests.helpers.planted_faults import MAKERS, OF_TWO, Planted, plant

AT_LEAST = 0.95


def _worst(planted: Planted) -> dict[str, tuple[float, float]]:
    """Precision and recall by code, where one of them is too low; and findings that nobody planted."""
    report = inspect_data(planted.train, eval_path=planted.eval)
    found = {finding.code: set(finding.rows) for finding in report.findings}
    assert set(planted.faults) == {*MAKERS, *OF_TWO}
    assert set(found) == set(planted.faults)
    measured: dict[str, tuple[float, float]] = {}
    for code, rows in planted.faults.items():
        right = len(found[code] & rows)
        measured[code] = right / len(found[code]), right / len(rows)
    return {code: pair for code, pair in measured.items() if min(pair) < AT_LEAST}


def test_planted_faults_are_found_and_look_alikes_are_not(tmp_path: Path) -> None:
    assert _worst(plant(tmp_path, 1500, num_faults=20, num_look_alikes=40, seed=1)) == {}


@pytest.mark.real
@pytest.mark.parametrize("seed", [2])
def test_planted_faults_among_ten_thousand_rows(seed: int, tmp_path: Path) -> None:
    planted = plant(tmp_path, 10_000, num_faults=60, num_look_alikes=220, seed=seed)
    assert min(planted.look_alikes.values()) >= 200
    assert _worst(planted) == {}
