"""How late the window's event loop is while a real run trains on every core and its curves are drawn live. Prints JSON.

A timer of 10 ms in the window's thread measures by how much each of its ticks comes late; 16.7 ms is one frame at 60 Hz.

python benchmarks/gui_latency.py --seconds 60 [--platform offscreen]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 # the checkout must be found first
import psutil  # noqa: E402
from PySide6.QtCore import QElapsedTimer, QEventLoop, Qt, QTimer  # noqa: E402

from desktop_ft.core.config import RunConfig, validate  # noqa: E402
from desktop_ft.core.workspace import Workspace  # noqa: E402
from desktop_ft.jobs.run_model import RunModel  # noqa: E402
from desktop_ft.ui.app import make_application  # noqa: E402
from desktop_ft.ui.main_window import MainWindow  # noqa: E402

PERIOD_MS = 10.0
START_SECONDS = 180.0


class Lateness:
    """Ticks of a precise timer against the clock, milliseconds."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._clock = QElapsedTimer()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(int(PERIOD_MS))
        self._timer.timeout.connect(self._on_tick)

    def start(self) -> None:
        """Begin to measure."""
        self._clock.start()
        self._timer.start()

    def stop(self) -> None:
        """End."""
        self._timer.stop()

    def _on_tick(self) -> None:
        self.values.append(max(0.0, self._clock.nsecsElapsed() / 1e6 - PERIOD_MS))
        self._clock.restart()


def config() -> RunConfig:
    """The demo, long enough that it does not end first."""
    return validate(
        {
            "name": "latency",
            "model": {"source": "demo"},
            "data": {"train": "demo"},
            "training": {"num_train_epochs": 1000.0},
            "evaluation": {"eval_steps": 20},
        }
    )


def run_loop(seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
    """Serve events for some seconds, or until something is so; whether it became so."""
    loop, end = QEventLoop(), time.monotonic() + seconds
    look = QTimer()
    look.timeout.connect(lambda: loop.quit() if until() or time.monotonic() >= end else None)
    look.start(50)
    loop.exec()
    look.stop()
    return until()


def measure(window: MainWindow, model: RunModel, seconds: float) -> dict[str, object]:
    """Lateness while the run trains, on its page."""
    if not run_loop(START_SECONDS, lambda: model.step >= 5 or not model.is_live):
        raise SystemExit("the run did not begin")
    first = model.step
    lateness = Lateness()
    lateness.start()
    run_loop(seconds)
    lateness.stop()
    late = np.array(lateness.values)
    p50, p99, p999 = (round(float(value), 2) for value in np.percentile(late, [50, 99, 99.9]))
    return {
        "what": "lateness of a 10 ms timer in the window's thread, milliseconds",
        "seconds": seconds,
        "ticks": len(late),
        "p50_ms": p50,
        "p99_ms": p99,
        "p99.9_ms": p999,
        "max_ms": round(float(late.max()), 2),
        "steps_trained": model.step - first,
        "window": [window.width(), window.height()],
        "rss_mib": round(psutil.Process().memory_info().rss / 2**20),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--platform", default="", help="Qt platform, such as offscreen; else the system's own")
    chosen = parser.parse_args()
    if chosen.platform:
        os.environ["QT_QPA_PLATFORM"] = chosen.platform
    app = make_application()
    with tempfile.TemporaryDirectory(prefix="desktop-ft-latency-", ignore_cleanup_errors=True) as folder:
        window = MainWindow(Workspace(Path(folder)))
        window.resize(1280, 800)
        window.show()
        model = window.service.start(config())
        if model is None:
            raise SystemExit("the run could not be started")
        window.show_run(model)
        report = measure(window, model, chosen.seconds)
        window.service.stop(model.run.path, grace_seconds=0.0)
        run_loop(30.0, lambda: not model.is_live)
        window.close_at_once()
    facts = {"platform": app.platformName(), "system": platform.platform(), "threads": psutil.cpu_count(), "load": psutil.getloadavg()[0]}
    print(json.dumps({**report, "machine": facts}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
