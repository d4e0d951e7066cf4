"""The wizard as a person uses it: by clicks and keys; nothing is cut off, everything has a name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QComboBox, QHeaderView, QLineEdit, QPlainTextEdit, QWidget
from pytestqt.qtbot import QtBot

from desktop_ft.core.config import RunConfig, load_config
from desktop_ft.jobs.new_run_model import PAGES
from desktop_ft.ui.kit.theme import theme_manager
from desktop_ft.ui.wizard.data_page import DataPage
from desktop_ft.ui.wizard.method_page import MethodPage
from desktop_ft.ui.wizard.model_page import ModelPage
from desktop_ft.ui.wizard.wizard import NewRunWizard
from tests.conftest import ROOT
from tests.helpers.clipping import clipped_texts
from tests.ui.wizard.conftest import NARROW, WIDE, MakeWizard, is_quiet
from tests.ui.wizard.stand_ins import CPU, GPU, SMALL_GPU, write_faulty_data, write_model

LEFT = Qt.MouseButton.LeftButton


def data_page(wizard: NewRunWizard) -> DataPage:
    page = wizard.pages[2]
    assert isinstance(page, DataPage)
    return page


def link(wizard: NewRunWizard, name: str, qtbot: QtBot) -> QAbstractButton:
    """The visible button with this accessible name; a new line is shown by its layout a moment after it is made."""

    def found() -> list[QAbstractButton]:
        return [one for one in wizard.findChildren(QAbstractButton) if one.accessibleName() == name and one.isVisibleTo(wizard)]

    qtbot.waitUntil(lambda: len(found()) == 1, timeout=5000)
    return found()[0]


def test_from_the_open_wizard_to_the_demos_start_in_five_clicks(make_wizard: MakeWizard, qtbot: QtBot) -> None:
    wizard = make_wizard(CPU)
    started: list[object] = []
    wizard.start_requested.connect(started.append)
    goals = []
    for _ in range(5):
        goals.append(wizard.footer.next.text())
        assert wizard.footer.next.isEnabled()
        qtbot.mouseClick(wizard.footer.next, LEFT)
    assert goals == ["&Next: Objective", "&Next: Data", "&Next: Method", "&Next: Review", "&Start"]
    assert len(started) == 1
    config = started[0]
    assert isinstance(config, RunConfig)
    assert (config.model.source, config.data.train, config.name) == ("demo", "demo", "my-first-run")


def test_keys_walk_and_esc_stays(make_wizard: MakeWizard, qtbot: QtBot) -> None:
    wizard = make_wizard()
    wizard.activateWindow()
    qtbot.waitUntil(wizard.isActiveWindow, timeout=5000)
    for expected in (1, 2, 3, 4, 4):
        qtbot.keyClick(wizard, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier)
        assert wizard.current() == expected
    for target in (wizard, wizard.host, wizard.pages[4]):
        qtbot.keyClick(target, Qt.Key.Key_Escape)
    assert (wizard.current(), wizard.host.isVisible()) == (4, True)
    qtbot.keyClick(wizard, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert wizard.current() == 3
    with qtbot.assertNotEmitted(wizard.start_requested):
        qtbot.keyClick(wizard, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    wizard.go_to(4)
    with qtbot.waitSignal(wizard.start_requested, timeout=1000):
        qtbot.keyClick(wizard, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)


def test_steps_that_are_done_lead_back_and_forth(make_wizard: MakeWizard, qtbot: QtBot) -> None:
    wizard = make_wizard()
    steps = wizard.stepper.steps()
    wizard.go_to(2)
    assert [step.state() for step in steps] == ["done", "done", "now", "later", "later"]
    qtbot.mouseClick(steps[0], LEFT)
    assert wizard.current() == 0
    assert [step.state() for step in steps] == ["now", "done", "done", "later", "later"]
    qtbot.mouseClick(steps[4], LEFT)
    assert wizard.current() == 0
    qtbot.mouseClick(steps[2], LEFT)
    assert wizard.current() == 2
    with qtbot.waitSignal(wizard.cancelled, timeout=1000):
        qtbot.mouseClick(wizard.footer.cancel, LEFT)


def test_a_wrong_folder_is_said_below_the_list_and_blocks_next(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard()
    page = wizard.pages[0]
    assert isinstance(page, ModelPage)
    folder = write_model(tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    page.open_folder(folder)
    qtbot.waitUntil(lambda: not page.problem.isHidden(), timeout=20_000)
    error = wizard.model.model_error
    assert error is not None
    assert error.code == "model_pickle_only"
    assert (page.problem.title.text(), page.problem.text.text(), page.problem.hint.text()) == (error.title, error.message, error.hint)
    assert (wizard.footer.next.isEnabled(), wizard.footer.reason.text()) == (False, error.title)
    assert page.facts.isHidden()
    used: list[str] = []
    wizard.catalogue.folder_used.connect(used.append)
    good = write_model(tmp_path / "good")
    page.open_folder(good)
    qtbot.waitUntil(lambda: is_quiet(wizard), timeout=20_000)
    assert used == [str(good)]
    assert (page.problem.isHidden(), wizard.footer.next.isEnabled()) == (True, True)
    assert [entry.name for entry in page.rows.rows()] == ["demo", "good"]
    page.table.select_key(("demo", "main"))
    assert wizard.model.draft.get("model.source") == "demo"


def test_the_filter_and_what_fits_narrow_the_list(make_wizard: MakeWizard, tmp_path: Path) -> None:
    wizard = make_wizard(SMALL_GPU, model=str(write_model(tmp_path / "large", hidden=8192, layers=12)))
    page = wizard.pages[0]
    assert isinstance(page, ModelPage)
    assert [entry.name for entry in page.rows.rows()] == ["demo", "large"]
    page.filter.setText("LAR")
    assert [entry.name for entry in page.rows.rows()] == ["large"]
    page.filter.setText("nothing")
    assert (page.rows.rowCount(), page.empty.isHidden()) == (0, False)
    page.filter.clear()
    page.only_fitting.setChecked(True)
    assert [entry.name for entry in page.rows.rows()] == ["demo"]


def test_faults_are_left_out_by_a_click_and_taken_back(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")), data=str(write_faulty_data(tmp_path / "faulty.jsonl")))
    wizard.go_to(2)
    assert not wizard.footer.next.isEnabled()
    assert "Malformed rows" in wizard.footer.reason.text()
    qtbot.mouseClick(link(wizard, "Leave out: Malformed rows: 2 rows", qtbot), LEFT)
    qtbot.waitUntil(lambda: is_quiet(wizard), timeout=20_000)
    assert wizard.footer.next.isEnabled()
    assert wizard.model.draft.get("data.fixes") == ("drop_malformed_rows",)
    qtbot.mouseClick(link(wizard, "Take back: 2 rows left out", qtbot), LEFT)
    qtbot.waitUntil(lambda: is_quiet(wizard) and not wizard.footer.next.isEnabled(), timeout=20_000)
    qtbot.mouseClick(link(wizard, "Raise to 3,791: Longer than the maximum length: 2 rows", qtbot), LEFT)
    assert wizard.model.draft.get("data.max_length") == 3791


def test_rows_are_shown_as_chat_and_as_trained_and_those_of_a_finding(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")), data=str(write_faulty_data(tmp_path / "faulty.jsonl")))
    wizard.go_to(2)
    view = data_page(wizard).examples
    text = "".join(token.text for token in view.tokens.tokens())
    trained = "".join(token.text for token in view.tokens.tokens() if token.trained)
    assert text.startswith("<|im_start|>system\nYou answer customers")
    assert trained == "Sorry about that! I see two charges of 0 euros, and I have refunded the second one. <|im_end|>"
    assert [token.text for token in view.tokens.tokens() if token.special] == ["<|im_start|>", "<|im_end|>"] * 3
    qtbot.mouseClick(view.after, LEFT)
    assert view.heading.text() == "Example 2"
    qtbot.mouseClick(link(wizard, "Show: Longer than the maximum length: 2 rows", qtbot), LEFT)
    qtbot.waitUntil(lambda: not view.all_rows.isHidden(), timeout=20_000)
    assert view.place.text() == "of 2: longer than the maximum length"
    assert len([token for token in view.tokens.tokens() if token.cut]) == 200
    qtbot.mouseClick(view.all_rows, LEFT)
    assert view.heading.text() == "Example 1"


def test_a_dropped_file_becomes_the_data(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard()
    wizard.go_to(2)
    path = write_faulty_data(tmp_path / "mine.jsonl")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, LEFT, Qt.KeyboardModifier.NoModifier)
    data_page(wizard).dropEvent(event)
    qtbot.waitUntil(lambda: is_quiet(wizard), timeout=20_000)
    assert data_page(wizard).strip.name.text() == "mine.jsonl"
    assert wizard.model.draft.get("data.train") == str(path)
    qtbot.mouseClick(data_page(wizard).strip.demo, LEFT)
    qtbot.waitUntil(lambda: is_quiet(wizard), timeout=20_000)
    assert data_page(wizard).strip.name.text() == "Demo data"


def test_the_method_changes_the_rate_and_says_so(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")))
    wizard.go_to(3)
    page = wizard.pages[3]
    assert isinstance(page, MethodPage)
    rate = page.training.rows["training.learning_rate"]
    qtbot.mouseClick(page.full, LEFT)
    assert (rate.field.value(), page.adapter.isHidden()) == (1e-5, True)
    assert rate.advice.words() == "Changed with the method, from 0.0002 to 1e-5."
    page.lora.radio.click()
    assert (rate.field.value(), page.adapter.isHidden()) == (2e-4, False)
    field = rate.field.control.focus_target()
    assert isinstance(field, QLineEdit)
    field.selectAll()
    qtbot.keyClicks(field, "5e-3")
    assert "The learning rate is high" in rate.advice.words()
    field.selectAll()
    qtbot.keyClicks(field, "abc")
    assert not wizard.footer.next.isEnabled()
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert "not a number" in rate.field.error()


def test_a_typed_rank_moves_the_panel_at_once(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny", hidden=1024)))
    wizard.go_to(3)
    page = wizard.pages[3]
    assert isinstance(page, MethodPage)
    before = wizard.panel.peak.text()
    field = page.adapter.rows["method.rank"].field.control.focus_target()
    assert isinstance(field, QLineEdit)
    field.selectAll()
    qtbot.keyClicks(field, "512")
    assert float(wizard.panel.peak.text()) > float(before)
    assert "rank 512" in wizard.panel.sentence.text()


def test_what_does_not_fit_has_its_way_out_in_focus(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard(SMALL_GPU, model=str(write_model(tmp_path / "large", hidden=4096, layers=8)))
    wizard.go_to(4)
    best = wizard.review.fit_list.best_button()
    assert best is not None
    assert wizard.focusWidget() is best
    assert (wizard.footer.next.isEnabled(), wizard.footer.reason.text()) == (False, "The run does not fit in memory")
    assert wizard.panel.chip.accessibleName().startswith("Memory: does not fit")
    primary = [one for one in wizard.findChildren(QAbstractButton) if one.property("kind") == "primary" and one.isEnabled()]
    assert [one for one in primary if one.isVisibleTo(wizard)] == [best]
    qtbot.keyClick(best, Qt.Key.Key_Space)
    assert wizard.footer.next.isEnabled()
    assert wizard.model.draft.get("method.use_dora") is False


def test_the_review_changes_saves_and_copies(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard()
    wizard.go_to(4)
    review = wizard.review
    name = review.name_field.line_edit()
    name.selectAll()
    qtbot.keyClicks(name, "a:b")
    assert not wizard.footer.next.isEnabled()
    assert "cannot name a folder" in review.name_problem.words()
    name.selectAll()
    qtbot.keyClicks(name, "my tone")
    review.prompts.setPlainText("One?\n\n Two? ")
    assert wizard.model.draft.get("evaluation.sample_prompts") == ("One?", "Two?")
    assert review.save_to(tmp_path / "run.yaml")
    assert load_config(tmp_path / "run.yaml") == wizard.model.config()
    qtbot.mouseClick(review.copy, LEFT)
    assert QGuiApplication.clipboard().text() == f"desktop-ft train {(tmp_path / 'run.yaml').as_posix()}"
    qtbot.mouseClick(link(wizard, "Change: Data", qtbot), LEFT)
    assert wizard.current() == 2


def test_without_a_gpu_the_panel_says_so(make_wizard: MakeWizard) -> None:
    wizard = make_wizard(CPU)
    assert "Training will use the CPU" in wizard.panel.sentence.text()
    assert "Other programs: 5.00 GiB" in wizard.panel.bar.accessibleDescription()


def test_everything_has_a_name_and_can_be_reached_by_tab(make_wizard: MakeWizard, tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")), data=str(write_faulty_data(tmp_path / "faulty.jsonl")))
    wizard.model.set_fix("drop_malformed_rows", wanted=True)
    kinds = (QAbstractButton, QComboBox, QLineEdit, QPlainTextEdit, QAbstractItemView)
    for at in range(len(PAGES)):
        wizard.go_to(at)
        for disclosure in (wizard.review.more,):
            disclosure.set_open(True)
        shown = [
            one
            for one in wizard.findChildren(QWidget)
            if isinstance(one, kinds) and not isinstance(one, QHeaderView) and one.isVisibleTo(wizard)
        ]
        shown = [one for one in shown if not isinstance(one.parentWidget(), QLineEdit)]
        assert [type(one).__name__ for one in shown if not one.accessibleName()] == []
        keyboard = [one for one in shown if one.isEnabled() and one.focusPolicy() & Qt.FocusPolicy.TabFocus]
        missing = [one.accessibleName() for one in keyboard if one not in _tab_chain(wizard)]
        assert missing == []


def _tab_chain(wizard: NewRunWizard) -> list[QWidget]:
    chain: list[QWidget] = []
    at: QWidget = wizard.footer.next
    while at not in chain:
        chain.append(at)
        following = at.nextInFocusChain()
        assert following is not None
        at = following
    return chain


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize(("size", "font_size"), [(WIDE, 13), (NARROW, 13), (NARROW, 16)], ids=["wide", "small", "large-font"])
def test_no_text_is_cut(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path, size: tuple[int, int], font_size: int, mode: str) -> None:
    theme_manager().set_mode("dark" if mode == "dark" else "light")
    device, layers = (SMALL_GPU, 6) if mode == "dark" else (GPU, 1)
    model = write_model(tmp_path / "a-model-with-a-rather-long-name-instruct", hidden=4096 if layers > 1 else 512, layers=layers)
    wizard = make_wizard(
        device, model=str(model), data=str(write_faulty_data(tmp_path / "support-replies.jsonl")), size=size, font_size=font_size
    )
    problems: list[str] = []
    for at, name in enumerate(PAGES):
        if name == "method":
            problems += _problems(wizard, qtbot, "data with fixes", fix=True)
        wizard.go_to(at)
        assert wizard.current() == at
        problems += _problems(wizard, qtbot, name)
        for disclosure in [one for one in (getattr(wizard.pages[at], "more", None),) if one is not None]:
            disclosure.set_open(True)
            problems += _problems(wizard, qtbot, f"{name}, more settings")
    assert (wizard.width(), wizard.height()) == size
    assert problems == []


def _problems(wizard: NewRunWizard, qtbot: QtBot, place: str, *, fix: bool = False) -> list[str]:
    if fix:
        wizard.model.set_fix("drop_malformed_rows", wanted=True)
        qtbot.waitUntil(lambda: is_quiet(wizard), timeout=20_000)
    qtbot.wait(50)
    return [f"{place}: {problem}" for problem in clipped_texts(wizard)]


def test_no_text_is_cut_at_200_percent(tmp_path: Path) -> None:
    environment = {**os.environ, "QT_SCALE_FACTOR": "2", "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-m", "tests.ui.wizard.gallery", str(tmp_path), "--size", "968x674", "--faulty"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert len(list(tmp_path.glob("*.png"))) == 10
