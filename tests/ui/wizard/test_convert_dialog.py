"""The dialog that writes a data file in another format: what it wrote, what it could not, and that closing it stops the work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from desktop_ft.jobs import data_conversion
from desktop_ft.jobs.data_conversion import DataConversion
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.ui.wizard.convert_dialog import ConvertDialog
from tests.helpers.clipping import clipped_texts
from tests.jobs.test_new_run_model import run_here


@pytest.fixture
def dialog(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ConvertDialog:
    monkeypatch.setattr(data_conversion, "run_task", run_here)
    path = tmp_path / "a.jsonl"
    rows = [{"prompt": "Hi", "chosen": "a", "rejected": "b"}, {"prompt": "Ho", "chosen": "a", "rejected": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = ConvertDialog(path, DataConversion({"path": str(path), "format": "auto", "columns": {}}))
    qtbot.addWidget(made)
    made.show()
    return made


def test_the_file_is_written_where_the_person_says(
    dialog: ConvertDialog, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def pick(_parent: object, _title: str, start: str, _kinds: str) -> tuple[str, str]:
        asked.append(Path(start).name)
        return str(tmp_path / "out"), "CSV (*.csv)"

    monkeypatch.setattr(QFileDialog, "getSaveFileName", pick)
    dialog.target.setCurrentIndex(dialog.target.findData("kto"))
    dialog.save.click()
    assert not dialog.save.isEnabled()
    qtbot.waitUntil(lambda: dialog.save.isEnabled(), timeout=10_000)
    assert asked == ["a-kto.jsonl"]
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines() == ["prompt,completion,label", "Hi,a,true", "Hi,b,false"]
    assert dialog.outcome.text() == "2 rows were written to out.csv. 1 could not be converted."
    assert dialog.problems.text() == "Row 2: rejected is missing or null."
    QApplication.processEvents()
    assert clipped_texts(dialog) == []
    dialog.target.setCurrentIndex(dialog.target.findData("text"))
    dialog.write(tmp_path / "text.jsonl")
    qtbot.waitUntil(lambda: dialog.save.isEnabled(), timeout=10_000)
    assert dialog.outcome.text().startswith("No row can be converted.")
    dialog.reject()
    assert end_threads(10.0)
