"""The dialog with the scripted engine: choose, write, verdict, cancel, failure; names, clipping and the keyboard."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLabel, QMessageBox, QWidget
from pytestqt.qtbot import QtBot

from desktop_ft.core.best_checkpoint import BestCheckpoint, write_best
from desktop_ft.core.job import ExportRequest, list_jobs, read_job
from desktop_ft.core.runs import RunDir, write_manifest
from desktop_ft.core.stages import stages_of
from desktop_ft.ui.export_dialog import ExportDialog
from desktop_ft.ui.kit.theme import ThemeManager
from tests.fakes.fake_engine import SCRIPT_VARIABLE
from tests.helpers.clipping import clipped_texts
from tests.helpers.staged_runs import make_staged_run
from tests.ui.export_dialog.stories import OUTCOMES, make_base, show_outcomes

WAIT_MS = 20_000
Open = Callable[[], ExportDialog]


@pytest.fixture
def open_dialog(run: RunDir, qtbot: QtBot) -> Iterator[Open]:
    made: list[ExportDialog] = []

    def make() -> ExportDialog:
        dialog = ExportDialog(run)
        made.append(dialog)
        dialog.show()
        qtbot.waitUntil(lambda: dialog.export.isEnabled() or bool(dialog.options.problem()), timeout=WAIT_MS)
        return dialog

    yield make
    while made:
        made[0].cancel_export()
        made.pop(0).deleteLater()


def shown_buttons(dialog: ExportDialog) -> list[str]:
    buttons = (dialog.open_folder, dialog.save_report, dialog.cancel, dialog.export, dialog.done_button)
    return [made.accessibleName() for made in buttons if made.isVisible()]


def texts(widget: QWidget) -> set[str]:
    return {label.text() for label in widget.findChildren(QLabel) if label.isVisible()}


def requests(run: RunDir) -> list[ExportRequest]:
    found = [read_job(job.path) for job in list_jobs(run, ExportRequest.kind)]
    return [request for request in found if isinstance(request, ExportRequest)]


def script(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    monkeypatch.setenv(SCRIPT_VARIABLE, json.dumps(values))


# --- before ----------------------------------------------------------------------------------------------------------------


def test_sizes_and_disk_are_known_before_the_start(open_dialog: Open) -> None:
    dialog = open_dialog()
    assert shown_buttons(dialog) == ["Cancel", "Export"]
    assert dialog.formats.chosen() == ("merged",)
    assert {"at most 68.1 MiB, a whole model, safetensors", "at most 65.0 MiB, needs the base model"} <= texts(dialog.formats)
    assert any(text.startswith("68.1 MiB of ") for text in texts(dialog.formats))
    dialog.formats.ticks["adapter"].click()
    assert any(text.startswith("133 MiB of ") for text in texts(dialog.formats))


@pytest.mark.parametrize(("method", "has_adapter"), [("lora", True), ("qlora", True), ("full", False)])
def test_the_adapter_is_offered_where_one_was_trained(method: str, has_adapter: bool, open_dialog: Open, run: RunDir) -> None:
    text = run.config_file.read_text(encoding="utf-8")
    assert "kind: lora" in text
    run.config_file.write_text(text.replace("kind: lora", f"kind: {method}"), encoding="utf-8")
    assert open_dialog().formats.ticks["adapter"].isEnabled() is has_adapter


def test_nothing_ticked_disables_the_start_and_says_why(open_dialog: Open) -> None:
    dialog = open_dialog()
    dialog.formats.ticks["merged"].click()
    assert not dialog.export.isEnabled()
    assert dialog.export.toolTip() == "Tick what to write"
    assert not dialog.options.dtype.isEnabled()
    dialog.formats.ticks["adapter"].click()
    assert dialog.export.isEnabled()


def test_a_missing_base_model_is_said_in_place(open_dialog: Open, run: RunDir) -> None:
    (run.path.parent / "base" / "model.safetensors").unlink()
    dialog = open_dialog()
    assert not dialog.export.isEnabled()
    assert "no model.safetensors" in dialog.options.problem()


def test_checkpoints_can_be_chosen(open_dialog: Open, run: RunDir, qtbot: QtBot) -> None:
    folder = run.checkpoint(40)
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(bytes(100))
    write_manifest(folder, 40)
    dialog = open_dialog()
    box = dialog.options.checkpoint
    assert [box.itemText(place) for place in range(box.count())] == ["the final state", "checkpoint of step 40"]
    box.setCurrentIndex(1)
    dialog.options.dtype.setCurrentIndex(3)
    qtbot.waitUntil(lambda: "at most 72.2 MiB, a whole model, safetensors" in texts(dialog.formats), timeout=WAIT_MS)
    dialog.start()
    qtbot.waitUntil(lambda: dialog.state == "done", timeout=WAIT_MS)
    assert [(request.checkpoint, request.dtype) for request in requests(run)] == [(40, "float32")]


def test_the_checkpoints_of_both_stages_can_be_chosen(tmp_path: Path, qtbot: QtBot) -> None:
    run = make_staged_run(tmp_path / "rlhf", str(make_base(tmp_path / "base")), reward=(30,), policy=(4, 8))
    write_best(stages_of(run, run.config())[1].run, BestCheckpoint(4, "reward", 1.5))
    dialog = ExportDialog(run)
    qtbot.addWidget(dialog)
    dialog.show()
    box = dialog.options.checkpoint
    words = [box.itemText(place) for place in range(box.count())]
    assert words == ["checkpoint of step 38", "checkpoint of step 34, the best", "checkpoint of step 30, reward model"]
    qtbot.waitUntil(dialog.export.isEnabled, timeout=WAIT_MS)
    assert not dialog.options.is_reward_model()
    assert any("next tokens" in text for text in texts(dialog.options))
    box.setCurrentIndex(2)
    assert dialog.options.is_reward_model()
    assert any("scores" in text for text in texts(dialog.options))
    qtbot.waitUntil(dialog.export.isEnabled, timeout=WAIT_MS)


# --- during and after --------------------------------------------------------------------------------------------------------


def test_both_exports_one_after_the_other(
    open_dialog: Open, run: RunDir, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, step_seconds=0.05)
    dialog = open_dialog()
    dialog.formats.ticks["adapter"].click()
    dialog.export.click()
    assert dialog.state == "writing"
    assert shown_buttons(dialog) == ["Cancel"]
    assert not dialog.formats.ticks["merged"].isEnabled()
    qtbot.waitUntil(lambda: "Merging" in dialog.running.details(), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: dialog.state == "done", timeout=WAIT_MS)
    assert [request.to for request in requests(run)] == ["adapter", "merged"]
    assert shown_buttons(dialog) == ["Open folder", "Save report…", "Done"]
    result = dialog.result_pane()
    assert result is not None
    assert result.verdict[:2] == ("good", "All exports work")
    assert {"100.0 %", "0.0010 nats", "identical", "Same next token"} <= texts(result)
    dialog.write_report(tmp_path / "report.md")
    assert "Same next token: 100.0 %" in (tmp_path / "report.md").read_text(encoding="utf-8")
    dialog.done_button.click()
    assert dialog.result() == ExportDialog.DialogCode.Accepted


def test_cancel_asks_then_ends_the_engine_and_goes_back_to_the_choice(
    open_dialog: Open, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, step_seconds=0.5)
    dialog = open_dialog()
    dialog.start()
    qtbot.waitUntil(lambda: "Merging" in dialog.running.details(), timeout=WAIT_MS)
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert dialog.isVisible()
    box = next(child for child in dialog.findChildren(QMessageBox) if child.isVisible())
    next(made for made in box.buttons() if made.text() == "Cancel the export").click()
    qtbot.waitUntil(lambda: dialog.state == "choosing", timeout=WAIT_MS)
    assert dialog.outcomes == []
    qtbot.waitUntil(dialog.export.isEnabled, timeout=WAIT_MS)


@pytest.mark.parametrize(("how", "title"), [("exception", "The fake engine failed"), ("exit", "The engine's process is gone")])
def test_a_failure_has_a_verdict_and_details(
    open_dialog: Open, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, how: str, title: str
) -> None:
    script(monkeypatch, die_at_step=2, die_how=how, die_always=True)
    dialog = open_dialog()
    dialog.start()
    qtbot.waitUntil(lambda: dialog.state == "done", timeout=WAIT_MS)
    result = dialog.result_pane()
    assert result is not None
    assert result.verdict[0] == "bad"
    assert dialog.outcomes[0].error is not None
    assert dialog.outcomes[0].details
    assert not dialog.open_folder.isEnabled()
    assert result.verdict[1] == title


# --- for everyone --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [13, 16])
@pytest.mark.parametrize("name", ["before", *OUTCOMES])
def test_no_text_is_clipped_and_every_control_has_a_name(open_dialog: Open, qapp: QApplication, name: str, size: int) -> None:
    set_font(qapp, size)
    try:
        dialog = open_dialog()
        if name != "before":
            show_outcomes(dialog, OUTCOMES[name])
        dialog.resize(min(dialog.width(), 1000), min(dialog.height(), 676))  # as in a window of 1024x700
        for _ in range(4):
            qapp.processEvents()
        assert (dialog.width(), dialog.height()) <= (1000, 676)
        assert clipped_texts(dialog) == []
        controls = [child for kind in (QAbstractButton, QComboBox) for child in dialog.findChildren(kind) if child.isVisible()]
        assert len(controls) >= 4
        unnamed = [child for child in controls if not (child.accessibleName() or getattr(child, "text", str)())]
        assert unnamed == []
    finally:
        set_font(qapp, 13)


def set_font(app: QApplication, pixels: int) -> None:
    font = QFont(app.font())
    font.setPixelSize(pixels)
    app.setFont(font)


def test_the_theme_changes_live(open_dialog: Open, themed: ThemeManager) -> None:
    dialog = open_dialog()
    show_outcomes(dialog, OUTCOMES["works"])
    light = dialog.grab().toImage().pixelColor(3, 3).name()
    themed.set_mode("dark")
    assert (light, dialog.grab().toImage().pixelColor(3, 3).name()) == ("#ffffff", "#1f2226")
