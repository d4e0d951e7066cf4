"""Nothing is cut off at 200 %: the whole window with every place and every tab of a run, in light and dark.

The factor is read once, before the first window, so that this runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from desktop_ft.core.runs import create_run
from desktop_ft.core.workspace import Workspace
from tests.conftest import ROOT
from tests.helpers.synthetic_run import config, events_of, write_log

DRIVE = """
import json, time
from desktop_ft.core.workspace import default_workspace
from desktop_ft.ui.app import make_application
from desktop_ft.ui.main_window import MainWindow
from tests.helpers.clipping import clipped_texts

app = make_application()
assert app.devicePixelRatio() == 2.0
window = MainWindow(default_workspace())
window.resize(1024, 700)
window.show()
window.start()


def wait(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "the window did not get there"
        app.processEvents()


def look(place):
    global seen
    end = time.monotonic() + 20
    while True:
        for _ in range(5):
            app.processEvents()
        problems = clipped_texts(window)
        if not problems or time.monotonic() > end:
            seen += 1
            found.extend(f"{place}: {problem}" for problem in problems)
            return


found, seen = [], 0
wait(lambda: window.wizard.predicted_bytes > 0)
wait(lambda: window.wizard.model.data is not None and not window.wizard.model.is_data_loading)
wait(lambda: len(window.service.runs()) == 1)
model = window.service.open(window.service.runs()[0].run.path)
for mode in ("light", "dark"):
    window.choose_theme(mode)
    for page in range(5):
        window.go_to("new")
        window.wizard.wizard.go_to(page)
        look(f"{mode}, wizard page {page + 1}")
    window.go_to("settings")
    look(f"{mode}, settings")
    window.go_to("runs")
    window.runs.show_table()
    look(f"{mode}, runs")
    window.show_run(model)
    wait(lambda: model.status == "completed")
    for tab in range(5):
        window.runs.run_page.tabs.setCurrentIndex(tab)
        look(f"{mode}, run, tab {tab + 1}")
size = [window.width(), window.height()]
window.close_at_once()
print(json.dumps({"found": found, "seen": seen, "size": size}))
"""


def test_no_text_is_cut_at_200_percent(desktop_ft_home: Path) -> None:
    run = create_run(Workspace(desktop_ft_home).new_run_dir("told"), config())
    write_log(run, events_of("completed", 200))
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "QT_SCALE_FACTOR": "2"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVE], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"found": [], "seen": 24, "size": [1024, 700]}
