"""Takes pictures of every page of the wizard, to be put beside the design's mock-ups.

    QT_QPA_PLATFORM=offscreen python -m tests.ui.wizard.gallery OUT [--font-size 16] [--size 1072x774] [--pages model,data]

QT_SCALE_FACTOR=2 shows 200 %.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QApplication

from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.model_catalogue import ModelCatalogue
from desktop_ft.jobs.new_run_model import PAGES, NewRunModel
from desktop_ft.ui.kit.theme import theme_manager
from desktop_ft.ui.wizard.wizard import NewRunWizard
from tests.helpers.clipping import clipped_texts
from tests.ui.wizard.stand_ins import GPU, SMALL_GPU, write_faulty_data, write_model


def spin(milliseconds: int) -> None:
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def wait_until_quiet(wizard: NewRunWizard) -> None:
    for _ in range(200):
        spin(50)
        if not (wizard.model.is_data_loading or wizard.model.is_model_loading or wizard.catalogue.is_scanning):
            return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--font-size", type=int, default=13)
    parser.add_argument("--size", default="1072x774")
    parser.add_argument("--pages", default=",".join(PAGES))
    parser.add_argument("--suffix", default="")
    parser.add_argument("--faulty", action="store_true")
    parser.add_argument("--small-gpu", action="store_true")
    chosen = parser.parse_args()
    home = Path(tempfile.mkdtemp())
    os.environ["DESKTOP_FT_HOME"] = str(home)
    app = QApplication([])
    body = QFont("Inter")
    body.setPixelSize(chosen.font_size)
    app.setFont(body)
    chosen.out.mkdir(parents=True, exist_ok=True)
    manager = theme_manager()
    manager.set_mode("light")
    model = NewRunModel(SMALL_GPU if chosen.small_gpu else GPU)
    if chosen.small_gpu or chosen.faulty:
        model.choose_model(str(write_model(home / "Qwen3-like", hidden=4096 if chosen.small_gpu else 1024, layers=6)))
    if chosen.faulty:
        model.choose_data(str(write_faulty_data(home / "support-replies.jsonl")))
    wizard = NewRunWizard(model, catalogue=ModelCatalogue(model.device, cache_dir=home / "no-cache"))
    wizard.resize(*(int(part) for part in chosen.size.split("x")))
    wizard.show()
    model.start()
    wait_until_quiet(wizard)
    for at, name in enumerate(PAGES):
        if name == "method" and chosen.faulty:
            for fix in ("drop_malformed_rows", "drop_empty_answers"):
                model.set_fix(fix, wanted=True)
            wait_until_quiet(wizard)
        wizard.go_to(at)
        if name not in chosen.pages.split(","):
            continue
        for mode in ("light", "dark"):
            manager.set_mode(mode)
            spin(120)
            wizard.grab().save(str(chosen.out / f"{name}-{mode}{chosen.suffix}.png"))
        for problem in clipped_texts(wizard):
            print(f"{name}: {problem}")
    model.close()
    end_threads(10)
    wizard.deleteLater()


if __name__ == "__main__":
    main()
