"""A process with the real window that tests start, and kill: ``python -m tests.helpers.window_driver MODE PROBE``.

Each thing that the test waits for is a line of JSON at the end of PROBE. Modes:

- ``train``: starts a short run of the demo and stays.
- ``watch``: says what the run in front is; when it has crashed, clicks Resume; closes the window when it has completed.
- ``visit``: shows every place, every page of the wizard and every part of the newest run's page, says which modules are loaded, and closes.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QDeadlineTimer, QEvent, QObject, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from desktop_ft.core.demo import demo_draft
from desktop_ft.core.workspace import default_workspace
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.app import make_application
from desktop_ft.ui.main_window import MainWindow
from tests.helpers.person import Person

NUM_STEPS = 16
SAVE_STEPS = 4
WAIT_MILLISECONDS = 120_000
SETTINGS = {
    "name": "crash",
    "data.max_length": 128,
    "data.split.fraction": 0.02,
    "method.rank": 4,
    "method.use_dora": False,
    "training.max_steps": NUM_STEPS,
    "training.global_batch_size": 4,
    "evaluation.sample_prompts": (),
    "evaluation.eval_steps": NUM_STEPS,
    "output.save_steps": SAVE_STEPS,
}


class Driver:
    """Drives one window and tells the test.

    Args:
        window: Shown.
        probe: The file that lines are added to.
    """

    def __init__(self, window: MainWindow, probe: Path) -> None:
        self._window = window
        self._probe = probe
        self._told: dict[str, object] = {}

    def tell(self, **facts: object) -> None:
        """Add a line, unless it would repeat the last."""
        if facts != self._told:
            self._told = facts
            with self._probe.open("a", encoding="utf-8") as file:
                file.write(json.dumps(facts) + "\n")

    def train(self) -> None:
        """Start a run, and tell of its page."""
        self._window.start()
        model = self._window.service.start(demo_draft().with_values(SETTINGS).validated())
        assert model is not None
        self._window.show_run(model)
        model.progress_changed.connect(lambda: self._tell_run(model))
        self._tell_run(model)

    def watch(self) -> None:
        """Tell of the run that is in front after the start, until it has completed."""
        self._window.start()
        model = self._window.current_run()
        assert model is not None, "no run was shown at the start"
        for changed in (model.status_changed, model.progress_changed):
            changed.connect(lambda: self._on_changed(model))
        self._on_changed(model)

    def _on_changed(self, model: RunModel) -> None:
        self._tell_run(model)
        if model.status == "crashed":
            QTimer.singleShot(0, self._window, self._resume)
        if model.status == "completed":
            QTimer.singleShot(0, self._window, self._window.close_at_once)

    def _resume(self) -> None:
        model = self._window.current_run()
        if model is None or model.status != "crashed":
            return
        person = Person(self._window)
        resume = person.button("Resume", self._window.runs.run_page.header)
        self.tell(offers=resume.text().replace("&", ""), checkpoint=model.last_checkpoint_step)
        person.click(resume)

    def _tell_run(self, model: RunModel) -> None:
        page = self._window.runs.run_page
        shown = page.current_run() is model and page.isVisible()
        self.tell(run=str(model.run.path), shown=shown, status=model.status, step=model.step, chip=page.header.chip().text())

    def visit(self) -> None:
        """Show everything there is, then tell which modules that loaded, and whether anything flashed up as a window of its own."""
        window = self._window
        strays = _StrayWindows(window)
        window.resize(1280, 800)
        window.start()
        _wait(lambda: bool(window.service.runs()), "the list of runs")
        wizard = window.wizard.wizard
        _wait(lambda: window.wizard.model.data is not None and not window.wizard.model.is_data_loading, "the demo's data")
        for _ in range(len(wizard.pages) - 1):
            before = wizard.current()
            wizard.go_next()
            assert wizard.current() == before + 1
            QApplication.processEvents()
        for place in ("settings", "runs"):
            window.go_to(place)
            QApplication.processEvents()
        window.runs.table_page.run_opened.emit(window.service.runs()[0])
        tabs = window.runs.run_page.tabs
        for tab in range(tabs.count()):
            tabs.setCurrentIndex(tab)
            QTest.qWait(0)
        seen = {"pages": wizard.current() + 1, "tabs": tabs.count()}
        self.tell(modules=sorted(sys.modules), strays=strays.found, is_active=window.isActiveWindow(), **seen)
        window.close_at_once()


class _StrayWindows(QObject):
    """Notes widgets that are shown as windows though they are parts of one: they flash, and take the keyboard away.

    Args:
        window: The one window that may be shown.

    Attributes:
        found: What each was, with the controls in it.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.found: list[str] = []
        QApplication.instance().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Look at what is shown."""
        if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow() and watched is not self._window:
            inside = ", ".join(type(child).__name__ for child in watched.findChildren(QWidget))
            self.found.append(f"{type(watched).__name__} with {inside}")
        return super().eventFilter(watched, event)


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = QDeadlineTimer(WAIT_MILLISECONDS)
    while not condition():
        assert not deadline.hasExpired(), f"{what}: not within {WAIT_MILLISECONDS / 1000:.0f} s"
        QTest.qWait(10)


def _end_on_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault here or in the window ends the process at once, so that the test need not wait for what does not come."""
    traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    os._exit(3)


def main(mode: str, probe: str) -> int:
    """Open the window and drive it from inside its event loop."""
    app = make_application()
    window = MainWindow(default_workspace())
    sys.excepthook = _end_on_fault
    window.show()
    driver = Driver(window, Path(probe))
    QTimer.singleShot(0, window, {"train": driver.train, "watch": driver.watch, "visit": driver.visit}[mode])
    return app.exec()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
