"""From the opened program to a merged model without a mouse: the real window, the real engine, the demo with settings of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from desktop_ft.core.models import read_model
from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.ui.export_dialog import ExportDialog
from desktop_ft.ui.main_window import MainWindow

ENGINE_MS = 240_000
"""An engine's child takes about 10 s to import; much longer on a busy machine."""
NUM_STEPS = 6
MOST_STOPS = 80
ALT, CTRL = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def window(desktop_ft_home: Path, qapp: QApplication, qtbot: QtBot) -> Iterator[MainWindow]:
    made = MainWindow(Workspace(desktop_ft_home))
    made.resize(1280, 800)
    made.show()
    made.start()
    made.activateWindow()
    qtbot.waitUntil(made.isActiveWindow)
    yield made
    made.close_at_once()
    made.deleteLater()
    assert end_threads(10.0)


def press(key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """Where the keyboard is; a window without it gets nothing."""
    target = QApplication.focusWidget() or QApplication.activeWindow()
    assert target is not None, "no window has the keyboard"
    QTest.keyClick(target, key, modifier)


def tab_to(kind: type[QWidget], name: str) -> QWidget:
    """Tab from control to control until this one has the keyboard."""
    passed: list[str] = []
    for _ in range(MOST_STOPS):
        here = QApplication.focusWidget()
        if isinstance(here, kind) and here.accessibleName() == name:
            return here
        passed.append("nothing" if here is None else here.accessibleName() or type(here).__name__)
        press(Qt.Key.Key_Tab)
    pytest.fail(f"Tab does not lead to {name}, but to {passed}")


def wait(qtbot: QtBot, condition: Callable[[], bool]) -> None:
    qtbot.waitUntil(condition, timeout=ENGINE_MS)


def write(name: str, text: str) -> None:
    """Replace what a field says, and go on to the next control."""
    field = tab_to(QLineEdit, name)
    press(Qt.Key.Key_A, CTRL)
    QTest.keyClicks(field, text)
    press(Qt.Key.Key_Tab)


@pytest.mark.timeout(600)
def test_from_the_model_page_to_the_merged_export_by_keys_alone(window: MainWindow, qtbot: QtBot) -> None:
    wizard = window.wizard.wizard
    for page in range(1, 5):
        wait(qtbot, wizard.footer.next.isEnabled)
        press(Qt.Key.Key_Right, ALT)
        assert wizard.current() == page
        if page == 3:
            tab_to(QPushButton, "More settings")
            press(Qt.Key.Key_Space)
            write("Most steps", str(NUM_STEPS))
    write("Name of the run", "by keys")
    wait(qtbot, wizard.footer.next.isEnabled)
    press(Qt.Key.Key_Return, CTRL)

    model = window.current_run()
    assert model is not None
    wait(qtbot, lambda: not model.is_live)
    assert (model.status, model.step, model.num_steps) == ("completed", NUM_STEPS, NUM_STEPS), model.error
    assert model.config is not None
    assert model.config.name == "by keys"

    tab_to(QPushButton, "Export…")
    press(Qt.Key.Key_Return)
    dialog = QApplication.activeModalWidget()
    assert isinstance(dialog, ExportDialog)
    qtbot.waitUntil(dialog.isActiveWindow)
    wait(qtbot, dialog.export.isEnabled)
    tab_to(QPushButton, "Export")
    press(Qt.Key.Key_Return)
    wait(qtbot, lambda: dialog.state == "done")
    (outcome,) = dialog.outcomes
    assert (outcome.to, outcome.error) == ("merged", None)
    assert read_model(outcome.out).has_chat_template
    press(Qt.Key.Key_Return)  # Done has the keyboard now
    qtbot.waitUntil(lambda: QApplication.activeModalWidget() is None)
