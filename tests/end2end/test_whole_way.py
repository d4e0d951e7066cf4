"""The whole way in the real window with the real engine, by clicks and keys alone: from the opened program to a merged model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop_ft.core.models import read_model
from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.export_dialog import ExportDialog
from desktop_ft.ui.main_window import MainWindow
from tests.helpers.person import Person

WAIT_MILLISECONDS = 240_000
PAGES = ("Objective", "Data", "Method", "Review")
MAX_CLICKS = 6
NUM_STEPS = 6

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def window(desktop_ft_home: Path, qapp: QApplication, qtbot: QtBot) -> Iterator[MainWindow]:
    made = MainWindow(Workspace(desktop_ft_home))
    made.resize(1280, 800)
    made.show()
    made.run_soon()
    made.activateWindow()
    qtbot.waitUntil(made.isActiveWindow)
    yield made
    made.close_at_once()
    made.deleteLater()
    assert end_threads(10.0)


def wait(qtbot: QtBot, condition: Callable[[], bool]) -> None:
    qtbot.waitUntil(condition, timeout=WAIT_MILLISECONDS)


def run_in_front(window: MainWindow) -> RunModel:
    model = window.current_run()
    assert model is not None
    return model


def go_on(window: MainWindow, person: Person, qtbot: QtBot) -> None:
    """Next, as soon as the page is ready."""
    wait(qtbot, window.wizard.wizard.footer.next.isEnabled)
    person.click(window.wizard.wizard.footer.next)


def test_six_clicks_and_not_one_key_lead_from_the_opened_program_to_training(window: MainWindow, qtbot: QtBot) -> None:
    person = Person(window)
    for page in PAGES:
        wait(qtbot, lambda page=page: window.wizard.wizard.footer.next.text() == f"&Next: {page}")
        go_on(window, person, qtbot)
    wait(qtbot, lambda: window.wizard.wizard.footer.next.text() == "&Start")
    go_on(window, person, qtbot)
    model = run_in_front(window)
    wait(qtbot, lambda: model.step >= 2)
    assert model.status == "running"
    assert person.num_clicks <= MAX_CLICKS
    assert person.num_keys == 0

    person.press(Qt.Key.Key_Period, Qt.KeyboardModifier.ControlModifier)
    person.click(person.button("Stop and keep"))
    wait(qtbot, lambda: model.status == "stopped" and model.last_checkpoint_step is not None)
    assert model.last_checkpoint_step == model.step
    assert model.step >= 2
    assert person.button("Resume").isEnabled()
    wait(qtbot, person.button("Export…").isEnabled)


def test_settings_typed_on_the_pages_train_and_end_in_a_merged_model(window: MainWindow, qtbot: QtBot) -> None:
    person = Person(window)
    for _ in PAGES[:-1]:
        go_on(window, person, qtbot)
    person.click(person.button("More settings"))
    person.write(person.field("Most steps"), str(NUM_STEPS))
    go_on(window, person, qtbot)
    person.write(person.field("Name of the run"), "a short run")
    wait(qtbot, window.wizard.wizard.footer.next.isEnabled)
    person.press(Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    model = run_in_front(window)
    wait(qtbot, lambda: not model.is_live)
    assert (model.status, model.step, model.num_steps) == ("completed", NUM_STEPS, NUM_STEPS), model.error
    assert model.config is not None
    assert (model.config.name, model.config.training.max_steps) == ("a short run", NUM_STEPS)

    person.click(person.button("Export…"))
    dialog = QApplication.activeModalWidget()
    assert isinstance(dialog, ExportDialog)
    wait(qtbot, dialog.export.isEnabled)
    person.click(person.button("Export"))
    wait(qtbot, lambda: dialog.state == "done")
    (outcome,) = dialog.outcomes
    assert outcome.error is None, outcome.details
    assert (outcome.to, outcome.out.parent) == ("merged", model.run.exports)
    merged = read_model(outcome.out)
    assert merged.has_chat_template
    result = dialog.result_pane()
    assert result is not None
    assert result.verdict[0] == "good"
    person.press(Qt.Key.Key_Return)
    wait(qtbot, lambda: QApplication.activeModalWidget() is None)
