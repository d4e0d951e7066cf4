"""Real windows and engines that are killed: a run outlives its window, the next window has it again, and a dead engine's run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from desktop_ft.core.events import CheckpointSaved, RunFinished, StepDone
from desktop_ft.core.runs import RunDir, live_engine
from tests.conftest import ROOT
from tests.end2end.test_crash import WAIT_SECONDS, events_of, wait_for
from tests.helpers.window_driver import NUM_STEPS, SAVE_STEPS

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="SIGKILL"), pytest.mark.timeout(900)]
Line = dict[str, object]


class Window:
    """A process with the real window, and what it told."""

    def __init__(self, process: subprocess.Popen[bytes], probe: Path) -> None:
        self.process = process
        self._probe = probe

    def lines(self) -> list[Line]:
        text = self._probe.read_text(encoding="utf-8") if self._probe.exists() else ""
        return [cast("Line", json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_for_line(self, what: str, **facts: object) -> Line:
        """The first line with these facts."""

        def found() -> list[Line]:
            return [line for line in self.lines() if facts.items() <= line.items()]

        wait_for(lambda: bool(found()) or self.process.poll() is not None, what)
        assert found(), f"{what}: the window ended with {self.process.returncode} after {self.lines()[-3:]}"
        return found()[0]


@contextmanager
def open_window(mode: str, folder: Path) -> Iterator[Window]:
    """A window that is there until the block ends."""
    probe = folder / f"{mode}.jsonl"
    process = subprocess.Popen([sys.executable, "-m", "tests.helpers.window_driver", mode, str(probe)], cwd=ROOT)
    try:
        yield Window(process, probe)
    finally:
        process.kill()
        process.wait(WAIT_SECONDS)


def test_a_run_outlives_its_window_and_its_engine(tmp_path: Path) -> None:
    with open_window("train", tmp_path) as window:
        run = RunDir(Path(str(window.wait_for_line("the run's page", shown=True)["run"])))
        wait_for(lambda: any(isinstance(event, StepDone) for event in events_of(run)), "the first step")
        window.process.send_signal(signal.SIGKILL)
        window.process.wait(WAIT_SECONDS)
    assert live_engine(run) is not None

    with open_window("watch", tmp_path) as window:
        seen = window.wait_for_line("the run in the second window", shown=True, status="running", run=str(run.path))
        assert cast("int", seen["step"]) >= 1
        assert seen["chip"] == "Training"

        wait_for(lambda: any(isinstance(event, CheckpointSaved) for event in events_of(run)), "the first checkpoint")
        mark = live_engine(run)
        assert mark is not None, "the run ended before its engine could be killed"
        os.kill(mark.pid, signal.SIGKILL)
        crashed = window.wait_for_line("the crash", status="crashed")
        assert (crashed["shown"], crashed["chip"]) == (True, "Crashed")
        offer = window.wait_for_line("the way out", offers="Resume")
        checkpoint = cast("int", offer["checkpoint"])
        assert checkpoint in range(SAVE_STEPS, NUM_STEPS + 1, SAVE_STEPS)

        before = len(events_of(run))
        window.wait_for_line("the end", status="completed", step=NUM_STEPS)
        assert window.process.wait(WAIT_SECONDS) == 0
    events = events_of(run)
    assert [event.step for event in events[before:] if isinstance(event, StepDone)] == list(range(checkpoint + 1, NUM_STEPS + 1))
    assert [event.status for event in events if isinstance(event, RunFinished)] == ["completed"]
