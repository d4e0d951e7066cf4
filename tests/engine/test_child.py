"""The engine as the program starts it: a child with a lock, a console, signals, a warm start, and nothing said to the net."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from desktop_ft.core.events import RunFinished, StepDone
from desktop_ft.core.launcher import engine_environment, start_engine
from desktop_ft.core.processes import mark_of
from desktop_ft.core.runs import RunDir, list_checkpoints, take_lock
from tests.engine.conftest import NewRun
from tests.engine.helpers import all_events, events_of, work

if TYPE_CHECKING:
    from typing_extensions import Buffer

SECONDS = 150
ROOT = Path(__file__).resolve().parents[2]

BLOCKED_NET = """
import os, socket

def refuse(name):
    def blocked(*args, **kwargs):
        with open(os.environ["NET_ATTEMPTS"], "a", encoding="utf-8") as file:
            file.write(f"{name} {args!r}\\n")
        raise OSError("no net in this test")
    return blocked

open(os.environ["NET_ATTEMPTS"], "a", encoding="utf-8").write("")
for name in ("getaddrinfo", "gethostbyname", "create_connection"):
    setattr(socket, name, refuse(name))
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refuse(name))
"""


@pytest.fixture
def settings(tiny: Path, pairs: Path) -> dict[str, object]:
    return {
        "model.source": str(tiny),
        "data.train": str(pairs),
        "data.split.fraction": 0.1,
        "training.max_steps": 3,
        "evaluation.sample_prompts": ["the"],
        "evaluation.sample_max_new_tokens": 4,
    }


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join([*([changes["PYTHONPATH"]] if "PYTHONPATH" in changes else []), str(ROOT)])
    return {**changes, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def test_nothing_is_said_to_the_net(new_run: NewRun, settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(BLOCKED_NET, encoding="utf-8")
    attempts = tmp_path / "attempts.txt"
    run = new_run("offline", settings)
    changes = {"PYTHONPATH": str(hook), "NET_ATTEMPTS": str(attempts)}

    # allow_hub: not even then, as the model lies in a folder
    child = start_engine(run, allow_hub=True, extra_environment=environment(changes))
    assert child.wait(timeout=SECONDS) == 0, run.console_file.read_text(encoding="utf-8")

    assert attempts.read_text(encoding="utf-8") == ""
    assert [event.status for event in events_of(run, RunFinished)] == ["completed"]
    assert run.console_file.read_text(encoding="utf-8") == ""
    probe = subprocess.run(
        [sys.executable, "-c", "import urllib.request as u\ntry: u.urlopen('http://localhost:9')\nexcept OSError: pass"],
        env={**os.environ, **environment(changes)},
        timeout=SECONDS,
        check=True,
    )
    assert probe.returncode == 0
    assert "localhost" in attempts.read_text(encoding="utf-8")  # the block would have seen it


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_sigterm_stops_with_a_checkpoint(new_run: NewRun, settings: dict[str, object]) -> None:
    run = new_run("term", {**settings, "training.max_steps": 100_000, "output.save_steps": 100_000, "evaluation.eval_steps": 100_000})
    child = start_engine(run, extra_environment=environment({}))
    wait_until(lambda: len(events_of(run, StepDone)) >= 2 or child.poll() is not None)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=SECONDS) == 0, run.console_file.read_text(encoding="utf-8")
    (finished,) = events_of(run, RunFinished)
    assert finished.status == "stopped"
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [finished.step]
    assert finished.step == events_of(run, StepDone)[-1].step
    assert not run.lock_file.exists()


def _warm() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "desktop_ft.engine", "--wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**engine_environment(), **environment({})},
    )


def test_a_warm_engine_takes_one_folder(new_run: NewRun, settings: dict[str, object]) -> None:
    run = new_run("warm", settings)
    child = _warm()
    out, err = child.communicate(f"{run.path}\n", timeout=SECONDS)
    assert (child.returncode, out, err) == (0, "", "")
    assert [event.status for event in events_of(run, RunFinished)] == ["completed"]
    assert run.console_file.read_text(encoding="utf-8") == ""


def test_a_warm_engine_that_nobody_needs_ends() -> None:
    child = _warm()
    out, err = child.communicate("", timeout=SECONDS)
    assert (child.returncode, out, err) == (0, "", "")


def test_one_engine_a_folder(new_run: NewRun, settings: dict[str, object], capfd: pytest.CaptureFixture[str]) -> None:
    run = new_run("locked", settings)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        mark = mark_of(other.pid)
        assert mark is not None
        take_lock(run, mark)
        assert work(run) == 1
    finally:
        other.communicate(b"\n", timeout=SECONDS)
    assert f"Process {other.pid} works in" in capfd.readouterr().err
    assert not run.events_file.exists()


@pytest.mark.parametrize("num_written", [0, 3])
def test_a_log_that_cannot_be_written_ends_at_once(
    num_written: int, new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class SmallDisk(FileIO):
        def write(self, data: Buffer, /) -> int:
            nonlocal num_written
            num_written -= 1
            if num_written < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    monkeypatch.setattr("desktop_ft.core.eventlog.FileIO", SmallDisk)
    run = new_run("log-full", settings)
    expected = num_written
    assert work(run) == 1
    assert "The disk is full" in capfd.readouterr().err
    assert len(all_events(run)) == expected
    assert not run.lock_file.exists()


def test_a_folder_without_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert work(RunDir(tmp_path)) == 1
    assert "There is no run here" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
