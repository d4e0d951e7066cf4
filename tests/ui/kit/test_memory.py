"""The bar is to scale, and what does not fit stays visible."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor, QImage
from pytestqt.qtbot import QtBot

from desktop_ft.ui.kit.memory import GpuBar, MemoryBar, MemoryList, MemoryPart, bar_geometry, tick_gib
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.kit.theme import LIGHT, ThemeManager

GIB = 2**30
PARTS = [
    MemoryPart("other_programs", "Other programs", 2 * GIB, outside=True),
    MemoryPart("weights", "Weights", 10 * GIB),
    MemoryPart("activations", "Activations", 4 * GIB),
]


def test_parts_are_to_scale() -> None:
    place = bar_geometry(PARTS, 20 * GIB, GIB, 400.0)
    assert place.parts == ((0.0, 40.0), (40.0, 240.0), (240.0, 320.0))
    assert (place.card_end, place.total_end, place.band) == (400.0, 320.0, (300.0, 340.0))
    assert not place.overflows


def test_what_does_not_fit_stays_inside_past_the_cards_end() -> None:
    place = bar_geometry(PARTS, 12 * GIB, 0, 404.0)
    assert place.overflows
    assert place.card_end == pytest.approx(300.0)
    assert place.total_end == pytest.approx(400.0)


def test_the_band_is_never_outside() -> None:
    place = bar_geometry([MemoryPart("weights", "Weights", GIB)], 8 * GIB, 2 * GIB, 100.0)
    assert place.band[0] == 0.0
    assert place.band[1] <= 100.0
    assert bar_geometry([], 0, 0, 100.0).total_end == 0.0


@pytest.mark.parametrize(("card", "ticks"), [(24, [0, 8, 16]), (16, [0, 4, 8, 12]), (80, [0, 32, 64]), (12, [0, 4, 8]), (6, [0, 2, 4])])
def test_ticks(card: int, ticks: list[int]) -> None:
    assert tick_gib(card * GIB) == ticks


def test_the_bar_is_painted_where_the_geometry_says(themed: ThemeManager, qtbot: QtBot) -> None:
    bar = MemoryBar()
    qtbot.addWidget(bar)
    bar.resize(402, bar.sizeHint().height())
    bar.set_bill(PARTS, 20 * GIB, 0)
    image = bar.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    middle = 24
    assert QColor(image.pixel(1 + 140, middle)).name().upper() == LIGHT.memory_weights
    assert QColor(image.pixel(1 + 280, middle)).name().upper() == LIGHT.memory_passing[0]
    assert QColor(image.pixel(1 + 360, middle)).name().upper() == LIGHT.surface
    bar.set_bill(PARTS, 12 * GIB, 0)
    past = {QColor(image.pixel(x, middle)).name().upper() for image in [bar.grab().toImage()] for x in range(305, 390)}
    assert LIGHT.bad in past or LIGHT.bad_soft in past


def test_the_bar_reads_as_a_table(themed: ThemeManager, qtbot: QtBot) -> None:
    bar = MemoryBar()
    qtbot.addWidget(bar)
    bar.set_bill(PARTS, 20 * GIB, GIB // 2)
    assert bar.accessibleDescription().splitlines() == [
        "Other programs: 2.00 GiB",
        "Weights: 10.00 GiB",
        "Activations: 4.00 GiB",
        "This run, at its peak: 14.00 GiB ± 0.50 GiB",
        "Card: 20.00 GiB",
    ]


def test_the_list_keeps_its_labels_while_numbers_change(themed: ThemeManager, qtbot: QtBot) -> None:
    table = MemoryList()
    qtbot.addWidget(table)
    table.set_parts(PARTS)
    before = table.findChildren(Label)
    table.set_parts([*PARTS[:2], MemoryPart("activations", "Activations", 5 * GIB)])
    assert table.findChildren(Label) == before
    assert [label.text() for label in before] == ["Other programs", "2.00", "Weights", "10.00", "Activations", "5.00"]
    table.set_stale(True)
    assert {label.property("tone") for label in before} == {"2"}


def test_the_small_bar_says_what_it_shows(themed: ThemeManager, qtbot: QtBot) -> None:
    bar = GpuBar()
    qtbot.addWidget(bar)
    bar.set_use(24 * GIB, GIB, 2 * GIB, 30 * GIB)
    assert "30.0 GiB predicted" in bar.accessibleDescription()
    bar.resize(200, 12)
    image = bar.grab().toImage()
    assert QColor(image.pixel(198, 6)).name().upper() == LIGHT.bad
