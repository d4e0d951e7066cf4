"""The whole window over a workspace of its own and readings that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop_ft.core import worker
from desktop_ft.core.gpu import GpuReading, GpuState
from desktop_ft.core.runs import RunDir, create_run
from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs import new_run_model
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.machine_model import MachineModel
from desktop_ft.ui.kit.theme import theme_manager
from desktop_ft.ui.main_window import MainWindow
from tests.helpers.synthetic_run import State, config, events_of, write_log

GIB = 2**30
OWN_PID, OTHER_PID = 4242, 77
NO_DRIVER = GpuReading((), "There is no NVIDIA driver on this computer.")
CARD = GpuState(
    0,
    "GPU-a",
    "NVIDIA GeForce RTX 4090",
    24 * GIB,
    9 * GIB,
    15 * GIB,
    97,
    66,
    342.0,
    (8, 9),
    {OWN_PID: 6 * GIB, OTHER_PID: 2 * GIB},
)

MakeWindow = Callable[..., MainWindow]
MakeRun = Callable[..., RunDir]


@dataclass
class FakeDriver:
    """A driver whose answer a test sets."""

    reading: GpuReading = NO_DRIVER
    closed: list[bool] = field(default_factory=list[bool])

    def read(self) -> GpuReading:
        return self.reading

    def close(self) -> None:
        self.closed.append(True)


def run_here(task: str, payload: Mapping[str, object], _seconds: float, _cancelled: object = None) -> dict[str, object]:
    """The worker's task in this process: the same code without a child's start."""
    return cast("dict[str, object]", worker.TASKS[task](payload))


@pytest.fixture(autouse=True)
def _plain_theme(qapp: QApplication) -> Iterator[None]:
    before = QFont(qapp.font())
    font = QFont("Inter")
    font.setPixelSize(13)
    qapp.setFont(font)
    yield
    qapp.setFont(before)
    theme_manager().set_mode("light")


@pytest.fixture
def workspace(desktop_ft_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    monkeypatch.setattr(new_run_model, "run_task", run_here)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    return Workspace(desktop_ft_home)


@pytest.fixture
def make_run(workspace: Workspace) -> MakeRun:
    """Puts a run in a state into the workspace, told by its files alone."""

    def make(state: State = "completed", name: str = "a run") -> RunDir:
        settings = config().model_copy(update={"name": name})
        run = create_run(workspace.new_run_dir(name), settings)
        write_log(run, events_of(state, 200))
        return run

    return make


@pytest.fixture
def make_window(workspace: Workspace, qapp: QApplication, qtbot: QtBot) -> Iterator[MakeWindow]:
    """Makes a window that is shown and has begun; the driver answers as told."""
    made: list[MainWindow] = []

    def make(reading: GpuReading = NO_DRIVER, *, size: tuple[int, int] | None = (1280, 800), begins: bool = True) -> MainWindow:
        machine = MachineModel(lambda: frozenset({OWN_PID}), lambda: FakeDriver(reading))
        window = MainWindow(workspace, machine)
        machine.setParent(window)
        made.append(window)
        if size is not None:
            window.resize(*size)
        window.show()
        if begins:
            with qtbot.waitSignal(machine.changed, timeout=10_000):
                window.start()
        qtbot.waitExposed(window)
        return window

    yield make
    for window in made:
        window.close_at_once()
        window.deleteLater()
    made.clear()  # pytest holds the fixture longer than the look at what was left behind
    assert end_threads(10.0)
