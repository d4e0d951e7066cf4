"""Takes pictures of the export dialog before, during and after, to be put beside the design's mock-ups.

QT_QPA_PLATFORM=offscreen python -m tests.ui.export_dialog.gallery OUT [--font-size 16] [--mode dark]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PySide6.QtGui import QFont
from PySide6.QtWidgets import QApplication

from desktop_ft.core.events import PhaseChanged, Progress
from desktop_ft.jobs.job_model import JobModel
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.ui.export_dialog import ExportDialog
from desktop_ft.ui.kit.theme import theme_manager
from tests.ui.export_dialog.stories import OUTCOMES, run_with_adapter, show_outcomes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--font-size", type=int, default=13)
    parser.add_argument("--mode", choices=("light", "dark"), default="light")
    given = parser.parse_args()
    app = QApplication([])
    font = QFont(app.font())
    font.setPixelSize(given.font_size)
    app.setFont(font)
    theme_manager().set_mode(given.mode)
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        dialog = ExportDialog(run_with_adapter(Path(home) / "run"))
        dialog.show()
        _take(app, dialog, given.out / f"before-{given.mode}.png")
        job = JobModel(Path(home))
        job.fold(
            [PhaseChanged(phase="export", detail="Merging the adapter into the base model"), Progress(phase="export", done=9, total=64)]
        )
        dialog.running.set_targets(("adapter", "merged"))
        dialog.running.show_done("adapter", "good")
        dialog.running.show_job("merged", job)
        dialog.state = "writing"
        dialog.show_state()
        _take(app, dialog, given.out / f"during-{given.mode}.png")
        for name, outcomes in OUTCOMES.items():
            show_outcomes(dialog, outcomes)
            _take(app, dialog, given.out / f"{name}-{given.mode}.png")
        dialog.close()


def _take(app: QApplication, dialog: ExportDialog, path: Path) -> None:
    for _ in range(30):
        end_threads(0.05)
        app.processEvents()
    dialog.grab().save(str(path))


if __name__ == "__main__":
    main()
