"""The real window in a process of its own, driven by lines on its standard input; it says on standard output what it shows.

python -m tests.end2end.window_driver [RUN_YAML]     starts the run where one is given, else only looks

Lines: ``resume`` and ``stop`` for the run in front, ``close``. Each line said is JSON; see `probe`.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from pathlib import Path

from PySide6.QtCore import QTimer

from desktop_ft.core.config import load_config
from desktop_ft.core.workspace import default_workspace
from desktop_ft.ui.app import make_application
from desktop_ft.ui.main_window import MainWindow

PROBE_MILLISECONDS = 50


def probe(window: MainWindow) -> dict[str, object]:
    """What the window shows now."""
    model = window.current_run()
    messages = [message.title for message in window.strip.messages()]
    if model is None:
        return {"run": None, "messages": messages}
    return {
        "run": model.run.path.name,
        "status": model.status,
        "step": model.step,
        "num_curve_points": len(model.curves["loss"].steps),
        "last_checkpoint": model.last_checkpoint_step,
        "can_resume": model.can_resume,
        "error": "" if model.error is None else model.error.title,
        "error_hint": "" if model.error is None else model.error.hint,
        "messages": messages,
    }


class Driver:
    """Reads lines and probes."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._lines: queue.Queue[str] = queue.Queue()
        self._last = ""
        threading.Thread(target=self._read, daemon=True).start()
        self._timer = QTimer(window)
        self._timer.timeout.connect(self._on_tick)
        self._timer.start(PROBE_MILLISECONDS)

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line.strip())

    def _on_tick(self) -> None:
        while not self._lines.empty():
            self._do(self._lines.get())
        said = json.dumps(probe(self._window))
        if said != self._last:
            self._last = said
            sys.stdout.write(said + "\n")
            sys.stdout.flush()

    def _do(self, line: str) -> None:
        model = self._window.current_run()
        if line == "close":
            self._window.close_at_once()
        elif line == "resume":
            self._window.runs.run_actions()["pause"].trigger()
        elif line == "stop" and model is not None:
            self._window.service.stop(model.run.path)


def main(arguments: list[str]) -> int:
    """Open the window and serve it until it is told to close."""
    app = make_application()
    window = MainWindow(default_workspace())
    window.show()
    window.start()
    if arguments:
        model = window.service.start(load_config(Path(arguments[0])))
        assert model is not None
        window.show_run(model)
    driver = Driver(window)
    status = app.exec()
    del driver
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
