"""What goes wrong in training ends in words that help, and in nothing half-written."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors import SafetensorError

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import ErrorRaised, RunFinished, StepDone
from desktop_ft.core.runs import RunDir, list_checkpoints, sound_checkpoints
from desktop_ft.engine.errors import BUG_CODE, Situation, translate
from desktop_ft.engine.objectives.sft import SftTraining
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work


@pytest.fixture
def settings(tiny: Path, pairs: Path) -> dict[str, object]:
    return {"model.source": str(tiny), "data.train": str(pairs), "training.max_steps": 6, "output.save_steps": 2}


def failure(run: RunDir) -> ErrorRaised:
    """The one error of a run that has to fail."""
    assert work(run) == 1
    (error,) = events_of(run, ErrorRaised)
    assert [event.status for event in events_of(run, RunFinished)] == ["failed"]
    return error


def test_a_loss_that_is_no_number_ends_the_run(new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = SftTraining.compute_loss

    def broken(self: SftTraining, *args: object, **kwargs: object) -> torch.Tensor:
        loss = cast("torch.Tensor", plain(self, *args, **kwargs))  # pyright: ignore[reportArgumentType]
        return loss * float("nan") if self.state.global_step >= 1 else loss

    monkeypatch.setattr(SftTraining, "compute_loss", broken)
    run = new_run("nan", {**settings, "output.save_steps": 100})
    error = failure(run)
    assert error.code == "loss_not_finite"
    assert "up to step 4" in error.message
    steps = events_of(run, StepDone)
    assert [step.loss is None for step in steps] == [False, True, True, True]
    assert {"grad_norm", "loss"} <= set(steps[-1].non_finite)


def test_a_full_disk_leaves_the_checkpoint_before(new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(value: object, file: str, *args: object) -> None:
        if "checkpoint-4" in file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(value, file)

    save = torch.save
    monkeypatch.setattr(torch, "save", full)
    run = new_run("full", settings)
    error = failure(run)
    assert error.code == "disk_full"
    assert [checkpoint.step for checkpoint in sound_checkpoints(run)] == [2]
    assert [path.name for path in (run.checkpoints / ".unsealed").iterdir()] == []

    monkeypatch.undo()
    assert work(run) == 0
    assert [event.step for event in events_of(run, RunFinished)] == [4, 6]


def test_a_library_that_hides_the_full_disk_is_seen_through(
    new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(value: object, file: str, *args: object) -> None:
        raise SafetensorError("Error while serializing")

    usage = shutil.disk_usage(".")
    monkeypatch.setattr(torch, "save", full)
    monkeypatch.setattr("desktop_ft.engine.checkpoints.shutil.disk_usage", lambda path: usage._replace(free=4096))
    assert failure(new_run("hidden", settings)).code == "disk_full"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"model.source": "./no-such-model"}, "model_missing", "no-such-model"),
        ({"data.train": "no-such-file.jsonl"}, "data_file_missing", "no-such-file.jsonl"),
        ({"data.max_length": 8, "training.max_steps": 1, "data.format": "messages"}, "", ""),
        ({"method.target_modules": ["q_proj", "v_prj"]}, "target_modules_unknown", "v_prj"),
        ({"method.target_modules": ["q_proj", "lm_head"]}, "target_modules_head", "lm_head"),
        ({"model.adapter": "no-such-adapter"}, "adapter_missing", "no-such-adapter"),
    ],
)
def test_mistakes_are_named(change: Mapping[str, object], code: str, words: str, new_run: NewRun, settings: dict[str, object]) -> None:
    error = failure(new_run("mistake", {**settings, **change}))
    assert error.code == code or (not code and error.code != BUG_CODE)
    assert words in error.message + error.hint
    assert error.hint


def test_a_model_that_is_cut_short_is_named(new_run: NewRun, settings: dict[str, object], tiny: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny, tmp_path / "broken"))
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    error = failure(new_run("cut", {**settings, "model.source": str(broken)}))
    assert error.code != BUG_CODE
    assert "model.safetensors" in error.message or "safetensors" in error.message


def test_an_unknown_exception_is_our_bug(new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: SftTraining) -> int:
        raise LookupError("what is this")

    monkeypatch.setattr(SftTraining, "num_planned_steps", broken)
    error = failure(new_run("bug", settings))
    assert (error.code, error.title) == (BUG_CODE, "Desktop FT ran into a bug")
    assert "LookupError: what is this" in error.message
    assert "num_planned_steps" in error.traceback


def test_errors_of_ours_pass_unchanged() -> None:
    error = DesktopFtError("a", "b", "c", "d")
    assert translate(error, Situation()) is error


def test_nothing_is_left_of_a_run_that_failed_early(new_run: NewRun, settings: dict[str, object]) -> None:
    run = new_run("early", {**settings, "data.train": "no-such-file.jsonl"})
    failure(run)
    assert list_checkpoints(run) == []
    assert not [path for path in (run.adapter, run.model, run.resolved_file, run.environment_file) if path.exists()]
