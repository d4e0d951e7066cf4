"""The running window, with every place shown and a finished run opened: it never loads torch, and it is one window all the time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from fine_imports import TORCH_STACK

from desktop_ft.core.runs import create_run
from desktop_ft.core.workspace import Workspace
from tests.conftest import ROOT
from tests.helpers.synthetic_run import config, events_of, write_log

DRIVE = """
import json, sys, time
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QWidget
from desktop_ft.core.workspace import default_workspace
from desktop_ft.ui.app import make_application
from desktop_ft.ui.main_window import MainWindow



class StrayWindows(QObject):
    found = []

    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow() and watched is not window:
            self.found.append([type(widget).__name__ for widget in (watched, *watched.findChildren(QWidget))])
        return False


app = make_application()
strays = StrayWindows()
app.installEventFilter(strays)
window = MainWindow(default_workspace())
window.resize(1280, 800)
window.show()
window.activateWindow()
app.processEvents()
before_first_place = sorted(sys.modules)
window.start()


def wait(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "the window did not get there"
        app.processEvents()


wait(lambda: window.wizard.predicted_bytes > 0)
wait(lambda: window.wizard.model.data is not None)
for page in range(5):
    window.wizard.wizard.go_to(page)
    app.processEvents()
assert window.wizard.wizard.current() == 4
window.go_to("settings")
window.go_to("runs")
wait(lambda: len(window.service.runs()) == 1)
model = window.service.open(window.service.runs()[0].run.path)
window.show_run(model)
wait(lambda: model.status == "completed")
for tab in range(5):
    window.runs.run_page.tabs.setCurrentIndex(tab)
    app.processEvents()
is_active = window.isActiveWindow()
window.close_at_once()
print(json.dumps([before_first_place, sorted(sys.modules), strays.found, is_active]))
"""


def test_the_window_with_every_place_shown_has_no_torch_and_is_one_window(desktop_ft_home: Path) -> None:
    run = create_run(Workspace(desktop_ft_home).new_run_dir("told"), config())
    write_log(run, events_of("completed", 200))
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVE], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    at_first_paint, at_the_end, strays, is_active = json.loads(done.stdout.splitlines()[-1])
    assert (strays, is_active) == ([], True), "a part of the window was shown as a window of its own, and took the keyboard"
    assert [name for name in TORCH_STACK if name in at_the_end] == []
    assert {"pyqtgraph", "desktop_ft.ui.wizard.wizard", "desktop_ft.ui.run_page.page", "desktop_ft.ui.settings_page"} <= set(at_the_end)
    late = ("pyqtgraph", "numpy", "desktop_ft.ui.run_page.page", "huggingface_hub", "pyarrow")
    assert [name for name in late if name in at_first_paint] == []
