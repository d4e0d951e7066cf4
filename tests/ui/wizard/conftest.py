"""A wizard over a model that reads in this process, and everything that it needs to end cleanly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop_ft.core.device import DeviceFacts
from desktop_ft.jobs import new_run_model
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.model_catalogue import ModelCatalogue
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.theme import theme_manager
from desktop_ft.ui.wizard.wizard import NewRunWizard
from tests.jobs.test_new_run_model import run_here
from tests.ui.wizard.stand_ins import GPU

MakeWizard = Callable[..., NewRunWizard]
WIDE = (1072, 774)
NARROW = (968, 674)


def is_quiet(wizard: NewRunWizard) -> bool:
    """Whether nothing is being read."""
    model = wizard.model
    return not (model.is_model_loading or model.is_data_loading or wizard.catalogue.is_scanning) and model.data is not None


@pytest.fixture(autouse=True)
def _plain_theme(qapp: QApplication) -> Iterator[None]:
    before = QFont(qapp.font())
    theme_manager().set_high_contrast(False)
    theme_manager().set_mode("light")
    yield
    qapp.setFont(before)
    theme_manager().set_mode("light")


@pytest.fixture
def make_wizard(qapp: QApplication, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MakeWizard]:
    """Makes a shown wizard that has read its model and data."""
    monkeypatch.setattr(new_run_model, "run_task", run_here)
    made: list[NewRunModel] = []

    def make(
        device: DeviceFacts = GPU, *, model: str = "", data: str = "", size: tuple[int, int] = WIDE, font_size: int = 13
    ) -> NewRunWizard:
        font = QFont("Inter")
        font.setPixelSize(font_size)
        qapp.setFont(font)
        run = NewRunModel(device)
        made.append(run)
        if model:
            run.choose_model(model)
        if data:
            run.choose_data(data)
        wizard = NewRunWizard(run, catalogue=ModelCatalogue(device, cache_dir=tmp_path / "no-cache"))
        qtbot.addWidget(wizard)
        wizard.resize(*size)
        wizard.show()
        run.start()
        qtbot.waitUntil(lambda: is_quiet(wizard), timeout=30_000)
        return wizard

    yield make
    for run in made:
        run.close()
    assert end_threads(10.0)
