"""From the opened program to a merged model, by clicks and keys alone: the real window, the real engine, the demo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QCheckBox
from pytestqt.qtbot import QtBot

from desktop_ft.core.workspace import default_workspace
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.ui.export_dialog import ExportDialog
from desktop_ft.ui.main_window import MainWindow

LEFT = Qt.MouseButton.LeftButton
ENGINE_MS = 240_000
"""An engine's child takes about 10 s to import and as long to train the demo; much longer on a busy machine."""
READING_MS = 30_000


class Person:
    """Clicks and presses keys, and counts them.

    Attributes:
        clicks: How many.
        keys: How many.
    """

    def __init__(self, qtbot: QtBot) -> None:
        self._qtbot = qtbot
        self.clicks = 0
        self.keys = 0

    def click(self, target: QAbstractButton, patience_ms: int = READING_MS) -> None:
        """Click a button as soon as it can be clicked."""
        self._qtbot.waitUntil(lambda: target.isVisible() and target.isEnabled(), timeout=patience_ms)
        self._qtbot.mouseClick(target, LEFT)
        self.clicks += 1

    def press(self, target: QAbstractButton, key: Qt.Key) -> None:
        """Put the keyboard on a control and press a key."""
        target.setFocus(Qt.FocusReason.TabFocusReason)
        self._qtbot.keyClick(target, key)
        self.keys += 1


@pytest.fixture
def window(qtbot: QtBot) -> Iterator[MainWindow]:
    """The program's window over an empty workspace."""
    window = MainWindow(default_workspace())
    window.resize(1280, 800)
    window.show()
    window.start()
    yield window
    window.close_at_once()
    end_threads(10.0)
    window.deleteLater()
    qtbot.wait(50)


def test_from_the_model_page_to_the_merged_export(window: MainWindow, qtbot: QtBot) -> None:
    person = Person(qtbot)
    next_button = window.wizard.wizard.footer.next

    for goal in ("&Next: Objective", "&Next: Data", "&Next: Method", "&Next: Review", "&Start"):
        qtbot.waitUntil(lambda goal=goal: next_button.text() == goal, timeout=READING_MS)
        person.click(next_button)

    qtbot.waitUntil(lambda: window.current_run() is not None, timeout=READING_MS)
    assert person.clicks <= 6
    assert person.keys == 0
    run = window.current_run()
    assert run is not None
    qtbot.waitUntil(lambda: run.step >= 1, timeout=ENGINE_MS)
    assert run.is_live
    qtbot.waitUntil(lambda: run.status not in ("new", "starting", "running"), timeout=ENGINE_MS)
    assert run.status == "completed", run.error
    first, last = run.evaluations[0].loss, run.evaluations[-1].loss
    assert first is not None
    assert last is not None
    assert last < 0.5 * first

    merged = _export_merged(window, person, qtbot)
    assert (merged / "config.json").is_file()
    assert (merged / "model.safetensors").is_file()
    assert json.loads((merged / "config.json").read_text(encoding="utf-8"))["architectures"] == ["LlamaForCausalLM"]


def _export_merged(window: MainWindow, person: Person, qtbot: QtBot) -> Path:
    """From the finished run's page through the export dialog; the folder that was written."""
    buttons = window.runs.run_page.findChildren(QAbstractButton)
    export = next(one for one in buttons if one.text() in ("&Export…", "E&xport…") and one.isVisible())
    person.click(export)
    qtbot.waitUntil(lambda: _dialog(window) is not None, timeout=READING_MS)
    dialog = _dialog(window)
    assert dialog is not None
    _choose_merged_alone(dialog, person)
    person.click(dialog.export)
    person.click(dialog.done_button, ENGINE_MS)
    outcomes = dialog.outcomes
    assert [(outcome.to, outcome.error) for outcome in outcomes] == [("merged", None)]
    verified = outcomes[0].verified
    assert verified is not None
    assert verified.mean_kl is not None
    assert verified.mean_kl <= 0.005
    assert verified.stop_token_ok
    assert verified.chat_template_equal
    return outcomes[0].out


def _choose_merged_alone(dialog: ExportDialog, person: Person) -> None:
    """Tick and untick with the keyboard."""
    for box in dialog.formats.findChildren(QCheckBox):
        is_merged = "merged" in box.accessibleName().lower() or "merged" in box.text().lower()
        if box.isChecked() != is_merged:
            person.press(box, Qt.Key.Key_Space)
            assert box.isChecked() == is_merged


def _dialog(window: MainWindow) -> ExportDialog | None:
    shown = [dialog for dialog in window.findChildren(ExportDialog) if dialog.isVisible()]
    return shown[0] if shown else None
