"""Takes the pictures of the documentation from the real program: docs/images/{page}-{light,dark}.png, 1280x800.

A workspace of its own, the demo model and data, a real training run; nothing is drawn by hand.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QTimer  # noqa: E402 # the checkout and the platform come first

from desktop_ft.core.demo import demo_draft  # noqa: E402
from desktop_ft.core.settings import ThemeChoice  # noqa: E402
from desktop_ft.core.workspace import Workspace  # noqa: E402
from desktop_ft.jobs.new_run_model import PAGES  # noqa: E402
from desktop_ft.jobs.run_model import RunModel  # noqa: E402
from desktop_ft.ui.app import make_application  # noqa: E402
from desktop_ft.ui.main_window import MainWindow  # noqa: E402

SIZE = (1280, 800)
THEMES: tuple[ThemeChoice, ...] = ("light", "dark")
LIMIT_SECONDS = 900.0
SETTLE_SECONDS = 0.4


def serve(seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
    """Serve the window's events for some seconds, or until something is so; whether it became so."""
    loop, end = QEventLoop(), time.monotonic() + seconds
    look = QTimer()
    look.timeout.connect(lambda: loop.quit() if until() or time.monotonic() >= end else None)
    look.start(20)
    loop.exec()
    look.stop()
    return until()


def wait(what: str, until: Callable[[], bool]) -> None:
    """Serve the window until something is so.

    Raises:
        SystemExit: It did not become so.
    """
    if not serve(LIMIT_SECONDS, until):
        raise SystemExit(f"{what}: not within {LIMIT_SECONDS:.0f} s")


class Photographer:
    """Takes one picture of a window in every theme."""

    def __init__(self, window: MainWindow, folder: Path) -> None:
        self._window = window
        self._folder = folder

    def take(self, name: str) -> None:
        """``name-light.png`` and ``name-dark.png``."""
        for theme in THEMES:
            self._window.choose_theme(theme)
            serve(SETTLE_SECONDS)
            path = self._folder / f"{name}-{theme}.png"
            if not self._window.grab().save(str(path)):
                raise SystemExit(f"{path} can't be written")
            print(path, flush=True)


def walk_wizard(window: MainWindow, photographer: Photographer) -> None:
    """The five pages of a new run with the demo."""
    window.go_to("new")
    model = window.wizard.model
    wait("the demo to be read", lambda: model.data is not None and model.estimate is not None and not model.is_data_loading)
    for place, page in enumerate(PAGES):
        window.wizard.wizard.go_to(place)
        if window.wizard.wizard.current() != place:
            raise SystemExit(f"the wizard does not reach {page}: {model.why_blocked(PAGES[place - 1])}")
        photographer.take(page)


def train(window: MainWindow, name: str, changes: dict[str, object]) -> RunModel:
    """A finished run of the demo."""
    model = window.service.start(demo_draft().with_values({"name": name, **changes}).validated())
    if model is None:
        raise SystemExit(f"{name} could not be started")
    wait(f"{name} to end", lambda: not model.is_live)
    if model.status != "completed":
        raise SystemExit(f"{name}: {model.status}, {model.error}")
    return model


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--steps", type=int, default=0, help="steps of the runs; as long as the demo takes unless given")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    make_application()
    steps: dict[str, object] = {"training.max_steps": chosen.steps} if chosen.steps else {}
    with tempfile.TemporaryDirectory(prefix="desktop-ft-pictures-", ignore_cleanup_errors=True) as folder:
        window = MainWindow(Workspace(Path(folder)))
        window.resize(*SIZE)
        window.show()
        window.start()
        photographer = Photographer(window, chosen.out)
        walk_wizard(window, photographer)
        train(window, "first-steps", {**steps, "method.rank": 4})
        window.show_run(train(window, "my-first-run", steps))
        photographer.take("run")
        window.runs.show_table()
        wait("the table", lambda: len(window.service.runs()) == 2 and all(not run.is_live for run in window.service.runs()))
        photographer.take("runs")
        window.close_at_once()
    return 0


if __name__ == "__main__":
    sys.exit(main())
