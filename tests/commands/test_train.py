"""train, resume, stop and control with the scripted engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from desktop_ft.core.config import Draft
from desktop_ft.core.eventlog import EventTail, EventWriter
from desktop_ft.core.events import ErrorRaised, PhaseChanged, RunFinished, StepDone
from desktop_ft.core.launcher import start_engine
from desktop_ft.core.resolve import Resolved, load_resolved, save_resolved
from desktop_ft.core.runs import RunDir, list_checkpoints, live_engine
from tests.commands.conftest import MakeRun, Run, Script
from tests.fakes.fake_engine import loss_at

WAIT_SECONDS = 60.0


def wait_until_step(run: RunDir, step: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if any(isinstance(event, StepDone) and event.step >= step for event in EventTail(run.events_file).read_all()):
            return
        threading.Event().wait(0.05)
    pytest.fail(f"step {step} was not reached within {WAIT_SECONDS:.0f} s")


def test_train_streams_its_events_and_ends_with_the_result(desktop_ft: Run, script: Script, run_yaml: Path, tmp_path: Path) -> None:
    script(num_steps=4)
    result = desktop_ft("train", run_yaml, "--run-dir", tmp_path / "run", "--set", "method.rank=8", "--json")
    assert result.status == 0, result.err
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert lines[0] == {"run_dir": str(tmp_path / "run")}
    assert [line["step"] for line in lines[1:-1] if line["kind"] == "step"] == [1, 2, 3, 4]
    assert lines[-1] == {
        "status": "completed", "run_dir": str(tmp_path / "run"), "step": 4, "loss": loss_at(4), "eval_loss": loss_at(0) + 0.1,
    }  # fmt: skip
    assert RunDir(tmp_path / "run").config().method.rank == 8


def test_train_for_a_person_says_where_and_how_it_ended(desktop_ft: Run, script: Script, run_yaml: Path, desktop_ft_home: Path) -> None:
    script(num_steps=3)
    result = desktop_ft("train", run_yaml)
    assert result.status == 0
    assert "completed at step 3" in result.out
    assert "step 3: checkpoint saved" in result.err
    assert [path.name.rpartition("-")[0].rpartition("-")[0] for path in (desktop_ft_home / "runs").iterdir()] == ["mine"]


def test_a_run_that_fails_ends_with_its_error_and_status_1(desktop_ft: Run, script: Script, run_yaml: Path, tmp_path: Path) -> None:
    script(num_steps=4, die_at_step=2)
    result = desktop_ft("train", run_yaml, "--run-dir", tmp_path / "run", "--json")
    assert (result.status, result.error["code"]) == (1, "fake_failure")


def test_an_engine_that_dies_without_a_word_is_told_with_its_last_lines(
    desktop_ft: Run, script: Script, run_yaml: Path, tmp_path: Path
) -> None:
    script(num_steps=4, die_at_step=2, die_how="exit")
    result = desktop_ft("train", run_yaml, "--run-dir", tmp_path / "run")
    assert result.status == 1
    assert "status 3" in result.err
    assert "about to die: exit" in result.err


def test_resume_goes_on_from_the_last_checkpoint(desktop_ft: Run, fake_engine: None, make_run: MakeRun) -> None:
    assert fake_engine is None
    run = make_run("broken", num_steps=12, die_at_step=8, die_how="exit")
    assert desktop_ft("resume", run.path).status == 1
    assert desktop_ft("runs", "show", run.path, "--json").json["status"] == "crashed"
    result = desktop_ft("resume", run.path.name, "--json")
    steps = [json.loads(line)["step"] for line in result.out.splitlines() if '"kind":"step"' in line]
    assert (result.status, steps) == (0, list(range(6, 13)))


def test_a_smaller_micro_batch_is_taken_only_where_it_is_offered(desktop_ft: Run, fake_engine: None, make_run: MakeRun) -> None:
    assert fake_engine is None
    run = make_run("full", num_steps=4, save_every=0, eval_every=0)
    refused = desktop_ft("resume", run.path, "--halve-micro-batch", "--json")
    assert (refused.status, refused.error["code"]) == (2, "retry_not_possible")
    settings = {"training.micro_batch_size": 4, "model.dtype": "float32", "training.optim": "adamw_torch"}
    config = Draft(run.config().model_dump(mode="json")).with_values(settings).validated()
    save_resolved(Resolved(config, {}, 4, 4, 4, 1, ()), run.resolved_file)
    writer = EventWriter(run.events_file)
    writer.write(PhaseChanged(phase="train"))
    writer.write(ErrorRaised(code="out_of_memory", title="Full", message="It was full."))
    writer.write(RunFinished(status="failed"))
    writer.close()

    result = desktop_ft("resume", run.path, "--halve-micro-batch")

    assert result.status == 0
    assert "Go on with a micro-batch of 2 instead of 4" in result.err
    assert load_resolved(run.resolved_file).config.training.micro_batch_size == 2


def test_stop_saves_and_waits_for_the_end(desktop_ft: Run, fake_engine: None, make_run: MakeRun) -> None:
    assert fake_engine is None
    run = make_run("long", num_steps=10_000, step_seconds=0.02, save_every=0)
    child = start_engine(run)
    wait_until_step(run, 2)
    result = desktop_ft("stop", run.path, "--json")
    assert child.wait(WAIT_SECONDS) == 0
    assert (result.status, result.json["status"]) == (0, "stopped")
    assert [item.step for item in list_checkpoints(run)] == [result.json["step"]]


def test_control_waits_for_the_answer(desktop_ft: Run, fake_engine: None, make_run: MakeRun) -> None:
    assert fake_engine is None
    run = make_run("long", num_steps=10_000, step_seconds=0.02, save_every=0)
    child = start_engine(run)
    wait_until_step(run, 1)
    try:
        saved = desktop_ft("control", run.path, "save", "--json")
        assert saved.json == {"number": 1, "control": "save", "accepted": True, "message": ""}
        assert len(list_checkpoints(run)) == 1
        changed = desktop_ft("control", run.path, "set", "training.learning_rate=1e-4", "--json")
        assert (changed.status, changed.json["number"]) == (0, 2)
        request = json.loads((run.control / "000002.json").read_text(encoding="utf-8"))
        assert float(request["values"]["training.learning_rate"]) == 1e-4
        busy = desktop_ft("resume", run.path, "--json")
        assert (busy.status, busy.error["code"]) == (2, "run_is_running")
    finally:
        assert desktop_ft("control", run.path, "stop").status == 0
        child.wait(WAIT_SECONDS)


@pytest.mark.parametrize("arguments", [("stop",), ("control", "save")])
def test_a_run_that_is_not_going_cannot_be_asked(arguments: tuple[str, ...], desktop_ft: Run, make_run: MakeRun) -> None:
    run = make_run()
    result = desktop_ft(arguments[0], run.path, *arguments[1:], "--json")
    assert (result.status, result.error["code"]) == (2, "run_not_running")


def test_an_unknown_request_is_refused(desktop_ft: Run, make_run: MakeRun) -> None:
    result = desktop_ft("control", make_run().path, "dance", "--json")
    assert (result.status, result.error["code"]) == (2, "control_unknown")


@pytest.mark.skipif(os.name != "posix", reason="keys are sent as signals")
@pytest.mark.parametrize("num_keys, status", [(1, 0), (2, 1)])
def test_ctrl_c_stops_and_a_second_one_kills(num_keys: int, status: int, script: Script, run_yaml: Path, tmp_path: Path) -> None:
    script(num_steps=10_000, step_seconds=0.02, save_every=0, ignore_stop=num_keys == 2)
    run = RunDir(tmp_path / "run")
    command = [sys.executable, "-m", "desktop_ft", "train", str(run_yaml), "--run-dir", str(run.path), "--json"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    wait_until_step(run, 2)
    child.send_signal(signal.SIGINT)
    assert "Ctrl-C again" in child.stderr.readline()
    if num_keys == 2:
        child.send_signal(signal.SIGINT)
    assert child.wait(WAIT_SECONDS) == status
    child.stderr.close()
    assert live_engine(run) is None
    assert len(list_checkpoints(run)) == 2 - num_keys
