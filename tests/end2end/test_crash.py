"""Real processes that are killed: the run outlives its starter, and an engine that dies leaves a run that goes on from its checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import CheckpointSaved, Event, RunFinished, StepDone
from desktop_ft.core.runs import RunDir, live_engine
from tests.conftest import ROOT

WAIT_SECONDS = 240.0
NUM_STEPS = 16
SAVE_STEPS = 4
SETTINGS = f"""\
name: crash
model: {{source: demo}}
data: {{train: demo, max_length: 128, split: {{fraction: 0.02}}}}
method: {{rank: 4, use_dora: false}}
training: {{max_steps: {NUM_STEPS}, global_batch_size: 4, learning_rate: 1.0e-3}}
evaluation: {{eval_steps: {NUM_STEPS}}}
output: {{save_steps: {SAVE_STEPS}}}
"""

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="SIGKILL"), pytest.mark.timeout(600)]


def start_training(folder: Path) -> tuple[RunDir, subprocess.Popen[bytes]]:
    (folder / "run.yaml").write_text(SETTINGS, encoding="utf-8")
    run = RunDir(folder / "run")
    command = [sys.executable, "-m", "desktop_ft", "train", str(folder / "run.yaml"), "--run-dir", str(run.path), "--json"]
    return run, subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def desktop_ft(*arguments: str) -> dict[str, object]:
    """The last line of a command's JSON."""
    done = subprocess.run([sys.executable, "-m", "desktop_ft", *arguments, "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return cast("dict[str, object]", json.loads(done.stdout.splitlines()[-1]))


def events_of(run: RunDir) -> list[Event]:
    return list(EventTail(run.events_file).read_all())


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {WAIT_SECONDS:.0f} s")
        threading.Event().wait(0.02)


def has_saved(run: RunDir, step: int) -> bool:
    return any(isinstance(event, CheckpointSaved) and event.step >= step for event in events_of(run))


def test_the_run_goes_on_when_its_starter_is_killed(tmp_path: Path) -> None:
    run, starter = start_training(tmp_path)
    wait_for(lambda: any(isinstance(event, StepDone) for event in events_of(run)), "the first step")
    starter.kill()
    starter.wait(WAIT_SECONDS)
    assert live_engine(run) is not None
    assert desktop_ft("runs", "show", str(run.path))["status"] == "running"
    wait_for(lambda: live_engine(run) is None, "the end")
    assert [event.status for event in events_of(run) if isinstance(event, RunFinished)] == ["completed"]
    shown = desktop_ft("runs", "show", str(run.path))
    assert (shown["status"], shown["step"]) == ("completed", NUM_STEPS)


def test_a_killed_engine_is_a_crashed_run_that_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    run, starter = start_training(tmp_path)
    wait_for(lambda: has_saved(run, SAVE_STEPS), "the first checkpoint")
    mark = live_engine(run)
    assert mark is not None
    os.kill(mark.pid, signal.SIGKILL)
    assert starter.wait(WAIT_SECONDS) == 1
    shown = desktop_ft("runs", "show", str(run.path))
    checkpoints = [cast("int", item["step"]) for item in cast("list[dict[str, object]]", shown["checkpoints"])]
    assert shown["status"] == "crashed"
    assert checkpoints[0] == SAVE_STEPS

    before = len(events_of(run))
    result = desktop_ft("resume", str(run.path))
    assert (result["status"], result["step"]) == ("completed", NUM_STEPS)
    steps = [event.step for event in events_of(run)[before:] if isinstance(event, StepDone)]
    assert steps == list(range(checkpoints[-1] + 1, NUM_STEPS + 1))
