"""Real processes: the window is killed and the run goes on; a second window shows it live; the engine is killed and resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from desktop_ft.core.events import RunStarted
from desktop_ft.core.run_summary import run_folders
from desktop_ft.core.runs import RunDir, live_engine
from desktop_ft.core.workspace import Workspace
from tests.conftest import ROOT
from tests.end2end.test_crash import WAIT_SECONDS, events_of, has_saved, wait_for

SAVE_STEPS = 5
SETTINGS = f"""\
name: window crash
model: {{source: demo}}
data: {{train: demo, max_length: 128, split: {{fraction: 0.02}}}}
method: {{rank: 4, use_dora: false}}
training: {{max_steps: 2000, global_batch_size: 4, learning_rate: 1.0e-3}}
evaluation: {{eval_steps: 2000}}
output: {{save_steps: {SAVE_STEPS}}}
"""

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="SIGKILL"), pytest.mark.timeout(600)]

Probe = dict[str, object]


class Window:
    """A window in a process of its own with everything that it said."""

    def __init__(self, *arguments: str) -> None:
        self.probes: list[Probe] = []
        command = [sys.executable, "-m", "tests.end2end.window_driver", *arguments]
        environment, pipe = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}, subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.probes.extend(cast("Probe", json.loads(line)) for line in self.process.stdout)

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait_for(self, condition: Callable[[Probe], bool], what: str) -> Probe:
        """The first probe from now on for which something is so."""
        first = max(0, len(self.probes) - 1)
        wait_for(lambda: any(condition(probe) for probe in self.probes[first:]) or self.process.poll() is not None, what)
        assert self.process.poll() is None, f"the window ended while waiting for {what}"
        return next(probe for probe in self.probes[first:] if condition(probe))

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        self.process.wait(WAIT_SECONDS)
        self._reader.join(WAIT_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def windows() -> Iterator[list[Window]]:
    """Windows of this test; those that still go are killed at its end."""
    opened: list[Window] = []
    yield opened
    for window in opened:
        if window.process.poll() is None:
            window.kill()


def step_of(probe: Probe) -> int:
    return cast("int", probe.get("step", 0))


def kill_engine(run: RunDir) -> None:
    mark = live_engine(run)
    assert mark is not None
    os.kill(mark.pid, signal.SIGKILL)


def test_a_run_outlives_the_window_and_its_own_engine(tmp_path: Path, desktop_ft_home: Path, windows: list[Window]) -> None:
    settings = tmp_path / "run.yaml"
    settings.write_text(SETTINGS, encoding="utf-8")

    first = Window(str(settings))
    windows.append(first)
    first.wait_for(lambda probe: step_of(probe) >= 1, "the first step")
    first.kill()
    (run,) = run_folders(Workspace(desktop_ft_home).runs)
    assert live_engine(run) is not None

    second = Window()
    windows.append(second)
    seen = second.wait_for(lambda probe: step_of(probe) >= 1 and probe["status"] == "running", "the run in the second window")
    assert seen["run"] == run.path.name
    live = second.wait_for(lambda probe: step_of(probe) >= step_of(seen) + 3, "the run to go on before the second window's eyes")
    assert live["num_curve_points"] == live["step"], "what the first window saw is there too"

    wait_for(lambda: has_saved(run, SAVE_STEPS), "the first checkpoint")
    kill_engine(run)
    crashed = second.wait_for(lambda probe: probe.get("status") == "crashed", "the crash to be seen")
    checkpoint = cast("int", crashed["last_checkpoint"])
    assert checkpoint >= SAVE_STEPS
    assert checkpoint % SAVE_STEPS == 0
    assert crashed["error"] == "The engine's process is gone"
    assert f"the checkpoint at step {checkpoint}" in str(crashed["error_hint"])
    assert crashed["can_resume"] is True

    second.say("resume")
    resumed = second.wait_for(lambda probe: probe.get("status") == "running" and step_of(probe) > checkpoint, "training to go on")
    assert resumed["error"] == ""
    starts = [event.start_step for event in events_of(run) if isinstance(event, RunStarted)]
    assert starts == [0, checkpoint]

    second.say("stop")
    second.wait_for(lambda probe: probe.get("status") == "stopped", "the stop")
    assert live_engine(run) is None
    second.say("close")
    second.end()
    assert second.process.returncode == 0
