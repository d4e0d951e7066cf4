"""The fixes of a finding: taken from its line or after a look at what they do, and taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtWidgets import QDialog
from pytestqt.qtbot import QtBot

from desktop_ft.core.data.fix_names import FIXES_OF, MENDING
from desktop_ft.core.data.fixes import FIXES
from desktop_ft.ui.wizard.findings import CHECKS, fix_words, fixed_words
from desktop_ft.ui.wizard.fix_dialog import FixDialog
from tests.ui.wizard.conftest import MakeWizard


def test_every_fix_has_its_words() -> None:
    assert len({fixed_words(fix) for fix in FIXES}) == len(FIXES)
    assert {fix for fix in FIXES if fix_words(fix) != "Leave out"} == MENDING
    assert set(FIXES_OF) - set(CHECKS) == {"identical_pairs", "swapped_pairs", "label_conflicts"}


def test_a_row_is_shown_before_and_after(qtbot: QtBot) -> None:
    said = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "jane@doe.io"}]
    masked = [said[0], {"role": "assistant", "content": "<EMAIL>"}]
    rows = [{"row": 2, "before": said, "after": masked}, {"row": 4, "before": said, "after": None}]
    dialog = FixDialog({"fix": "mask_emails", "num_dropped": 0, "num_changed": 2, "rows": rows}, is_taken=False)
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.list.count() == 2
    assert (dialog.before.toPlainText()[-11:], dialog.after.toPlainText()[-7:]) == ("jane@doe.io", "<EMAIL>")
    assert dialog.act.text() == "Mask (file unchanged)"
    dialog.list.setCurrentRow(1)
    assert (dialog.after.isVisible(), dialog.left_out.isVisible()) == (False, True)
    dialog.act.click()
    assert dialog.result() == QDialog.DialogCode.Accepted


def test_a_fix_is_previewed_taken_and_taken_back(
    make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"question": f"What is {at} + 1?", "answer": f"It is {at + 1}."} for at in range(120)]
    rows[3]["answer"] = "Ask jane.doe@gmail.com for it."
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    wizard = make_wizard(data=str(path))
    wizard.go_to(2)
    model = wizard.model
    shown: list[tuple[str, str]] = []

    def accept(dialog: FixDialog) -> QDialog.DialogCode:
        shown.append((dialog.act.text(), dialog.after.toPlainText()[-15:]))
        return QDialog.DialogCode.Accepted

    monkeypatch.setattr(FixDialog, "exec", accept)
    for fixes, found in ((("mask_emails",), []), ((), ["emails"])):
        model.preview_fix("mask_emails")
        qtbot.waitUntil(lambda wanted=fixes: model.draft.get("data.fixes") == wanted, timeout=20_000)
        qtbot.waitUntil(lambda: not model.is_data_loading and model.data is not None, timeout=20_000)
        assert model.data is not None
        assert [finding["code"] for finding in model.data.findings] == found
        assert dict(model.data.changed) == ({"mask_emails": 1} if fixes else {})
    assert shown == [("Mask (file unchanged)", "<EMAIL> for it."), ("&Take back", "<EMAIL> for it.")]
