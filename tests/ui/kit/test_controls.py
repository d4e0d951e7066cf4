"""Buttons, segments, chips, tables and fields by mouse and keyboard; everything has a name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit, QTableView, QWidget
from pytestqt.qtbot import QtBot

from desktop_ft.ui.kit.buttons import Button, SegmentedControl, button
from desktop_ft.ui.kit.chips import Chip, VerdictChip
from desktop_ft.ui.kit.field_row import FieldRow
from desktop_ft.ui.kit.fields import BoolControl, ChoiceControl, FloatControl, IntControl, PathControl, TextControl
from desktop_ft.ui.kit.layout import VerticalScrollPage, column
from desktop_ft.ui.kit.messages import MessageStrip
from desktop_ft.ui.kit.tables import Column, ListModel, TableView
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.kit.theme import ThemeManager


def test_a_button_speaks_its_words_and_its_reason(themed: ThemeManager, qtbot: QtBot) -> None:
    made = button("&Start && go", "primary", "play")
    qtbot.addWidget(made)
    assert made.text() == "&Start && go"
    assert made.accessibleName() == "Start & go"
    made.set_reason("It does not fit")
    assert not made.isEnabled()
    assert made.toolTip() == "It does not fit"
    made.set_reason("")
    assert made.isEnabled()
    lone = button(kind="flat", icon_name="x", name="Close")
    qtbot.addWidget(lone)
    assert (lone.accessibleName(), lone.toolTip()) == ("Close", "Close")


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space])
def test_enter_and_space_press_the_button_that_has_the_keyboard(themed: ThemeManager, qtbot: QtBot, key: Qt.Key) -> None:
    pressed: list[bool] = []
    made = button("&Go", on_click=lambda: pressed.append(True))
    qtbot.addWidget(made)
    made.show()
    qtbot.keyClick(made, key)
    assert pressed == [True]


def test_segments_by_click_and_arrows(themed: ThemeManager, qtbot: QtBot) -> None:
    control = SegmentedControl(["A", "B", "C"], name="Source")
    qtbot.addWidget(control)
    control.show()
    seen: list[int] = []
    control.current_changed.connect(seen.append)
    a, b, c = control.segments()
    qtbot.mouseClick(c, Qt.MouseButton.LeftButton)
    qtbot.keyClick(c, Qt.Key.Key_Left)
    qtbot.keyClick(b, Qt.Key.Key_Left)
    qtbot.keyClick(a, Qt.Key.Key_Left)
    assert seen == [2, 1, 0]
    assert [s.isChecked() for s in (a, b, c)] == [True, False, False]
    assert [s.focusPolicy() for s in (a, b)] == [Qt.FocusPolicy.StrongFocus, Qt.FocusPolicy.ClickFocus]
    control.set_segment_enabled(1, "no network")
    qtbot.keyClick(a, Qt.Key.Key_Right)
    assert control.current() == 2


def test_a_click_on_the_chosen_segment_keeps_it(themed: ThemeManager, qtbot: QtBot) -> None:
    control = SegmentedControl(["A", "B"], name="Source")
    qtbot.addWidget(control)
    qtbot.mouseClick(control.segments()[0], Qt.MouseButton.LeftButton)
    assert control.segments()[0].isChecked()


def test_chips(themed: ThemeManager, qtbot: QtBot) -> None:
    chip = Chip("Training", "busy", "activity")
    qtbot.addWidget(chip)
    chip.set_state("Finished", "good")
    assert (chip.text(), chip.tone(), chip.accessibleName()) == ("Finished", "good", "Finished")
    verdict = VerdictChip()
    qtbot.addWidget(verdict)
    verdict.set_verdict("does_not_fit", "Memory: does not fit, 25.4 of 22.7 GiB")
    assert (verdict.text(), verdict.tone()) == ("Does not fit", "bad")
    assert verdict.accessibleName() == "Memory: does not fit, 25.4 of 22.7 GiB"


@dataclass(frozen=True)
class Item:
    name: str
    loss: float
    ticked: bool = False


def items_table(qtbot: QtBot) -> tuple[ListModel[Item], TableView]:
    columns = [
        Column[Item]("", lambda r: "", width_em=3, checked=lambda r: r.ticked),
        Column[Item]("Name", lambda r: r.name, sort=lambda r: r.name),
        Column[Item]("Loss", lambda r: f"{r.loss:.3f}", "right", 6, sort=lambda r: r.loss),
    ]
    model = ListModel(columns, key=lambda r: r.name)
    view = TableView(model, name="Runs")
    model.setParent(view)
    qtbot.addWidget(view)
    model.set_rows([Item("b", 2), Item("a", 3), Item("c", 1)])
    view.resize(400, 200)
    view.show()
    return model, view


def test_table_keeps_the_chosen_row_over_new_rows_and_sorting(themed: ThemeManager, qtbot: QtBot) -> None:
    model, view = items_table(qtbot)
    seen: list[object] = []
    view.current_changed.connect(lambda r: seen.append(r and r.name))
    assert view.select_key("a")
    model.sort(2)
    assert [r.name for r in model.rows()] == ["c", "b", "a"]
    assert view.current_row() == Item("a", 3)
    model.set_rows([Item("a", 0.5), Item("d", 4), Item("b", 2)])
    assert [r.name for r in model.rows()] == ["a", "b", "d"]
    assert view.current_row() == Item("a", 0.5)
    model.set_rows([Item("d", 4)])
    assert view.current_row() is None
    assert seen[0] == "a"
    assert seen[-1] is None


def test_table_keys(themed: ThemeManager, qtbot: QtBot) -> None:
    model, view = items_table(qtbot)
    view.select_key("b")
    ticked: list[tuple[str, bool]] = []
    opened: list[str] = []
    model.ticked.connect(lambda r, on: ticked.append((r.name, on)))
    view.activated_row.connect(lambda r: opened.append(r.name))
    qtbot.keyClick(view, Qt.Key.Key_Space)
    qtbot.keyClick(view, Qt.Key.Key_Down)
    qtbot.keyClick(view, Qt.Key.Key_Return)
    assert ticked == [("b", True)]
    assert opened == ["a"]


def test_table_changes_in_place_when_keys_stay(themed: ThemeManager, qtbot: QtBot) -> None:
    model, _ = items_table(qtbot)
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(1))
    model.set_rows([replace(r, loss=9.0) for r in model.rows()])
    assert resets == []
    assert model.index(0, 2).data() == "9.000"
    assert model.index(0, 2).data(Qt.ItemDataRole.AccessibleTextRole) == "Loss: 9.000"


def test_table_fills_its_width(themed: ThemeManager, qtbot: QtBot) -> None:
    _, view = items_table(qtbot)
    QApplication.processEvents()
    assert sum(view.columnWidth(i) for i in range(3)) == view.viewport().width()


def typed(row: FieldRow, text: str, qtbot: QtBot) -> None:
    edit = row.control.focus_target()
    assert isinstance(edit, QLineEdit)
    edit.clear()
    qtbot.keyClicks(edit, text)


def test_a_number_out_of_bounds_is_said_on_leaving_not_while_typing(themed: ThemeManager, qtbot: QtBot) -> None:
    row = FieldRow("Learning rate", FloatControl(0, 0.1, suggestion="2e-4"), "Step size")
    qtbot.addWidget(row)
    row.show()
    seen: list[object] = []
    row.value_changed.connect(seen.append)
    typed(row, "2", qtbot)
    assert row.error() == ""
    qtbot.keyClick(row.control.focus_target(), Qt.Key.Key_Return)
    assert row.error() == "2 is above 0.1, the largest allowed. Did you mean 2e-4?"
    assert row.control.focus_target().property("wrong") == "true"
    assert "above 0.1" in row.control.focus_target().accessibleDescription()
    qtbot.keyClicks(row.control.focus_target(), "e-4")
    assert row.error() == ""
    assert row.value() == 2e-4
    assert seen[-1] == 2e-4


@pytest.mark.parametrize(("text", "value"), [("2e-4", 2e-4), ("0,5", 0.5), ("−1", -1.0), ("inf", None), ("x", None), ("", None)])
def test_floats_as_typed(themed: ThemeManager, qtbot: QtBot, text: str, value: float | None) -> None:
    control = FloatControl()
    row = FieldRow("Rate", control)
    qtbot.addWidget(row)
    control.line_edit().setText(text)
    assert row.value() == value
    row.control.left.emit()
    assert bool(row.error()) == (value is None)


@pytest.mark.parametrize(
    ("value", "shown"), [(2e-4, "2e-4"), (1.25e-5, "1.25e-05"), (0.1, "0.1"), (7.1e-5, "7.1e-5"), (3, "3"), (None, "")]
)
def test_floats_as_shown_lose_no_digit(themed: ThemeManager, qtbot: QtBot, value: float | None, shown: str) -> None:
    control = FloatControl()
    qtbot.addWidget(control)
    control.set_value(value)
    assert control.line_edit().text() == shown
    assert control.value() == value


def test_ints_step_inside_their_bounds(themed: ThemeManager, qtbot: QtBot) -> None:
    row = FieldRow("Rank", IntControl(1, 17, step=8), unit="dimensions")
    qtbot.addWidget(row)
    row.set_value(8)
    edit = row.control.focus_target()
    qtbot.keyClick(edit, Qt.Key.Key_Up)
    assert row.value() == 16
    qtbot.keyClick(edit, Qt.Key.Key_Up)
    assert row.value() == 17
    typed(row, "1.5", qtbot)
    row.control.left.emit()
    assert row.error() == "“1.5” is not a whole number."


def test_the_reset_arrow_comes_with_a_change_and_goes_back(themed: ThemeManager, qtbot: QtBot) -> None:
    row = FieldRow("Rank", IntControl(1, 64), "Width")
    qtbot.addWidget(row)
    row.set_value(16)
    row.set_default(16, "the LoRA paper")
    row.show()
    arrow = next(b for b in row.findChildren(Button) if "default" in b.accessibleName())
    assert arrow.isHidden()
    typed(row, "32", qtbot)
    assert arrow.isVisible()
    settled: list[object] = []
    row.settled.connect(settled.append)
    qtbot.mouseClick(arrow, Qt.MouseButton.LeftButton)
    assert row.value() == 16
    assert arrow.isHidden()
    assert settled == [16]
    assert "the LoRA paper" in row.control.focus_target().toolTip()


def test_bool_choice_and_text(themed: ThemeManager, qtbot: QtBot) -> None:
    seen: list[object] = []
    flag, choice = FieldRow("DoRA", BoolControl()), FieldRow("Precision", ChoiceControl([("bf16", "bfloat16"), (None, "automatic")]))
    name = FieldRow("Name", TextControl(check=lambda t: "" if t else "A name is needed."))
    for row in (flag, choice, name):
        qtbot.addWidget(row)
        row.value_changed.connect(seen.append)
    flag.set_value(True)
    choice.set_value(None)
    assert seen == []
    assert (flag.value(), choice.value()) == (True, None)
    box = flag.control.focus_target()
    assert isinstance(box, QAbstractButton)
    box.click()
    choice.control.focus_target().setFocus()
    qtbot.keyClick(choice.control.focus_target(), Qt.Key.Key_Up)
    assert seen == [False, "bf16"]
    name.control.left.emit()
    assert name.error() == "A name is needed."


def test_a_page_never_scrolls_sideways(themed: ThemeManager, qtbot: QtBot) -> None:
    page = VerticalScrollPage(
        column(*[Label("wrapped words " * 60, wrap=True) for _ in range(20)], None, pad=(24, 24, 24, 24)), name="Page"
    )
    qtbot.addWidget(page)
    page.resize(500, 300)
    page.show()
    QApplication.processEvents()
    assert page.horizontalScrollBar().maximum() == 0
    assert page.verticalScrollBar().maximum() > 0
    for label in page.findChildren(Label):
        assert label.height() >= label.heightForWidth(label.width())


def test_every_interactive_widget_has_a_name(themed: ThemeManager, qtbot: QtBot) -> None:
    _, view = items_table(qtbot)
    strip = MessageStrip()
    for i in range(4):
        strip.show_message(f"message {i}", "text", hint="hint")
    rows = [FieldRow("Rank", IntControl()), FieldRow("Folder", PathControl("folder")), FieldRow("DoRA", BoolControl())]
    rows.append(FieldRow("Precision", ChoiceControl([(1, "one")])))
    page = QWidget()
    qtbot.addWidget(page)
    page.setLayout(column(strip, SegmentedControl(["A", "B"], name="Source"), *rows, button("Go"), view))
    kinds = (QAbstractButton, QLineEdit, QComboBox, QTableView)
    found = [w for kind in kinds for w in page.findChildren(kind) if w.focusPolicy() != Qt.FocusPolicy.NoFocus]
    assert len(found) > 15
    assert [w for w in found if not w.accessibleName()] == []
