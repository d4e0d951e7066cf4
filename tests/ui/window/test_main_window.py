"""The window as a whole: places, keys, messages, preferences, what it tells at its start and how it closes."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QWidget,
)
from pytestqt.exceptions import TimeoutError as QtTimeoutError
from pytestqt.qtbot import QtBot

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.gpu import GpuReading
from desktop_ft.core.processes import mark_of
from desktop_ft.core.runs import RunDir, take_lock
from desktop_ft.core.settings import Preferences, load_preferences, save_preferences
from desktop_ft.core.workspace import Workspace
from desktop_ft.ui.kit.theme import theme
from desktop_ft.ui.main_window import MainWindow
from tests.helpers.clipping import clipped_texts
from tests.ui.window.conftest import CARD, MakeRun, MakeWindow

CONTROL = Qt.KeyboardModifier.ControlModifier
CONTROLS = (QAbstractButton, QAbstractItemView, QAbstractSpinBox, QComboBox, QLineEdit, QPlainTextEdit)


def active(window: MainWindow, qtbot: QtBot) -> MainWindow:
    """The window with the keyboard, as shortcuts need it; asked for until the platform gives it."""

    def has_keyboard() -> bool:
        window.activateWindow()
        return window.isActiveWindow()

    qtbot.waitUntil(has_keyboard, timeout=30_000)
    return window


def place(window: MainWindow) -> str:
    return next(key for key in ("new", "runs", "settings") if window.is_at(key))


def pretend_live(run: RunDir) -> None:
    """This test's own process takes the run's lock, as an engine does."""
    mark = mark_of(os.getpid())
    assert mark is not None
    take_lock(run, mark)


def titles(window: MainWindow) -> list[str]:
    return [message.title for message in window.strip.messages()]


def question(window: MainWindow) -> QMessageBox:
    return next(box for box in window.findChildren(QMessageBox) if box.isVisible())


def answer(window: MainWindow, words: str) -> None:
    box = question(window)
    next(made for made in box.buttons() if made.text().replace("&", "") == words).click()


# --- going about -----------------------------------------------------------------------------------------------------


def test_opens_where_a_run_is_set_up(make_window: MakeWindow) -> None:
    assert place(make_window()) == "new"


@pytest.mark.parametrize(
    ("key", "expected"), [(Qt.Key.Key_1, "new"), (Qt.Key.Key_2, "runs"), (Qt.Key.Key_3, "settings"), (Qt.Key.Key_Comma, "settings")]
)
def test_keys_lead_to_places(make_window: MakeWindow, qtbot: QtBot, key: Qt.Key, expected: str) -> None:
    window = make_window()
    window.go_to("settings" if expected == "runs" else "runs")
    active(window, qtbot)
    QTest.keyClick(window, key, CONTROL)
    assert place(window) == expected


def test_control_n_sets_up_a_run(make_window: MakeWindow, qtbot: QtBot) -> None:
    window = active(make_window(), qtbot)
    window.go_to("settings")
    QTest.keyClick(window, Qt.Key.Key_N, CONTROL)
    assert place(window) == "new"


def test_f6_goes_between_navigation_and_page(make_window: MakeWindow, qtbot: QtBot) -> None:
    window = active(make_window(), qtbot)
    window.go_to("settings")
    navigation = window.findChild(QWidget, "navigation")
    assert navigation is not None

    def is_in_navigation() -> bool:
        focused = QApplication.focusWidget()
        return focused is not None and navigation.isAncestorOf(focused)

    window.setFocus()
    seen: list[bool] = []
    for _ in range(3):
        QTest.keyClick(window, Qt.Key.Key_F6)
        seen.append(is_in_navigation())
    assert seen == [True, False, True]


def test_the_keyboard_is_in_the_place_that_is_shown(make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot) -> None:
    make_run()
    window = active(make_window(), qtbot)
    qtbot.waitUntil(window.wizard.wizard.footer.next.hasFocus, timeout=30_000)
    qtbot.waitUntil(lambda: bool(window.service.runs()), timeout=10_000)
    window.go_to("runs")
    assert window.runs.table_page.table.hasFocus()
    QTest.keyClick(window.runs.table_page.table, Qt.Key.Key_Return)
    assert window.runs.run_page.tabs.hasFocus()
    window.go_to("settings")
    window.go_to("new")
    assert window.wizard.wizard.footer.next.hasFocus()


def test_the_wizards_keys_work_from_the_navigation_too(make_window: MakeWindow, qtbot: QtBot) -> None:
    window = active(make_window(), qtbot)
    qtbot.waitUntil(window.wizard.wizard.footer.next.isEnabled, timeout=30_000)
    QTest.keyClick(window, Qt.Key.Key_F6)
    entry = QApplication.focusWidget()
    assert entry is not None
    assert entry.accessibleName() == "New run"
    QTest.keyClick(entry, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier)
    assert window.wizard.wizard.current() == 1


def test_runs_chosen_again_leads_back_to_all_runs(make_window: MakeWindow, make_run: MakeRun) -> None:
    run, window = make_run(), make_window()
    model = window.service.open(run.path)
    assert model is not None
    window.show_run(model)
    assert window.current_run() is model
    navigation = window.findChild(QWidget, "navigation")
    assert navigation is not None
    next(made for made in navigation.findChildren(QAbstractButton) if made.accessibleName() == "Runs").click()
    assert place(window) == "runs"
    assert window.current_run() is None


def test_a_narrow_window_has_a_rail(make_window: MakeWindow) -> None:
    window = make_window(size=(1280, 800))
    navigation = window.findChild(QWidget, "navigation")
    assert navigation is not None
    words = [made.text() for made in navigation.findChildren(QAbstractButton)]
    wide = navigation.width()
    window.resize(1100, 700)
    assert words == ["New run", "Runs", "Settings"]
    assert [made.text() for made in navigation.findChildren(QAbstractButton)] == ["", "", ""]
    assert [made.accessibleName() for made in navigation.findChildren(QAbstractButton)] == words
    assert navigation.width() < wide / 2


def test_the_menu_acts_on_the_run_in_front(make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot) -> None:
    run, window = make_run("stopped"), make_window()
    entries = {action.text().split("\t")[0].replace("&", ""): action for action in window.menu.run_actions()}
    assert not any(action.isEnabled() for action in entries.values())
    model = window.service.open(run.path)
    assert model is not None
    window.show_run(model)
    qtbot.waitUntil(lambda: model.status == "stopped", timeout=10_000)
    window.menu.refresh()
    enabled = {action.text().split("\t")[0].replace("&", "") for action in window.menu.run_actions() if action.isEnabled()}
    assert "Resume" in enabled
    assert "Stop and keep…" not in enabled


# --- messages --------------------------------------------------------------------------------------------------------


def test_errors_take_the_strip_and_escape_closes_them(make_window: MakeWindow, qtbot: QtBot) -> None:
    window = active(make_window(), qtbot)
    window.service.failed.emit(DesktopFtError("disk_full", "The disk is full", "0 bytes are free.", "Delete something."))
    assert titles(window) == ["The disk is full"]
    assert window.strip.isVisible()
    QTest.keyClick(window, Qt.Key.Key_Escape)
    assert titles(window) == []
    assert not window.strip.isVisible()


def test_crashes_of_any_thread_open_one_dialog(make_window: MakeWindow, qtbot: QtBot, capfd: pytest.CaptureFixture[str]) -> None:
    window = make_window()

    def fail() -> None:
        for _ in range(3):
            window.crashes.on_uncaught(RuntimeError, RuntimeError("nobody expected this"), None)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: window.crashes.dialog is not None, timeout=5_000)
    dialog = window.crashes.dialog
    assert dialog is not None
    assert "nobody expected this" in dialog.report()
    assert "PySide6" in dialog.report()
    assert capfd.readouterr().err.count("nobody expected this") == 3
    dialog.accept()
    assert window.crashes.dialog is None


def test_a_deleted_run_can_be_brought_back_from_the_strip(make_window: MakeWindow, make_run: MakeRun) -> None:
    run, window = make_run(), make_window()
    window.service.delete(run.path)
    assert not run.path.exists()
    action = window.strip.messages()[0].action
    assert action is not None
    action.run()
    assert run.config_file.is_file()
    assert titles(window) == []


# --- what the start tells --------------------------------------------------------------------------------------------


def test_runs_that_went_on_are_shown_at_the_start(make_window: MakeWindow, make_run: MakeRun) -> None:
    for name in ("first", "second"):
        pretend_live(make_run("training", name))
    window = make_window()
    shown = window.current_run()
    assert shown is not None
    assert shown.config is not None
    other = {"first": "second", "second": "first"}[shown.config.name]
    assert titles(window) == [f"{other} is training."]
    action = window.strip.messages()[0].action
    assert action is not None
    action.run()
    now = window.current_run()
    assert now is not None
    assert now.config is not None
    assert now.config.name == other


def test_a_crashed_run_is_told_of_once(make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot) -> None:
    make_run("crashed", "lost")
    window = make_window()
    qtbot.waitUntil(lambda: titles(window) == ["lost crashed."], timeout=10_000)
    message = window.strip.messages()[0]
    assert message.text == "Its engine went away at step 120 of 200."
    assert message.action is not None
    assert message.action.text == "Resume"
    again = make_window()
    qtbot.waitUntil(lambda: len(again.service.runs()) == 1, timeout=10_000)
    assert titles(again) == []


def test_showing_a_crashed_run_takes_its_message_away(make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot) -> None:
    run = make_run("crashed", "lost")
    window = make_window()
    qtbot.waitUntil(lambda: titles(window) == ["lost crashed."], timeout=10_000)
    model = window.service.open(run.path)
    assert model is not None
    window.show_run(model)
    assert titles(window) == []


def test_engines_see_the_card_of_the_prediction(make_window: MakeWindow) -> None:
    assert make_window(GpuReading((CARD,))).service.environment == {"CUDA_VISIBLE_DEVICES": "GPU-a"}


def test_engines_look_for_themselves_without_a_card(make_window: MakeWindow) -> None:
    assert make_window().service.environment == {}


# --- preferences and the end -----------------------------------------------------------------------------------------


def test_the_theme_changes_at_once_everywhere(make_window: MakeWindow, workspace: Workspace) -> None:
    window = make_window()
    window.go_to("settings")
    window.choose_theme("light")
    light = theme().surface
    window.choose_theme("dark")
    assert theme().surface != light
    assert window.settings.themes.current() == 2
    assert json.loads(workspace.settings_file.read_text(encoding="utf-8"))["theme"] == "dark"


def test_the_size_is_remembered(make_window: MakeWindow, workspace: Workspace) -> None:
    first = make_window(size=(760, 590), begins=False)
    first.close()
    second = make_window(size=None, begins=False)
    assert (second.width(), second.height()) == (760, 590)


def test_a_first_window_is_no_larger_than_the_screen(make_window: MakeWindow) -> None:
    window = make_window(size=None, begins=False)
    free = window.screen().availableSize()
    assert (window.width(), window.height()) == (min(1280, free.width()), min(800, free.height()))


def test_a_damaged_geometry_is_no_geometry(make_window: MakeWindow, workspace: Workspace) -> None:
    save_preferences(Preferences(window_geometry="§$%&"), workspace.settings_file)
    assert make_window(size=None, begins=False).width() >= 720


def test_closes_without_a_question_while_nothing_trains(make_window: MakeWindow, make_run: MakeRun) -> None:
    make_run()
    window = make_window()
    window.close()
    assert not window.isVisible()


def while_training(make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot) -> MainWindow:
    pretend_live(make_run("training"))
    window = make_window()
    qtbot.waitUntil(lambda: any(summary.is_live for summary in window.service.runs()), timeout=10_000)
    return window


def test_closing_while_a_run_trains_is_explained(make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot) -> None:
    training = while_training(make_window, make_run, qtbot)
    training.close()
    assert training.isVisible()
    answer(training, "Stay")
    assert training.isVisible()
    training.close()
    answer(training, "Close the window")
    assert not training.isVisible()


def test_the_explanation_can_be_switched_off(make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot, workspace: Workspace) -> None:
    training = while_training(make_window, make_run, qtbot)
    training.close()
    box = question(training).checkBox()
    assert box is not None
    box.click()
    answer(training, "Close the window")
    assert not training.isVisible()
    assert load_preferences(workspace.settings_file).explain_close is False


def test_without_the_explanation_the_window_closes_at_once(make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot) -> None:
    training = while_training(make_window, make_run, qtbot)
    training.set_preferences(replace(training.preferences, explain_close=False))
    training.close()
    assert not training.isVisible()


def test_a_signal_to_end_asks_nothing(make_window: MakeWindow, make_run: MakeRun, qtbot: QtBot) -> None:
    training = while_training(make_window, make_run, qtbot)
    training.close_at_once()
    assert not training.isVisible()


# --- the widget tree -------------------------------------------------------------------------------------------------


def unnamed(window: MainWindow) -> list[str]:
    """Controls that a screen reader could not name."""
    found = [widget for kind in CONTROLS for widget in window.findChildren(kind) if widget.focusPolicy() != Qt.FocusPolicy.NoFocus]
    own = [widget for widget in found if widget.window() is window and not _is_of_a_combo_box(widget)]
    return [f"{type(widget).__name__} {widget.objectName()} in {type(widget.parent()).__name__}" for widget in own if not _spoken(widget)]


def _is_of_a_combo_box(widget: QWidget) -> bool:
    above = widget.parentWidget()
    return isinstance(above.parentWidget() if above is not None else None, QComboBox)


def _spoken(widget: QWidget) -> str:
    return widget.accessibleName() or (widget.text() if isinstance(widget, QAbstractButton) else "")


def test_every_control_has_a_name(make_window: MakeWindow, make_run: MakeRun) -> None:
    run = make_run()
    window = make_window(GpuReading((CARD,)))
    model = window.service.open(run.path)
    assert model is not None
    window.show_run(model)
    window.go_to("settings")
    assert unnamed(window) == []


def is_read(window: MainWindow) -> bool:
    """Whether the run being set up has its model, its data and its estimate."""
    model = window.wizard.model
    return model.estimate is not None and model.data is not None and not model.is_data_loading


def settled_problems(window: MainWindow, qtbot: QtBot) -> list[str]:
    """What is cut once the layouts have come to rest; a text that changed is laid out a turn later."""
    with contextlib.suppress(QtTimeoutError):
        qtbot.waitUntil(lambda: not clipped_texts(window), timeout=3_000)
    return clipped_texts(window)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize(
    ("size", "font_size"), [((1280, 800), 13), ((1024, 700), 13), ((1024, 700), 16)], ids=["wide", "small", "large-font"]
)
def test_no_text_is_cut(
    make_window: MakeWindow, make_run: MakeRun, qapp: QApplication, qtbot: QtBot, size: tuple[int, int], font_size: int, mode: str
) -> None:
    font = qapp.font()
    font.setPixelSize(font_size)
    qapp.setFont(font)
    for state in ("completed", "stopped", "failed", "crashed", "training"):
        make_run(state, f"support-{state}")
    window = make_window(GpuReading((CARD,)), size=size)
    window.choose_theme("dark" if mode == "dark" else "light")
    qtbot.waitUntil(lambda: len(window.service.runs()) == 5, timeout=10_000)
    qtbot.waitUntil(lambda: is_read(window), timeout=30_000)
    problems: list[str] = []
    for key in ("new", "runs", "settings"):
        window.go_to(key)
        problems += [f"{key}: {problem}" for problem in settled_problems(window, qtbot)]
    assert (window.width(), window.height()) == size
    assert problems == []
