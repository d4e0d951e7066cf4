"""Runs whose engine is the scripted one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from pytestqt.qtbot import QtBot

from desktop_ft.core.config import RunConfig, validate
from desktop_ft.core.launcher import ENGINE_VARIABLE
from desktop_ft.core.runs import RunDir, create_run
from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.jobs.runs_service import RunsService
from desktop_ft.jobs.training_worker import TrainingWorker
from tests.fakes.fake_engine import SCRIPT_FILE

WAIT_MILLISECONDS = 20_000


class MakeRun(Protocol):
    def __call__(self, name: str = "a run", **script: object) -> RunDir: ...


class Follow(Protocol):
    def __call__(self, run: RunDir, *, launch: bool = True) -> Followed: ...


class Followed:
    """A worker with the model that it feeds and everything that it said."""

    def __init__(self, run: RunDir, *, launch: bool) -> None:
        self.worker = TrainingWorker(run, launch=launch)
        self.model = RunModel(run, run.config() if run.config_file.is_file() else None)
        self.model.follow(self.worker)
        self.batches: list[int] = []
        self.ends: list[object] = []
        self.errors: list[object] = []
        self.worker.events_received.connect(self._on_events)
        self.worker.engine_ended.connect(self.ends.append)
        self.worker.failed.connect(self.errors.append)

    def _on_events(self, events: tuple[object, ...]) -> None:
        self.batches.append(len(events))


@pytest.fixture(autouse=True)
def scripted_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENGINE_VARIABLE, "tests.fakes.fake_engine")


@pytest.fixture
def config() -> RunConfig:
    return validate({"name": "a run", "model": {"source": "demo"}, "data": {"train": "demo"}})


@pytest.fixture
def workspace(desktop_ft_home: Path) -> Workspace:
    return Workspace(desktop_ft_home)


@pytest.fixture
def make_run(workspace: Workspace, config: RunConfig) -> MakeRun:
    def make(name: str = "a run", **script: object) -> RunDir:
        run = create_run(workspace.new_run_dir(name), config)
        (run.path / SCRIPT_FILE).write_text(json.dumps(script), encoding="utf-8")
        return run

    return make


@pytest.fixture
def follow(qapp: object) -> Iterator[Follow]:
    """Starts a worker and its model; all are let go of at the end."""
    assert qapp is not None

    def start(run: RunDir, *, launch: bool = True) -> Followed:
        followed = Followed(run, launch=launch)
        followed.worker.start()
        return followed

    yield start
    assert end_threads(5.0)


@pytest.fixture
def service(qapp: object, workspace: Workspace) -> Iterator[RunsService]:
    assert qapp is not None
    service = RunsService(workspace)
    yield service
    assert service.shutdown()


@pytest.fixture
def wait_for(qtbot: QtBot) -> Callable[[Callable[[], bool]], None]:
    """Runs the event loop until something is so, at most 20 s."""

    def wait(condition: Callable[[], bool]) -> None:
        qtbot.waitUntil(condition, timeout=WAIT_MILLISECONDS)

    return wait


WaitFor = Callable[[Callable[[], bool]], None]
