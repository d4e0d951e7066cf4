"""Going on from a run: the run's menu opens the wizard on what the run has learnt, or says why it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot

from desktop_ft.core.config import Draft
from desktop_ft.core.runs import RunDir
from desktop_ft.jobs import continuing
from desktop_ft.ui import main_window
from desktop_ft.ui.main_window import MainWindow
from tests.ui.window.conftest import MakeRun, MakeWindow


def show(window: MainWindow, run: RunDir) -> None:
    model = window.service.open(run.path)
    assert model is not None
    window.show_run(model)


def test_the_menu_offers_every_objective_and_opens_the_wizard_on_the_adapter(
    make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, str]] = []

    def draft_of(run: RunDir, objective: str) -> Draft:
        asked.append((run.path, objective))
        changes = {"name": "a run then dpo", "model.source": "demo", "model.adapter": "/runs/a/adapter", "objective.kind": objective}
        return Draft().with_values(changes)

    monkeypatch.setattr(main_window, "continued_draft", draft_of)
    window = make_window()
    run = make_run("completed")
    show(window, run)
    page = window.runs.run_page
    qtbot.waitUntil(lambda: page.header.go_on.isVisible() and page.header.go_on.isEnabled(), timeout=10_000)
    actions = {action.text(): action for action in page.run_actions.go_on.actions()}
    assert {"DPO", "Reward model", "RLHF", "PPO", "KTO"} <= set(actions)
    actions["DPO"].trigger()
    qtbot.waitUntil(lambda: window.is_at("new"), timeout=10_000)
    assert asked == [(run.path, "dpo")]
    draft = window.wizard.model.draft
    assert (draft.get("model.adapter"), draft.get("objective.kind"), draft.get("name")) == ("/runs/a/adapter", "dpo", "a run then dpo")
    assert not window.wizard.wizard.pages[2].isComplete()


@pytest.mark.parametrize(("answer", "name"), [("Replace it", "a run then dpo"), ("Keep it", "my-first-run")])
def test_work_on_another_run_gives_way_only_after_a_question(
    make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, answer: str, name: str
) -> None:
    draft = Draft().with_values({"name": "a run then dpo", "model.source": "demo", "objective.kind": "dpo"})
    monkeypatch.setattr(main_window, "continued_draft", lambda _run, _objective: draft)
    window = make_window()
    model = window.wizard.model
    qtbot.waitUntil(lambda: model.data is not None and not model.is_data_loading, timeout=20_000)
    model.set("method.rank", 24)
    assert model.has_changes
    model.set("method.rank", model._first_draft.get("method.rank"))  # pyright: ignore[reportPrivateUsage]
    assert not model.has_changes, "what was taken back is no work"
    model.set("method.rank", 24)
    show(window, make_run("completed"))
    page = window.runs.run_page
    qtbot.waitUntil(lambda: page.run_actions.go_on.isEnabled(), timeout=10_000)
    page.run_actions.go_on.actions()[2].trigger()
    qtbot.waitUntil(lambda: bool(window.findChildren(QMessageBox)), timeout=10_000)
    (question,) = window.findChildren(QMessageBox)
    assert "“my-first-run” has changes" in question.informativeText()
    next(button for button in question.buttons() if button.text() == answer).click()
    assert window.is_at("new") is (answer == "Replace it")
    assert window.wizard.model.draft.get("name") == name


def test_what_keeps_a_run_from_being_gone_on_from_is_said(make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot) -> None:
    window = make_window()
    show(window, make_run("completed"))
    page = window.runs.run_page
    qtbot.waitUntil(lambda: page.run_actions.go_on.isEnabled(), timeout=10_000)
    page.run_actions.go_on.actions()[2].trigger()
    qtbot.waitUntil(lambda: [message.tone for message in window.strip.messages()] == ["bad"], timeout=10_000)
    assert not window.is_at("new")


def test_the_defaults_of_the_new_objective_fill_what_is_not_settled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settled = {"objective.kind": "dpo", "method.kind": "lora", "method.rank": 64, "model.source": "demo"}
    monkeypatch.setattr(continuing, "continue_from", lambda _run, _objective: settled)
    draft = continuing.continued_draft(RunDir(tmp_path), "dpo")
    assert (draft.get("method.rank"), draft.get("training.learning_rate"), draft.get("training.warmup_steps")) == (64, 5e-6, 0.1)
