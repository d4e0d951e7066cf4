"""The column dialog: every role with what it means, and the first rows as the choice would read them, live."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop_ft.core.data.formats import FORMATS, roles_of
from desktop_ft.jobs import column_preview
from desktop_ft.jobs.column_preview import ColumnPreview
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.ui.wizard.column_dialog import ColumnDialog, fitting_formats
from desktop_ft.ui.wizard.column_words import format_help, role_help
from tests.helpers.clipping import clipped_texts
from tests.jobs.test_new_run_model import run_here


@pytest.fixture
def dialog(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ColumnDialog:
    monkeypatch.setattr(column_preview, "run_task", run_here)
    path = tmp_path / "a.jsonl"
    rows = [{"frage": "2 + 2", "antwort": "4", "n": 1}, {"frage": "3 + 3", "antwort": None, "n": 2}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = ColumnDialog(["frage", "antwort", "n"], "qa", {"question": "frage"}, fitting_formats("sft"), ColumnPreview(path))
    qtbot.addWidget(made)
    made.show()
    return made


def test_the_rows_follow_the_choice(dialog: ColumnDialog, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: any("needs answer" in text for text in dialog.rows.texts()), timeout=10_000)
    dialog.roles["answer"].setCurrentIndex(dialog.roles["answer"].findData("antwort"))
    qtbot.waitUntil(lambda: dialog.rows.texts()[:5] == ["Row 1", "User", "2 + 2", "Assistant", "4"], timeout=10_000)
    assert "Row 2: answer is missing or null." in dialog.rows.texts()
    assert dialog.mapping() == {"question": "frage", "answer": "antwort"}
    QApplication.processEvents()
    assert clipped_texts(dialog) == []
    dialog.format.setCurrentIndex(dialog.format.findData("text"))
    dialog.roles["text"].setCurrentIndex(dialog.roles["text"].findData("frage"))
    qtbot.waitUntil(lambda: dialog.rows.texts()[:3] == ["Row 1", "Text", "2 + 2"], timeout=10_000)
    dialog.reject()
    assert end_threads(10.0)


def test_a_column_cannot_be_two_things(dialog: ColumnDialog) -> None:
    dialog.roles["answer"].setCurrentIndex(dialog.roles["answer"].findData("frage"))
    assert not dialog.use.isEnabled() or dialog.use.toolTip()
    assert "frage" in dialog.use.toolTip()
    dialog.reject()
    assert end_threads(10.0)


def test_every_format_and_role_is_explained() -> None:
    for name in FORMATS:
        assert format_help(name), name
        needed, optional = roles_of(name)
        assert all(role_help(role) for role in (*needed, *optional)), name
