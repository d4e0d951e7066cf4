"""Presets of one's own: kept on the review page, there at once and after a restart, removed again; what goes wrong is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QMessageBox
from pytestqt.qtbot import QtBot

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.presets import list_presets
from desktop_ft.ui.wizard.preset_box import PresetBox
from desktop_ft.ui.wizard.preset_dialog import PresetDialog
from desktop_ft.ui.wizard.wizard import NewRunWizard
from tests.helpers.clipping import clipped_texts
from tests.ui.wizard.conftest import MakeWizard

LEFT = Qt.MouseButton.LeftButton


def own() -> list[tuple[str, str]]:
    return [(preset.title, preset.sentence) for preset in list_presets() if preset.is_own]


def open_dialog(wizard: NewRunWizard, qtbot: QtBot) -> PresetDialog:
    wizard.go_to(4)
    qtbot.mouseClick(wizard.review.keep, LEFT)
    (dialog,) = [found for found in wizard.review.findChildren(PresetDialog) if found.isVisible()]
    return dialog


def save(wizard: NewRunWizard, qtbot: QtBot, title: str, sentence: str = "") -> None:
    dialog = open_dialog(wizard, qtbot)
    qtbot.keyClicks(dialog.title_field.line_edit(), title)
    qtbot.keyClicks(dialog.sentence_field.line_edit(), sentence)
    qtbot.mouseClick(dialog.keep, LEFT)
    QApplication.sendPostedEvents(None, 0)


def titles(box: PresetBox) -> list[str]:
    return [box.choice.itemText(at) for at in range(box.choice.count())]


def test_it_is_chosen_at_once_and_there_after_a_restart(make_wizard: MakeWizard, qtbot: QtBot) -> None:
    wizard = make_wizard()
    wizard.model.set("method.rank", 24)
    save(wizard, qtbot, "My letters", "For what I write to customers.")
    assert own() == [("My letters", "For what I write to customers.")]
    box = wizard.objective_page.presets
    assert titles(box)[-1] == "My letters"
    assert box.choice.currentText() == "My letters"
    assert box.sentence.text() == "For what I write to customers."
    wizard.model.set("method.rank", 8)
    assert box.sentence.text() == "Changed since “My letters” was chosen."

    again = make_wizard()
    combo = again.objective_page.presets.choice
    combo.setCurrentIndex(combo.findText("My letters"))
    combo.activated.emit(combo.currentIndex())
    assert again.model.draft.get("method.rank") == 24


def test_a_name_is_needed_and_one_that_is_taken_is_said(make_wizard: MakeWizard, qtbot: QtBot) -> None:
    wizard = make_wizard()
    dialog = open_dialog(wizard, qtbot)
    assert not dialog.keep.isEnabled()
    assert dialog.keep.toolTip() == "Give it a name first"
    assert clipped_texts(dialog) == []
    dialog.reject()
    save(wizard, qtbot, "Mine")
    wizard.model.set("method.rank", 48)
    dialog = open_dialog(wizard, qtbot)
    qtbot.keyClicks(dialog.title_field.line_edit(), "Mine")
    assert dialog.keep.text() == "&Replace"
    assert "will be replaced" in dialog.note.text()
    dialog.save()
    assert [preset.config().method.rank for preset in list_presets() if preset.is_own] == [48]


def test_what_keeps_it_from_being_written_is_told_and_what_was_typed_stays(
    make_wizard: MakeWizard, qtbot: QtBot, desktop_ft_home: Path
) -> None:
    wizard = make_wizard()
    errors: list[DesktopFtError] = []
    wizard.error_raised.connect(errors.append)
    desktop_ft_home.mkdir(parents=True, exist_ok=True)
    (desktop_ft_home / "presets").write_text("in the way", encoding="utf-8")
    dialog = open_dialog(wizard, qtbot)
    qtbot.keyClicks(dialog.title_field.line_edit(), "Mine")
    dialog.save()
    assert [error.code for error in errors] == ["file_not_writable"]
    assert dialog.isVisible()
    dialog.reject()


@pytest.mark.parametrize(("answer", "stays"), [("Remove", False), ("Keep it", True)])
def test_only_ones_own_is_removed_and_only_after_a_question(make_wizard: MakeWizard, qtbot: QtBot, answer: str, stays: bool) -> None:
    wizard = make_wizard()
    save(wizard, qtbot, "Mine")
    wizard.go_to(1)
    box = wizard.objective_page.presets
    assert box.remove.isVisible()
    qtbot.mouseClick(box.remove, LEFT)
    (question,) = [found for found in wizard.findChildren(QMessageBox) if found.isVisible()]
    next(made for made in question.buttons() if made.text() == answer).click()
    assert (own() == [("Mine", "")]) is stays
    assert ("Mine" in titles(box)) is stays
    box.choice.setCurrentIndex(1)
    box.refresh()
    assert not box.remove.isVisible()


def test_a_file_that_cannot_be_read_is_told_once(make_wizard: MakeWizard, desktop_ft_home: Path) -> None:
    (desktop_ft_home / "presets").mkdir(parents=True)
    (desktop_ft_home / "presets" / "mine.yaml").write_text("title: x\n", encoding="utf-8")
    wizard = make_wizard()
    errors: list[DesktopFtError] = []
    wizard.error_raised.connect(errors.append)
    for page in (1, 0, 1):
        wizard.go_to(page)
    assert [error.code for error in errors] == ["preset_damaged"]
