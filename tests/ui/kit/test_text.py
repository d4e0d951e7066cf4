"""Numbers as people read them; labels that are not cut."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypedDict

import pytest
from PySide6.QtCore import QLocale
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from desktop_ft.ui.kit.layout import column
from desktop_ft.ui.kit.text import (
    ElidedLabel,
    Label,
    ReadingLabel,
    format_duration,
    format_gib,
    format_learning_rate,
    format_number,
    format_size,
)
from desktop_ft.ui.kit.theme import ThemeManager


class FormatOptions(TypedDict, total=False):
    """What ``format_number`` may be told."""

    decimals: int
    signed: bool


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    before = QLocale()
    QLocale.setDefault(QLocale(QLocale.Language.English, QLocale.Country.UnitedStates))
    yield
    QLocale.setDefault(before)


@pytest.mark.parametrize(
    ("value", "options", "shown"),
    [
        (1062, {}, "1,062"),
        (1.0934, {"decimals": 3}, "1.093"),
        (-0.42, {"decimals": 2}, "−0.42"),
        (-0.001, {"decimals": 2}, "0.00"),
        (-9.6, {"decimals": 1, "signed": True}, "− 9.6"),
        (0.7, {"decimals": 1, "signed": True}, "+ 0.7"),
        (None, {}, "–"),
        (math.nan, {}, "–"),
        (math.inf, {}, "–"),
    ],
)
def test_numbers(value: float | None, options: FormatOptions, shown: str) -> None:
    assert format_number(value, **options) == shown


def test_numbers_of_another_locale() -> None:
    QLocale.setDefault(QLocale(QLocale.Language.German, QLocale.Country.Germany))
    assert format_number(1234.5, 1) == "1.234,5"
    QLocale.setDefault(QLocale.c())
    assert format_number(1234) == "1,234"


def test_sizes() -> None:
    assert format_gib(21.83 * 2**30) == "21.8 GiB"
    assert format_gib(21.83 * 2**30, 2, unit=False) == "21.83"
    assert format_gib(None) == "–"
    assert [format_size(b) for b in (0, 900, 172 * 2**20, 8.1 * 2**30, 300 * 2**30)] == ["0 B", "900 B", "172 MiB", "8.1 GiB", "300 GiB"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (42.4, "42 s"),
        (59.7, "1 min"),
        (39 * 60, "39 min"),
        (3599, "1 h 00"),
        (72 * 60, "1 h 12"),
        (51 * 3600, "2 d 3 h"),
        (None, "–"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert format_duration(seconds) == shown


@pytest.mark.parametrize(
    ("rate", "shown"), [(7.1e-5, "7.1e-5"), (2e-4, "2e-4"), (1e-3, "1e-3"), (0.01, "0.01"), (0, "0"), (1.234e-10, "1.2e-10"), (None, "–")]
)
def test_learning_rates(rate: float | None, shown: str) -> None:
    assert format_learning_rate(rate) == shown


@pytest.mark.parametrize("scale", [1.0, 1.25, 1.5])
def test_a_wrapped_label_in_nested_layouts_gets_its_height(themed: ThemeManager, qtbot: QtBot, qapp: QApplication, scale: float) -> None:
    before = qapp.font()
    larger = qapp.font()
    larger.setPixelSize(round(13 * scale))
    qapp.setFont(larger)
    try:
        page = QWidget()
        qtbot.addWidget(page)
        label = Label("Sorry about that! I see two charges of 24 on 3 March, and I have refunded the second one. " * 3, wrap=True)
        page.setLayout(column(column(column(label)), Label("below"), None))
        page.resize(260, 80)
        page.show()
        QApplication.processEvents()
        assert label.height() >= label.heightForWidth(label.width()) > 60
    finally:
        qapp.setFont(before)


def test_an_elided_label_does_not_widen_its_window(themed: ThemeManager, qtbot: QtBot) -> None:
    label = ElidedLabel("a very long name " * 40)
    qtbot.addWidget(label)
    assert label.minimumSizeHint().width() < 60
    label.resize(200, 20)
    label.show()
    assert label.is_elided()
    assert label.toolTip() == label.text() == "a very long name " * 40
    label.setText("short")
    assert label.toolTip() == ""


def test_reading_text_is_never_html(themed: ThemeManager, qtbot: QtBot) -> None:
    label = ReadingLabel("<b>bold</b> & <img src='x'>\n\nnext")
    qtbot.addWidget(label)
    assert "&lt;b&gt;bold" in label.text()
    assert label.text().count("<p ") == 2
    assert label.plain_text().startswith("<b>bold")


def test_a_plain_label_shows_markup_as_text(themed: ThemeManager, qtbot: QtBot) -> None:
    label = Label("<h1>x</h1>")
    qtbot.addWidget(label)
    assert label.sizeHint().height() < 30


def test_a_wrapped_label_gives_room_back_when_its_text_gets_shorter(qtbot: QtBot) -> None:
    label = Label("One line", wrap=True)
    qtbot.addWidget(label)
    label.resize(300, 20)
    label.show()
    one_line = label.minimumHeight()
    label.setText("Many words that need more than a single line " * 5)
    assert label.minimumHeight() > one_line
    label.setText("One line")
    assert label.minimumHeight() == one_line
