"""lr-find: what is refused, and what is printed of a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.commands import lr_find
from desktop_ft.commands.follow import Followed, Listener
from desktop_ft.core.events import LrPoint, LrSuggested
from desktop_ft.core.job import JobDir, LrFindRequest, read_job
from desktop_ft.core.workspace import default_workspace
from tests.commands.conftest import Run


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch, desktop_ft_home: Path) -> list[LrFindRequest]:
    """An engine that has tried two rates; what it was asked for."""
    assert desktop_ft_home
    asked: list[LrFindRequest] = []

    def run(job: JobDir, listener: Listener) -> Followed:
        request = read_job(job.path)
        assert isinstance(request, LrFindRequest)
        asked.append(request)
        points = [LrPoint(rate=1e-4, loss=2.5, num_steps=8), LrPoint(rate=1e-2, num_steps=3, has_diverged=True, non_finite=("loss",))]
        return Followed("completed", [*points, LrSuggested(rate=1e-4, message="Because.")])

    monkeypatch.setattr(lr_find, "run_engine", run)
    return asked


def test_the_curve_and_the_suggestion_are_told(desktop_ft: Run, swept: list[LrFindRequest], run_yaml: Path) -> None:
    result = desktop_ft("lr-find", run_yaml, "--high", "1e-2", "--steps", "5", "--json")
    assert result.status == 0
    assert result.json == {
        "points": [
            {"rate": 1e-4, "loss": 2.5, "steps": 8, "has_diverged": False},
            {"rate": 1e-2, "loss": None, "steps": 3, "has_diverged": True},
        ],
        "suggested": 1e-4,
        "message": "Because.",
    }
    assert swept == [LrFindRequest(2e-4 / 32, 1e-2, 5, 11)]
    shown = desktop_ft("lr-find", run_yaml).out
    assert "1.00e-02  loss -  diverged" in shown
    assert "Suggested: training.learning_rate 0.0001. Because." in shown
    assert list((default_workspace().home / "jobs").glob("lr_find-*")) == []


def test_objectives_that_sample_are_refused(desktop_ft: Run, swept: list[LrFindRequest], run_yaml: Path) -> None:
    rules = "objective.rewards.rules=[{kind: length}]"
    result = desktop_ft("lr-find", run_yaml, "--set", "objective.kind=rloo", "--set", rules, "--json")
    assert (result.status, result.error["code"]) == (2, "lr_find_online")
    assert swept == []
