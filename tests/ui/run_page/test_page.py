"""The whole page in every state: buttons, keys, curves, crosshair, names, clipping, theme, and a log of 100,000 steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QFont, QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit, QMessageBox, QSlider, QTableView, QWidget
from pytestqt.qtbot import QtBot

from desktop_ft.core.events import EvaluationDone, RunFinished, RunStarted, StepDone
from desktop_ft.core.runs import create_run
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.kit.text import GIB
from desktop_ft.ui.kit.theme import ThemeManager
from desktop_ft.ui.run_page import RunPage
from desktop_ft.ui.run_page.charts import smoothing_of
from tests.helpers.clipping import clipped_texts
from tests.helpers.recording_service import RecordingService
from tests.helpers.synthetic_run import STATES, State, config, facts, fold, story, write_log

Show = Callable[[State], tuple[RunPage, RunModel]]
SMALL = (968, 674)
"""The page in a window of 1024x700."""
BUTTONS: dict[State, tuple[str, ...]] = {
    "new": ("Start",),
    "starting": ("Pause", "Stop and keep"),
    "loading": ("Pause", "Stop and keep"),
    "training": ("Pause", "Stop and keep"),
    "evaluating": ("Pause", "Stop and keep"),
    "stopping": ("Pause", "Stop and keep"),
    "stopped": ("Go on with…", "Export…", "Resume"),
    "completed": ("Go on with…", "Export…"),
    "failed": ("Export…", "Resume"),
    "crashed": ("Export…", "Resume"),
    "crashed_early": ("Export…", "Resume"),
}


@pytest.fixture
def show(service: RecordingService, qtbot: QtBot, tmp_path: Path) -> Iterator[Show]:
    pages: list[RunPage] = []

    def make(state: State) -> tuple[RunPage, RunModel]:
        page = RunPage(service)
        pages.append(page)
        page.resize(*SMALL)
        page.show()
        model = fold(state, tmp_path / f"{state}-{len(pages)}")
        page.set_run(model)
        qtbot.waitUntil(lambda: page.facts_are_read(), timeout=5000)
        QApplication.processEvents()
        return page, model

    yield make
    while pages:  # the test's arguments live on while leftovers are looked for, so that the list must be empty
        pages[0].close()
        pages.pop(0).deleteLater()
    assert end_threads(5.0)


def header_buttons(page: RunPage) -> list[QAbstractButton]:
    return [made for made in page.header.findChildren(QAbstractButton) if made.isVisibleTo(page) and made.text()]


def button_named(page: QWidget, name: str) -> QAbstractButton:
    return next(made for made in page.findChildren(QAbstractButton) if made.accessibleName() == name and made.isVisibleTo(page))


def answer(page: RunPage, text: str) -> None:
    """Click an answer of the question that is open."""
    box = next(child for child in page.findChildren(QMessageBox) if child.isVisible())
    next(made for made in box.buttons() if made.text() == text).click()


# --- states ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_the_buttons_of_a_state_and_one_primary_at_most(show: Show, state: State) -> None:
    page, _ = show(state)
    assert tuple(made.accessibleName() for made in header_buttons(page)) == BUTTONS[state]
    primary = [made for made in header_buttons(page) if made.property("kind") == "primary"]
    is_over = state not in {"starting", "loading", "training", "evaluating", "stopping"}
    assert len(primary) == (1 if is_over else 0)


def test_nothing_jumps_between_states(show: Show) -> None:
    calm: list[State] = [state for state in STATES if state not in {"failed", "crashed", "crashed_early"}]
    places: set[tuple[int, int]] = set()
    for state in calm:
        page, _ = show(state)
        settle(page)
        places.add((page.tabs.mapTo(page, QPoint(0, 0)).y(), page.figures.mapTo(page, QPoint(0, 0)).y()))
    assert len(places) == 1


def test_a_crash_says_what_happened_and_keeps_the_console_under_details(show: Show) -> None:
    page, _ = show("crashed")
    assert page.banner.isVisible()
    assert page.banner.accessibleName() == "The engine's process is gone"
    assert "step 637 of 1062" in page.banner.accessibleDescription()
    assert "checkpoint at step 600" in page.banner.accessibleDescription()
    assert not page.banner.details_shown()
    page.banner.toggle.click()
    assert page.banner.details_shown()
    assert "Segmentation fault" in page.banner.details()


def test_a_failure_shows_its_traceback_and_disappears_when_resumed(show: Show) -> None:
    page, model = show("failed")
    assert "OutOfMemoryError" in page.banner.details()
    model.expect_engine()
    assert not page.banner.isVisible()
    assert page.header.chip().text() == "Starting"


def test_without_a_checkpoint_there_is_nothing_to_export(show: Show) -> None:
    page, _ = show("crashed_early")
    assert not button_named(page, "Export…").isEnabled()
    assert button_named(page, "Export…").toolTip() == "There is no checkpoint yet"


# --- what the buttons do -----------------------------------------------------------------------------------------------------


def test_pause_stops_without_a_question_and_resume_goes_on(show: Show, service: RecordingService) -> None:
    page, model = show("training")
    button_named(page, "Pause").click()
    assert service.asked == [("stop", model.run.path)]
    stopped = fold("stopped", model.run.path.parent / "again")
    stopped.run = model.run
    page.set_run(stopped)
    assert page.header.chip().text() == "Paused"
    button_named(page, "Resume").click()
    assert service.asked[-1] == ("resume", model.run.path)


def test_stop_and_keep_asks_first(show: Show, service: RecordingService) -> None:
    page, model = show("training")
    button_named(page, "Stop and keep").click()
    assert service.asked == []
    answer(page, "Go on training")
    assert service.asked == []
    button_named(page, "Stop and keep").click()
    answer(page, "Stop and keep")
    assert service.asked == [("stop", model.run.path)]


def test_the_menu_saves_samples_and_discards_after_a_question(show: Show, service: RecordingService, qtbot: QtBot) -> None:
    page, model = show("training")
    page.run_actions.save.trigger()
    page.run_actions.sample.trigger()
    assert service.asked == [("save", model.run.path), ("sample", model.run.path)]
    page.run_actions.discard.trigger()
    with qtbot.waitSignal(page.back_requested, timeout=1000):
        answer(page, "Discard")
    assert service.asked[-1] == ("discard", model.run.path)
    listed = [action.text() for action in page.header.menu.actions() if action.text()]
    assert [text.replace("&", "") for text in listed] == [
        "Save a checkpoint now", "Write samples now", "Open the folder", "Copy the command", "Stop and discard…",
    ]  # fmt: skip


def test_export_and_back_ask_the_window(show: Show, qtbot: QtBot) -> None:
    page, model = show("completed")
    with qtbot.waitSignal(page.export_requested, timeout=1000) as asked:
        button_named(page, "Export…").click()
    assert asked.args == [model.run]
    with qtbot.waitSignal(page.back_requested, timeout=1000):
        page.header.back.click()


def test_the_command_that_is_copied(show: Show) -> None:
    page, model = show("completed")
    page.run_actions.copy_command.trigger()
    assert QApplication.clipboard().text() == f"desktop-ft train {model.run.config_file}"
    page, model = show("stopped")
    page.run_actions.copy_command.trigger()
    assert QApplication.clipboard().text() == f"desktop-ft resume {model.run.path}"


def test_the_keys_of_the_page(show: Show, service: RecordingService, qtbot: QtBot) -> None:
    page, model = show("training")
    page.activateWindow()
    QTest.keyClick(page, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    assert service.asked == [("stop", model.run.path)]
    QTest.keyClick(page, Qt.Key.Key_Tab, Qt.KeyboardModifier.ControlModifier)
    assert page.tabs.currentIndex() == 1
    QTest.keyClick(page, Qt.Key.Key_Backtab, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert page.tabs.currentIndex() == 0
    QTest.keyClick(page, Qt.Key.Key_Period, Qt.KeyboardModifier.ControlModifier)
    answer(page, "Go on training")


# --- figures and curves --------------------------------------------------------------------------------------------------------


def test_the_figures_are_the_models_numbers(show: Show) -> None:
    page, model = show("training")
    page.set_facts(facts())
    figures, numbers = page.figures, story()
    assert figures.loss.value() == f"{page.charts.loss.smoothed_values('train')[-1]:.3f}"
    assert abs(float(figures.loss.value()) - numbers.loss[600:637].mean()) < 0.05
    assert (figures.eval_loss.value(), figures.eval_loss.note()) == (f"{numbers.eval_loss[600]:.3f}", "best so far")
    assert figures.learning_rate.value() == "7.3e-5"
    assert figures.grad_norm.value() == f"{numbers.norm[636]:.2f}"
    assert (figures.memory.value(), figures.memory.note()) == ("21.6", "GiB, peak")
    assert model.predicted_bytes == int(21.8 * GIB)
    assert page.health.titles() == ["Learning as it should", "Memory as predicted"]


def test_the_curves_get_the_data_and_the_axis_is_as_long_as_the_run(show: Show) -> None:
    page, _ = show("training")
    page.set_facts(facts())
    page.set_free_bytes(int(22.7 * GIB))
    charts = page.charts
    assert len(charts.loss.smoothed_values("train")) == 637
    assert len(charts.loss.smoothed_values("eval")) == 13
    assert [plot.x_range() for plot in charts.plots()] == [(0.0, 1062.0)] * 5
    future = charts.learning_rate.smoothed_values("future")
    assert future[-1] == pytest.approx(0.0, abs=1e-12)
    assert future[0] == pytest.approx(charts.learning_rate.smoothed_values("rate")[-1])
    assert charts.memory.smoothed_values("memory")[-1] == pytest.approx(21.6, abs=1e-6)
    low, high = charts.memory.frame_now().y_range
    assert low < 16.2
    assert high > 22.7


def test_new_steps_reach_the_page_without_new_widgets(show: Show, qtbot: QtBot) -> None:
    page, model = show("training")
    before = {id(child) for child in page.findChildren(QWidget)}
    model.fold([StepDone(step=638, epoch=1.81, loss=1.0, grad_norm=0.4, learning_rate=7e-5, seconds=2.2, time=time.time())])
    qtbot.waitUntil(lambda: page.progress.texts()[0] == "Step 638 of 1,062", timeout=2000)
    assert len(page.charts.loss.smoothed_values("train")) == 638
    assert {id(child) for child in page.findChildren(QWidget)} == before


def test_a_hundred_batches_are_painted_at_most_ten_times_a_second(show: Show, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    page, model = show("training")
    charts, times = page.charts, list[float]()
    refresh_some = charts.refresh_some

    def counted() -> bool:
        times.append(time.monotonic())
        return refresh_some()

    monkeypatch.setattr(charts, "refresh_some", counted)
    for step in range(638, 738):
        model.fold([StepDone(step=step, epoch=1.9, loss=1.0, tokens_per_second=3000.0, time=0.0)])
    shown = [plot for plot in charts.plots()[1:] if plot.isVisible()]
    qtbot.waitUntil(lambda: len(times) >= len(shown), timeout=2000)
    assert len(charts.loss.smoothed_values("train")) == 737
    assert len(charts.tokens_per_second.smoothed_values("speed")) == 737
    assert len(charts.memory.smoothed_values("memory")) == 737
    assert len(times) == 3  # the small charts one after the other
    assert min(np.diff(times)) > 0.08


def test_the_crosshair_goes_through_all_charts(show: Show) -> None:
    page, _ = show("training")
    loss = page.charts.loss
    canvas = loss.findChildren(QWidget)[0]
    viewport = next(
        child for child in loss.findChildren(QWidget) if child.objectName() == "qt_scrollarea_viewport" or child.parent() is canvas
    )
    at = QPointF(loss.frame_now().x_pixel(300.0), 60.0)
    none, no_keys = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    loss.eventFilter(viewport, QMouseEvent(QEvent.Type.MouseMove, at, viewport.mapToGlobal(at), none, none, no_keys))
    assert [plot.crosshair() for plot in page.charts.plots()] == pytest.approx([300.0] * 5)
    assert loss.crosshair_lines()[0].text == "step 300"
    assert page.charts.small_value("tokens_per_second") == f"{page.charts.tokens_per_second.smoothed_values('speed')[299]:,.0f}"
    loss.eventFilter(viewport, QEvent(QEvent.Type.Leave))
    assert page.charts.small_value("tokens_per_second") == page.figures.tokens_per_second.value()


def test_smoothing_log_scale_and_export_have_an_effect(show: Show, tmp_path: Path, qtbot: QtBot) -> None:
    page, _ = show("training")
    charts = page.charts
    charts.smoothing.setValue(0)
    assert charts.loss.smoothed_values("train").tolist() == pytest.approx(story().loss[:637].tolist())
    charts.smoothing.setValue(96)
    assert smoothing_of(96) == pytest.approx(0.99)
    assert np.std(np.diff(charts.loss.smoothed_values("train")[300:])) < 0.002
    charts.log_scale.click()
    assert charts.loss.is_log()
    for kind, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("csv", b"step,train")):
        charts.export_to(kind, str(tmp_path / f"loss.{kind}"))
        assert (tmp_path / f"loss.{kind}").read_bytes().startswith(start)
    with qtbot.waitSignal(page.error_raised, timeout=1000) as raised:
        charts.export_to("csv", str(tmp_path / "no" / "loss.csv"))
    assert raised.args is not None
    assert raised.args[0].code == "export_not_written"


def test_learning_rate_and_gradient_norm_share_a_place_until_there_is_room(show: Show) -> None:
    page, _ = show("training")
    charts = page.charts
    assert charts.learning_rate.isVisible()
    assert not charts.grad_norm.isVisible()
    charts.to_gradients.click()
    assert charts.grad_norm.isVisible()
    assert not charts.learning_rate.isVisible()
    page.resize(1500, 800)
    QApplication.processEvents()
    assert all(plot.isVisible() for plot in charts.plots())


# --- for everyone ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tab", range(5))
def test_every_control_has_a_name_and_can_be_reached(show: Show, tab: int) -> None:
    page, _ = show("training")
    page.tabs.setCurrentIndex(tab)
    kinds = (QAbstractButton, QSlider, QComboBox, QLineEdit, QTableView)
    controls = [child for kind in kinds for child in page.findChildren(kind) if child.isVisibleTo(page) and not is_part_of_another(child)]
    assert len(controls) >= 5
    assert [child for child in controls if not (child.accessibleName() or getattr(child, "text", str)())] == []
    assert [child for child in controls if child.isEnabled() and not child.focusPolicy() & Qt.FocusPolicy.TabFocus] == []


def is_part_of_another(widget: QWidget) -> bool:
    """Qt's own parts: the clear button of a line edit, the button of a scroll bar."""
    return widget.objectName().startswith("qt_") or type(widget).__name__ in {"QToolButton", "QTableCornerButton", "QLineEditIconButton"}


@pytest.mark.parametrize("size", [13, 16])
@pytest.mark.parametrize("state", STATES)
def test_no_text_is_clipped_in_any_state(show: Show, state: State, size: int, qapp: QApplication) -> None:
    with_font(qapp, size)
    try:
        page, _ = show(state)
        if state in {"training", "crashed"}:
            page.set_facts(facts())
        settle(page)
        assert page.width() <= SMALL[0]
        for tab in range(5):
            page.tabs.setCurrentIndex(tab)
            settle(page)
            assert clipped_texts(page) == [], f"tab {tab}"
    finally:
        with_font(qapp, 13)


def with_font(app: QApplication, pixels: int) -> None:
    font = QFont(app.font())
    font.setPixelSize(pixels)
    app.setFont(font)


def settle(page: QWidget) -> None:
    for _ in range(4):
        QApplication.processEvents()
    page.resize(*SMALL)
    for _ in range(4):
        QApplication.processEvents()


def test_the_theme_changes_live(show: Show, themed: ThemeManager) -> None:
    page, _ = show("training")
    light = page.grab().toImage().pixelColor(3, 3).name()
    themed.set_mode("dark")
    QApplication.processEvents()
    dark = page.grab().toImage().pixelColor(3, 3).name()
    assert (light, dark) == ("#ffffff", "#1f2226")


# --- a long run -------------------------------------------------------------------------------------------------------------------


def test_a_log_of_100000_steps_loads_in_parts(service: RecordingService, qtbot: QtBot, tmp_path: Path) -> None:
    run = create_run(tmp_path / "long", config())
    started = RunStarted(pid=1, num_steps=100_000, time=1.0)
    steps = [StepDone(step=step, epoch=1.0, loss=2.0, grad_norm=1.0, learning_rate=1e-4, time=1.0 + step) for step in range(1, 100_001)]
    write_log(run, [started, *steps, RunFinished(status="completed", step=100_000, time=100_002.0)])
    model = service.open(run.path)
    assert model is not None
    page = RunPage(service)
    qtbot.addWidget(page)
    page.resize(*SMALL)
    page.show()
    page.set_run(model)
    lengths: list[int] = []
    timer = QTimer()
    timer.timeout.connect(lambda: lengths.append(len(page.charts.loss.smoothed_values("train"))))
    timer.start(10)
    qtbot.waitUntil(lambda: page.progress.texts()[0].startswith("Finished"), timeout=60_000)
    timer.stop()
    assert len({length for length in lengths if 0 < length < 100_000}) >= 2  # the window lived on and the curve grew
    assert len(page.charts.loss.smoothed_values("train")) == 100_000
    begin = time.perf_counter()
    page.refresh_now()
    assert time.perf_counter() - begin < 1.0  # 0.03 s on one core that is free


def test_a_run_can_be_replaced_by_another(show: Show, tmp_path: Path) -> None:
    page, first = show("training")
    second = fold("completed", tmp_path / "second")
    page.set_run(second)
    assert page.current_run() is second
    first.fold([EvaluationDone(step=640, loss=9.9, num_examples=1)])
    QApplication.processEvents()
    assert page.figures.eval_loss.value() == f"{min(story().eval_loss.values()):.3f}"
    assert page.header.chip().text() == "Finished"
