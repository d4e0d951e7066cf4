"""A sweep of learning rates with the real trainers on the tiny model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from desktop_ft.core.config import RunConfig
from desktop_ft.core.control import send_control
from desktop_ft.core.events import CheckpointSaved, ErrorRaised, EvaluationDone, LrPoint, LrSuggested, RunFinished, StepDone
from desktop_ft.core.job import JobDir
from desktop_ft.core.lr_finder import create_sweep
from desktop_ft.core.runs import RunDir, sha256_of
from desktop_ft.engine.jobs import run_job
from tests.engine.conftest import NewRun
from tests.engine.helpers import at_look, events_of


@pytest.fixture
def settings(tiny: Path, pairs: Path) -> dict[str, object]:
    return {"model.source": str(tiny), "data.train": str(pairs), "training.micro_batch_size": 2, "method.dropout": 0.1}


def config_of(new_run: NewRun, settings: Mapping[str, object]) -> RunConfig:
    return new_run("stated", settings).config()


def sweep(job: JobDir) -> tuple[list[LrPoint], list[LrSuggested]]:
    assert run_job(job.path) == 0
    log = RunDir(job.path)
    assert [event.status for event in events_of(log, RunFinished)] == ["completed"]
    return events_of(log, LrPoint), events_of(log, LrSuggested)


def test_a_rate_that_diverges_is_not_suggested_and_the_model_is_untouched(
    new_run: NewRun, settings: dict[str, object], tiny: Path, tmp_path: Path
) -> None:
    before = sha256_of(tiny / "model.safetensors")
    full = {"method.kind": "full", "method.dropout": 0.0, "training.optim": "sgd", "training.max_grad_norm": 0}
    job = create_sweep(tmp_path / "jobs", config_of(new_run, {**settings, **full}), low=1e-3, high=1.0, num_steps=6, num_rates=7)
    points, (suggested,) = sweep(job)

    assert [point.rate for point in points] == sorted(point.rate for point in points)
    assert len({point.first_loss for point in points}) == 1, "every rate begins from the same weights and examples"
    assert [(point.rate, point.has_diverged) for point in points[-2:]] == [(0.316, False), (1.0, True)]
    assert points[-1].num_steps < 6
    assert suggested.rate == 0.1
    assert "From 1 on it diverges." in suggested.message
    assert sha256_of(tiny / "model.safetensors") == before
    log = RunDir(job.path)
    assert events_of(log, StepDone) == events_of(log, CheckpointSaved) == events_of(log, EvaluationDone) == []
    assert list(log.checkpoints.glob("step-*")) == []
    assert not log.adapter.exists()
    assert not log.model.exists()


def test_a_point_does_not_depend_on_those_before_it(new_run: NewRun, settings: dict[str, object], tmp_path: Path) -> None:
    """With dropout and Adam, whose state would tell: the sweep from 1e-3 has the point that the sweep from 1e-4 has there."""
    config = config_of(new_run, settings)
    long, _ = sweep(create_sweep(tmp_path / "long", config, low=1e-4, high=1e-1, num_steps=3, num_rates=4))
    short, _ = sweep(create_sweep(tmp_path / "short", config, low=long[2].rate, high=1e-1, num_steps=3, num_rates=2))
    assert short[0].rate == long[2].rate
    assert (short[0].loss, short[0].first_loss) == (long[2].loss, long[2].first_loss)
    assert len({point.loss for point in long}) == len(long)


def rows_of(objective: str) -> list[dict[str, object]]:
    if objective == "pretrain":
        return [{"text": f"the fox {number} jumps over the lazy dog"} for number in range(12)]
    return [{"prompt": f"the fox {number}", "chosen": " jumps over", "rejected": f" sails {number}"} for number in range(12)]


@pytest.mark.parametrize("objective", ["pretrain", "dpo", "orpo", "kto", "reward"])
def test_every_objective_that_learns_from_data_can_be_swept(
    objective: str, new_run: NewRun, settings: dict[str, object], tmp_path: Path
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows_of(objective)), encoding="utf-8")
    config = config_of(new_run, {**settings, "objective.kind": objective, "data.train": str(data), "method.dropout": 0.0})
    points, suggested = sweep(create_sweep(tmp_path / "jobs", config, low=1e-5, high=1e-2, num_steps=2, num_rates=3))
    assert len(points) == 3
    assert len({point.first_loss for point in points}) == 1
    assert len(suggested) == 1


def test_a_sweep_can_be_stopped(new_run: NewRun, settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = create_sweep(tmp_path / "jobs", config_of(new_run, settings), num_steps=3)
    at_look(monkeypatch, 6, lambda: send_control(job.path, "stop"))
    assert run_job(job.path) == 0
    log = RunDir(job.path)
    assert [event.status for event in events_of(log, RunFinished)] == ["stopped"]
    assert 1 <= len(events_of(log, LrPoint)) <= 2
    assert events_of(log, LrSuggested) == events_of(log, ErrorRaised) == []
