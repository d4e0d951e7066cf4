"""Every control of Settings has an effect, and the page shows what was chosen elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QAbstractButton, QLabel

from desktop_ft.core.gpu import GpuReading
from desktop_ft.core.settings import load_preferences
from desktop_ft.core.workspace import Workspace
from desktop_ft.ui.kit.theme import theme_manager
from desktop_ft.ui.main_window import MainWindow
from tests.ui.window.conftest import CARD, MakeWindow


@pytest.fixture
def make_settled(make_window: MakeWindow) -> MakeWindow:
    """A window that shows Settings."""

    def make(reading: GpuReading | None = None) -> MainWindow:
        window = make_window(reading) if reading is not None else make_window()
        window.go_to("settings")
        return window

    return make


def press(window: MainWindow, words: str) -> None:
    buttons = window.settings.findChildren(QAbstractButton)
    next(made for made in buttons if made.text().replace("&", "").strip() == words).click()


def words(window: MainWindow) -> list[str]:
    return [label.text() for label in window.settings.findChildren(QLabel)]


def test_the_theme_changes_at_once_and_is_kept(make_settled: MakeWindow, workspace: Workspace) -> None:
    window = make_settled()
    press(window, "Dark")
    assert theme_manager().mode == "dark"
    assert load_preferences(workspace.settings_file).theme == "dark"


def test_the_explanation_at_closing_can_be_switched(make_settled: MakeWindow, workspace: Workspace) -> None:
    window = make_settled()
    window.settings.explain_close.click()
    assert window.preferences.explain_close is False
    assert load_preferences(workspace.settings_file).explain_close is False


def test_folders_are_offered_in_new_run_and_can_be_taken_off(make_settled: MakeWindow, tmp_path: Path, workspace: Workspace) -> None:
    window = make_settled()
    folder = tmp_path / "my-model"
    window.settings.add_folder(str(folder))
    assert load_preferences(workspace.settings_file).model_folders == (str(folder),)
    assert window.wizard.catalogue.folders() == (str(folder),)
    window.settings.folders.setCurrentRow(0)
    press(window, "Remove from the list")
    assert window.wizard.catalogue.folders() == ()
    assert load_preferences(workspace.settings_file).model_folders == ()


def test_a_folder_used_in_new_run_is_listed(make_settled: MakeWindow) -> None:
    window = make_settled()
    window.wizard.folder_used.emit("/models/from-the-wizard")
    assert window.settings.folders.item(0).text() == "/models/from-the-wizard"
    window.settings.explain_close.click()
    assert window.preferences.model_folders == ("/models/from-the-wizard",)


def test_says_where_things_are_and_what_trains(make_settled: MakeWindow, workspace: Workspace) -> None:
    shown = words(make_settled(GpuReading((CARD,))))
    assert str(workspace.home) in shown
    assert {"NVIDIA GeForce RTX 4090", "24.0 GiB, 15.0 GiB free", "bfloat16"} <= set(shown)


def test_says_why_there_is_no_card(make_settled: MakeWindow) -> None:
    assert "There is no NVIDIA driver on this computer." in words(make_settled())
