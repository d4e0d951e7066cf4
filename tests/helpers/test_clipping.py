"""The checker sees what is planted, and nothing else."""

from __future__ import annotations

from PySide6.QtWidgets import QApplication, QLabel, QWidget
from pytestqt.qtbot import QtBot

from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import ElidedLabel, Label
from tests.helpers.clipping import clipped_texts


def shown(qtbot: QtBot, widget: QWidget, width: int = 300, height: int = 200) -> QWidget:
    qtbot.addWidget(widget)
    widget.resize(width, height)
    widget.show()
    QApplication.processEvents()
    return widget


def test_a_good_page_has_no_problem(qtbot: QtBot) -> None:
    page = QWidget()
    page.setLayout(column(Label("A title", "title"), ElidedLabel("very long " * 30), row(button("Go"), None), None))
    assert clipped_texts(shown(qtbot, page)) == []


def test_narrow_labels_and_buttons_are_named(qtbot: QtBot) -> None:
    page = QWidget()
    page.setLayout(column(Label("These words do not fit into forty pixels"), button("Neither does this"), None))
    for child in page.findChildren(QWidget):
        child.setFixedWidth(40)
    problems = clipped_texts(shown(qtbot, page))
    assert ["These words" in problems[0], "Neither" in problems[1], len(problems)] == [True, True, 2]


def test_what_lies_outside_and_over_each_other_is_named(qtbot: QtBot) -> None:
    page = QWidget()
    for at, text in ((0, "first"), (4, "second"), (280, "outside of the page")):
        label = QLabel(text, page)
        label.move(at, 0)
        label.adjustSize()
    problems = clipped_texts(shown(qtbot, page))
    assert len(problems) == 2
    assert "cut by" in problems[0]
    assert "over each other" in problems[1]
