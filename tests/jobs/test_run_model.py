"""Folding events into what the window shows, without threads."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from desktop_ft.core.events import (
    CheckpointSaved,
    ErrorRaised,
    EvaluationDone,
    Event,
    PhaseChanged,
    Progress,
    RunFinished,
    RunStarted,
    SampleDone,
    StepDone,
    WarningRaised,
)
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.runs import RunDir
from desktop_ft.jobs.run_model import BestEvaluation, RunModel
from desktop_ft.jobs.training_worker import EngineEnd


@pytest.fixture
def model() -> RunModel:
    return RunModel(RunDir(Path("/runs/one")))


def started(start_step: int = 0, pid: int = 7) -> RunStarted:
    return RunStarted(pid=pid, num_steps=100, start_step=start_step, device="A card", device_bytes=8 << 30, time=1000.0)


def step(number: int, loss: float | None = 1.0) -> StepDone:
    return StepDone(step=number, epoch=number / 100, loss=loss, memory_bytes=1 << 30, seconds=1.0, time=1000.0 + number)


def changes(model: RunModel) -> list[str]:
    names: list[str] = []
    for part in ("status", "progress", "curves", "samples", "messages", "checkpoints"):
        getattr(model, f"{part}_changed").connect(lambda part=part: names.append(part))
    return names


def test_every_signal_comes_once_for_a_batch(model: RunModel) -> None:
    names = changes(model)
    model.fold([step(number) for number in range(1, 51)])
    assert sorted(names) == ["curves", "progress"]
    names.clear()
    model.fold([])
    assert names == []


def test_a_new_run_fills_every_attribute(model: RunModel) -> None:
    sample = SampleDone(step=0, index=0, prompt="Hi", text="?")
    warning = WarningRaised(code="w", title="W", message="m")
    saved = CheckpointSaved(step=2, path="checkpoints/step-000002")
    model.fold([started(), PhaseChanged(phase="train", detail="Training"), sample, step(1), step(2, loss=0.5), warning, saved])
    assert (model.status, model.phase, model.phase_detail, model.step, model.num_steps) == ("running", "train", "Training", 2, 100)
    assert (model.device, model.device_bytes, model.epoch, model.started_time) == ("A card", 8 << 30, 0.02, 1000.0)
    assert model.samples == {"Hi": [sample]}
    assert (model.warnings, model.checkpoints) == ([warning], {2: saved})
    assert model.curves["memory_bytes"].values.tolist() == [float(1 << 30)] * 2


def test_progress_belongs_to_its_phase(model: RunModel) -> None:
    model.fold([Progress(phase="tokenize", done=5, total=10, detail="Reading rows")])
    assert (model.phase, model.phase_done, model.phase_total, model.phase_detail) == ("tokenize", 5, 10, "Reading rows")
    model.fold([PhaseChanged(phase="train", detail="Training")])
    assert (model.phase_done, model.phase_total) == (0, 0)


def test_steps_done_again_after_a_resume_replace_the_old(model: RunModel) -> None:
    first: list[Event] = [started(), *(step(number, loss=2.0) for number in range(1, 9))]
    first += [EvaluationDone(step=4, loss=1.5), EvaluationDone(step=8, loss=1.0), SampleDone(step=8, index=0, prompt="Hi", text="old")]
    model.fold([*first, CheckpointSaved(step=4, path="a"), CheckpointSaved(step=8, path="b")])
    assert model.best_evaluation == BestEvaluation(8, 1.0)
    model.fold([started(start_step=4, pid=8), step(5, loss=3.0)])
    assert model.curves["loss"].steps.tolist() == [1, 2, 3, 4, 5]
    assert model.curves["loss"].values.tolist() == [2.0, 2.0, 2.0, 2.0, 3.0]
    assert model.best_evaluation == BestEvaluation(4, 1.5)
    assert (model.samples, list(model.checkpoints)) == ({"Hi": []}, [4])


def test_a_step_logged_twice_without_a_restart_is_there_once(model: RunModel) -> None:
    model.fold([started(), step(1), step(2), step(2, loss=5.0)])
    assert model.curves["loss"].values.tolist() == [1.0, 5.0]


def test_a_loss_that_is_no_number_is_never_the_best(model: RunModel) -> None:
    model.fold([EvaluationDone(step=1, loss=None), EvaluationDone(step=2, loss=2.0), EvaluationDone(step=3, loss=None)])
    assert model.best_evaluation == BestEvaluation(2, 2.0)
    assert np.isnan(model.curves["eval_loss"].values).tolist() == [True, False, True]
    assert model.curves["eval_loss"].last == 2.0


def test_curves_grow_and_are_read_only(model: RunModel) -> None:
    model.fold(step(number, loss=float(number)) for number in range(1, 1001))
    curve = model.curves["loss"]
    assert (len(curve), float(curve.values.sum())) == (1000, 500500.0)
    with pytest.raises(ValueError, match="read-only"):
        curve.values[0] = 1.0


def test_the_engines_own_error_is_kept_when_it_ends(model: RunModel) -> None:
    model.fold(
        [started(), ErrorRaised(code="oom", title="Out of memory", message="m", hint="h", traceback="t"), RunFinished(status="failed")]
    )
    model.on_engine_ended(EngineEnd("failed", exit_code=1))
    assert model.error is not None
    assert (model.status, model.error.code, model.error_details) == ("failed", "oom", "t")


def test_an_error_is_gone_once_the_run_goes_again(model: RunModel) -> None:
    model.fold([started(), step(1)])
    model.on_engine_ended(EngineEnd("crashed", reason="it crashed", console_tail="last words"))
    assert model.error is not None
    assert (model.error.code, model.error_details) == ("engine_crashed", "last words")
    assert "starts from the beginning" in model.error.hint
    model.fold([started()])
    assert (model.error, model.error_details, model.status) == (None, "", "running")


def test_while_an_engine_is_started_the_past_is_not_the_status(model: RunModel) -> None:
    model.expect_engine()
    model.fold([started(), step(1), RunFinished(status="stopped")])
    model.on_engine_ended(EngineEnd("stopped"))
    assert model.status == "starting"
    model.on_engine_started(ProcessMark(8, 0.0))
    assert (model.status, model.engine) == ("starting", ProcessMark(8, 0.0))
    model.fold([started(start_step=1, pid=8)])
    assert model.status == "running"


def test_a_live_run_that_is_attached_to_is_running(model: RunModel) -> None:
    model.fold([started(pid=7), step(1)])
    model.on_engine_started(ProcessMark(7, 0.0))
    assert (model.status, model.step) == ("running", 1)


def test_health_is_said_of_the_runs_own_curves(model: RunModel) -> None:
    model.fold([started(), *(step(number, loss=2.0 - number / 100) for number in range(1, 31))])
    assert [note.tone for note in model.health()] == ["good"]
    model.fold([step(31, loss=None)])
    assert model.health()[0].tone == "bad"
    assert model.curves.steps_at_both_ends(2, 3)[-1].memory_bytes == 1 << 30
    assert [event.step for event in model.curves.steps_at_both_ends(2, 3)] == [1, 2, 29, 30, 31]


# --- time left -------------------------------------------------------------------------------------------------------


def test_time_left_is_unknown_before_enough_was_seen(model: RunModel) -> None:
    model.fold([started(), step(1), step(2)])
    assert model.time_left() is None


def test_time_left_of_even_steps(model: RunModel) -> None:
    model.fold([started(), *(step(number) for number in range(1, 21))])
    left = model.time_left()
    assert left is not None
    assert math.isclose(left.seconds, 80.0)
    assert 0 < left.uncertainty_seconds <= 0.3 * 80.0


def test_time_left_counts_evaluations_and_saves(model: RunModel) -> None:
    events: list[Event] = [started()]
    now = 1000.0
    for number in range(1, 51):
        now += 1.0
        events.append(StepDone(step=number, epoch=0.0, seconds=1.0, time=now))
        if number % 10 == 0:
            now += 5.0
            events.append(EvaluationDone(step=number, loss=1.0, seconds=4.0, time=now))
    model.fold(events)
    left = model.time_left()
    assert left is not None
    assert left.seconds == pytest.approx(50 * 1.0 + 5 * 5.0, abs=0.5)
    assert left.uncertainty_seconds < 5.0


def test_a_run_that_slows_down_is_less_certain(model: RunModel) -> None:
    steady, slowing = RunModel(RunDir(Path("/runs/a"))), RunModel(RunDir(Path("/runs/b")))
    for one, slowdown in ((steady, 0.0), (slowing, 0.05)):
        now = 1000.0
        events: list[Event] = [started()]
        for number in range(1, 41):
            seconds = 1.0 + slowdown * number
            now += seconds
            events.append(StepDone(step=number, epoch=0.0, seconds=seconds, time=now))
        one.fold(events)
    even, uneven = steady.time_left(), slowing.time_left()
    assert even is not None
    assert uneven is not None
    assert uneven.uncertainty_seconds / uneven.seconds > 2 * even.uncertainty_seconds / even.seconds


def test_there_is_no_time_left_once_it_ended(model: RunModel) -> None:
    model.fold([started(), *(step(number) for number in range(1, 21)), RunFinished(status="stopped")])
    assert model.time_left() is None
