"""Takes pictures of the run page in every state, to be put beside the design's mock-ups.

    QT_QPA_PLATFORM=offscreen python -m tests.ui.run_page.gallery OUT [--font-size 16] [--size 1072x772] [--state training]

The sizes are those of the page inside a window of 1280x800 and 1024x700. QT_SCALE_FACTOR=2 shows 200 %.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PySide6.QtGui import QFont
from PySide6.QtWidgets import QApplication

from desktop_ft.core.config.objectives import OBJECTIVES
from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.jobs.runs_service import RunsService
from desktop_ft.ui.kit.text import GIB
from desktop_ft.ui.kit.theme import theme_manager
from desktop_ft.ui.run_page import RunPage
from tests.helpers.objective_runs import fold_objective
from tests.helpers.synthetic_run import STATES, facts, fold

SIZES = {"wide": (1072, 774), "small": (968, 674)}


def _model(name: str, folder: Path) -> RunModel:
    """A run in this state, or on this objective."""
    for state in STATES:
        if state == name:
            return fold(state, folder)
    return fold_objective(next(kind for kind in OBJECTIVES if kind == name), folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--font-size", type=int, default=13)
    parser.add_argument("--state", action="append", choices=STATES)
    parser.add_argument("--objective", action="append", choices=OBJECTIVES, help="instead of a state")
    parser.add_argument("--tab", type=int, default=0)
    parser.add_argument("--mode", action="append", choices=("light", "dark"))
    parser.add_argument("--size", action="append", choices=tuple(SIZES))
    given = parser.parse_args()
    app = QApplication([])
    font = QFont(app.font())
    font.setPixelSize(given.font_size)
    app.setFont(font)
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        service = RunsService(Workspace(Path(home)))
        chosen: list[str] = given.objective or given.state or list(STATES)
        for state in chosen:
            model = _model(state, Path(home) / state)
            for size in given.size or SIZES:
                for mode in given.mode or ("light",):
                    theme_manager().set_mode(mode)
                    page = RunPage(service)
                    page.resize(*SIZES[size])
                    page.show()
                    page.set_run(model)
                    end_threads(5)
                    app.processEvents()
                    if state not in {"new", "starting", "loading", "crashed_early"}:
                        page.set_facts(facts())
                        page.set_free_bytes(int(22.7 * GIB))
                    page.tabs.setCurrentIndex(given.tab)
                    end_threads(5)
                    if state == "training":
                        page.charts.loss.crosshair_moved.emit(318.0)
                        page.charts.loss.set_crosshair(318.0)
                    for _ in range(5):
                        app.processEvents()
                    page.grab().save(str(given.out / f"{state}-{given.tab}-{size}-{mode}.png"))
                    page.close()
        service.shutdown()


if __name__ == "__main__":
    main()
