"""Objective and method pages: every control reaches the draft, what has no effect is hidden, what is refused is said at its field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit
from pytestqt.qtbot import QtBot

from desktop_ft.core.config import SETTINGS
from desktop_ft.core.config.defaults import changes_for
from desktop_ft.core.config.objectives import OBJECTIVES, ObjectiveName
from desktop_ft.core.runs import create_run
from desktop_ft.core.workspace import Workspace
from desktop_ft.ui.kit.fields import BoolControl, ChoiceControl
from desktop_ft.ui.wizard.data_page import DataPage
from desktop_ft.ui.wizard.method_page import MethodPage
from desktop_ft.ui.wizard.objective_page import ObjectivePage
from desktop_ft.ui.wizard.objective_settings import paths_of
from desktop_ft.ui.wizard.rewards_editor import RULES_PATH
from desktop_ft.ui.wizard.settings_form import SettingRow
from desktop_ft.ui.wizard.wizard import NewRunWizard
from tests.helpers.clipping import clipped_texts
from tests.helpers.objective_runs import config as objective_config
from tests.ui.wizard.conftest import NARROW, MakeWizard, is_quiet
from tests.ui.wizard.stand_ins import GPU, write_model

LEFT = Qt.MouseButton.LeftButton


def objective_page(wizard: NewRunWizard) -> ObjectivePage:
    wizard.go_to(1)
    page = wizard.pages[1]
    assert isinstance(page, ObjectivePage)
    return page


def method_page(wizard: NewRunWizard) -> MethodPage:
    page = wizard.pages[3]
    assert isinstance(page, MethodPage)
    return page


def choose(wizard: NewRunWizard, kind: ObjectiveName, qtbot: QtBot) -> None:
    wizard.model.set_objective(kind)
    qtbot.waitUntil(lambda: is_quiet(wizard), timeout=20_000)


def write_pairs(path: Path, num_rows: int = 60) -> Path:
    rows = [
        {"prompt": f"What is {n} and {n}?", "chosen": f"It is {2 * n}, gladly.", "rejected": f"Work out {n} yourself."}
        for n in range(num_rows)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_six_cards_lead_to_the_objectives_and_variants_to_their_relatives(make_wizard: MakeWizard, qtbot: QtBot) -> None:
    wizard = make_wizard()
    page = objective_page(wizard)
    reached: set[str] = set()
    for card in page.cards.values():
        qtbot.mouseClick(card, LEFT)
        reached.add(wizard.model.objective)
        for variants in [one for one in page.variants.values() if one.isVisible()]:
            for segment in variants.segments():
                qtbot.mouseClick(segment, LEFT)
                reached.add(wizard.model.objective)
    assert reached == set(OBJECTIVES)


def test_an_objective_brings_its_defaults_and_says_so(make_wizard: MakeWizard, tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")))
    page = objective_page(wizard)
    wizard.model.set_objective("dpo")
    assert wizard.model.draft.get("training.learning_rate") == 5e-6
    assert "Learning rate: Changed with the objective, from 0.0002 to 5e-6." in page.changed.words()
    rate = method_page(wizard).training.rows["training.learning_rate"]
    assert rate.advice.words() == "Changed with the objective, from 0.0002 to 5e-6."
    assert not rate.field.is_changed()
    wizard.model.set("training.learning_rate", 7e-6)
    wizard.model.set_objective("sft")
    assert wizard.model.draft.get("training.learning_rate") == 7e-6
    assert rate.field.is_changed()


def test_every_setting_of_an_objective_has_a_row_that_reaches_the_draft(make_wizard: MakeWizard) -> None:
    wizard = make_wizard()
    page = objective_page(wizard)
    for kind in OBJECTIVES[2:]:  # the first two have no settings of their own
        wizard.model.set_objective(kind)
        rows = page.current_settings().rows()
        hidden = {"objective.rewards.model"} if kind == "rlhf" else set[str]()
        assert set(rows) == set(paths_of(kind)) - hidden
        for path, line in rows.items():
            before = wizard.model.draft.get(path)
            use(line)
            assert wizard.model.draft.get(path) != before, path
            wizard.model.set(path, before)
            assert line.field.value() == before, path


def use(line: SettingRow) -> None:
    """Change the control as a person would: another choice, a ticked box, another text."""
    control = line.field.control
    if isinstance(control, BoolControl):
        target = control.focus_target()
        assert isinstance(target, QAbstractButton)
        target.click()
    elif isinstance(control, ChoiceControl):
        combo = control.focus_target()
        assert isinstance(combo, QComboBox)
        combo.setCurrentIndex(1 - min(1, combo.currentIndex()))
        combo.activated.emit(combo.currentIndex())
    else:
        edit = control.focus_target()
        assert isinstance(edit, QLineEdit)
        typed = "a-folder" if SETTINGS[line.path].control == "text" else "3"
        edit.setText(typed)
        edit.textEdited.emit(typed)


def test_rules_are_added_changed_and_removed_with_their_errors_inline(make_wizard: MakeWizard, qtbot: QtBot) -> None:
    wizard = make_wizard()
    page = objective_page(wizard)
    choose(wizard, "grpo", qtbot)
    editor = page.current_settings().rewards
    assert editor is not None
    assert not wizard.footer.next.isEnabled()
    assert "othing says what makes an answer good" in wizard.footer.reason.text()
    editor.add("length")
    assert wizard.footer.next.isEnabled()
    longest = editor.rows[0].fields["max_tokens"].control.focus_target()
    assert isinstance(longest, QLineEdit)
    longest.selectAll()
    qtbot.keyClicks(longest, "40")
    assert wizard.model.draft.get(RULES_PATH) == [{"kind": "length", "weight": 1.0, "min_tokens": 0, "max_tokens": 40}]
    editor.add("regex")
    pattern = editor.rows[1].fields["pattern"].control.focus_target()
    assert isinstance(pattern, QLineEdit)
    pattern.selectAll()
    qtbot.keyClicks(pattern, "(thanks")
    assert "is no regular expression" in editor.rows[1].problem.words()
    assert editor.rows[0].problem.words() == ""
    assert not wizard.footer.next.isEnabled()
    qtbot.keyClicks(pattern, ")")
    assert editor.rows[1].problem.words() == ""
    qtbot.mouseClick(editor.rows[0].remove, LEFT)
    rules = wizard.model.draft.get(RULES_PATH)
    assert rules == [{"kind": "regex", "weight": 1.0, "pattern": "(thanks)"}]
    assert wizard.model.config().objective.rewards.rules[0].pattern == "(thanks)"


def test_a_finished_reward_run_can_be_taken_as_the_reward(make_wizard: MakeWizard, qtbot: QtBot, desktop_ft_home: Path) -> None:
    run = create_run(Workspace(desktop_ft_home).new_run_dir("my scorer"), objective_config("reward"))
    run.adapter.mkdir()
    create_run(Workspace(desktop_ft_home).new_run_dir("some chat"), objective_config("dpo")).adapter.mkdir()
    wizard = make_wizard()
    page = objective_page(wizard)
    choose(wizard, "ppo", qtbot)
    editor = page.current_settings().rewards
    assert editor is not None
    assert editor.pick.isVisible()
    (action,) = editor.list_runs()
    action.trigger()
    assert wizard.model.draft.get("objective.rewards.model") == str(run.path)
    assert page.current_settings().rows()["objective.rewards.model"].field.value() == str(run.path)
    assert wizard.footer.next.isEnabled()


def test_the_memory_is_told_while_a_reward_is_still_missing(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny", hidden=512)))
    choose(wizard, "ppo", qtbot)
    assert wizard.model.all_problems
    assert wizard.model.estimate is not None


def test_a_preset_sets_everything_and_tells_when_it_was_left(make_wizard: MakeWizard) -> None:
    wizard = make_wizard()
    page = objective_page(wizard)
    combo = page.presets.choice
    combo.setCurrentIndex(combo.findText("Follow house rules"))
    combo.activated.emit(combo.currentIndex())
    draft = wizard.model.draft
    assert (draft.get("objective.kind"), draft.get("objective.dpo.sft_weight"), draft.get("training.warmup_steps")) == ("dpo", 0.1, 0.1)
    assert "keep your rules" in page.presets.sentence.text()
    wizard.model.set("training.num_train_epochs", 5.0)
    assert page.presets.sentence.text() == "Changed since “Follow house rules” was chosen."


def test_the_advisor_reads_the_data_gives_its_reasons_and_one_click_follows_it(
    make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path
) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")))
    page = objective_page(wizard)
    assert page.advisor.title.text().startswith("The order that works")
    assert page.advisor.use.isHidden()
    choose(wizard, "dpo", qtbot)
    wizard.model.choose_data(str(write_pairs(tmp_path / "pairs.jsonl")))
    qtbot.waitUntil(lambda: is_quiet(wizard), timeout=20_000)
    wizard.model.set_objective("reward")
    qtbot.waitUntil(lambda: is_quiet(wizard), timeout=20_000)
    assert page.advisor.title.text() == "For these data: DPO with LoRA"
    assert "which of two answers is better" in page.advisor.reasons.text()
    qtbot.mouseClick(page.advisor.use, LEFT)
    assert wizard.model.objective == "dpo"
    assert not page.advisor.use.isEnabled()


def test_the_method_page_shows_only_what_has_an_effect(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")))
    wizard.go_to(3)
    page = method_page(wizard)

    def shown() -> tuple[bool, bool, bool, bool]:
        return (
            page.adapter.isVisible(), page.quantization.isVisible(), page.full_form.isVisible(), not page.more_adapter.is_empty()
        )  # fmt: skip

    assert shown() == (True, False, False, True)
    qtbot.mouseClick(page.qlora, LEFT)
    assert shown() == (True, True, False, True)
    assert wizard.model.draft.get("method.kind") == "qlora"
    assert page.adapter.rows["method.use_dora"].advice.words() == "Changed with the method, from on to off."
    qtbot.mouseClick(page.full, LEFT)
    assert shown()[:3] == (False, False, True)
    wizard.model.set("training.lr_scheduler_type", "constant")
    assert page.more_training.rows["training.warmup_steps"].isHidden()


def test_a_combination_that_is_refused_says_why_at_its_field(make_wizard: MakeWizard, tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")))
    wizard.go_to(3)
    page = method_page(wizard)
    wizard.model.set("method.init", "pissa")
    wizard.model.set_method("qlora")
    assert "in 4 bit what is left would be rounded anew" in page.adapter.rows["method.init"].field.error()
    assert not wizard.footer.next.isEnabled()
    wizard.model.set("method.init", "default")
    assert page.adapter.rows["method.init"].field.error() == ""


def test_each_method_card_tells_its_own_memory(make_wizard: MakeWizard, tmp_path: Path) -> None:
    wizard = make_wizard(GPU, model=str(write_model(tmp_path / "large", hidden=4096, layers=6)))
    page = method_page(wizard)
    needs = {card.kind: wizard.model.estimate_with(changes_for(wizard.model.draft, kind=card.kind)) for card in page.cards}
    qlora, lora, full = needs["qlora"], needs["lora"], needs["full"]
    assert qlora is not None
    assert lora is not None
    assert full is not None
    assert qlora.total_bytes < lora.total_bytes < full.total_bytes


def test_what_a_mark_is_taken_for_is_said_beside_the_format(make_wizard: MakeWizard, tmp_path: Path) -> None:
    path = tmp_path / "marked.jsonl"
    rows = [{"prompt": f"What is {n} and {n}?", "completion": f"It is {2 * n}.", "label": n % 2} for n in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")), data=str(path))
    page = data_page(wizard)
    wizard.go_to(2)
    assert "1 in label means a good answer" in page.assumed.words()
    wizard.model.set("data.format", "prompt_completion")
    assert page.assumed.words() == ""


def data_page(wizard: NewRunWizard) -> DataPage:
    page = wizard.pages[2]
    assert isinstance(page, DataPage)
    return page


def test_the_data_page_shows_both_answers_of_a_pair_and_only_formats_that_fit(
    make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path
) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")))
    choose(wizard, "dpo", qtbot)
    wizard.model.choose_data(str(write_pairs(tmp_path / "pairs.jsonl")))
    qtbot.waitUntil(lambda: is_quiet(wizard), timeout=20_000)
    wizard.go_to(2)
    page = wizard.pages[2]
    assert isinstance(page, DataPage)
    view = page.examples
    assert page.learns.text().startswith("Learns from pairs")
    assert [page.strip.format.itemData(at) for at in range(page.strip.format.count())] == [
        "auto", "hh_rlhf", "ultrafeedback", "sharegpt_preference", "alpaca_preference", "ranked",
    ]  # fmt: skip
    assert (view.pair_chat.isVisible(), view.chat.isVisible()) == (True, False)
    chosen = "".join(token.text for token in view.pair_tokens.chosen.tokens() if token.trained)
    rejected = "".join(token.text for token in view.pair_tokens.rejected.tokens() if token.trained)
    assert (chosen.strip(), rejected.strip()) == ("It is 0, gladly.<|im_end|>", "Work out 0 yourself.<|im_end|>")
    choose(wizard, "kto", qtbot)
    assert view.mark.isHidden()
    choose(wizard, "grpo", qtbot)
    assert (view.chat.isVisible(), view.legend.isVisible()) == (True, False)
    assert page.learns.text().startswith("Learns from prompts alone")


@pytest.mark.parametrize("font_size", [13, 16])
def test_no_text_of_any_objective_is_cut_in_a_small_window(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path, font_size: int) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")), size=NARROW, font_size=font_size)
    page = objective_page(wizard)
    problems: list[str] = []
    for kind in ("dpo", "rlhf", "ppo"):
        choose(wizard, kind, qtbot)
        form = page.current_settings()
        form.more.set_open(True)
        if kind == "ppo" and form.rewards is not None:
            form.rewards.add("json_schema")
        qtbot.wait(50)
        problems += [f"{kind}: {problem}" for problem in clipped_texts(wizard)]
        for at in (2, 3, 4):
            wizard.go_to(at)
            qtbot.wait(50)
            problems += [f"{kind}, page {at}: {problem}" for problem in clipped_texts(wizard)]
        wizard.go_to(1)
    QApplication.processEvents()
    assert (wizard.width(), wizard.height()) == NARROW
    assert problems == []
