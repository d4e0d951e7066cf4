"""Contrast as computed from the hex values, and a live switch that reaches everything painted."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QFont, QIcon, QImage, QPalette
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import base_pixels, em, font
from desktop_ft.ui.kit.icons import IconLabel, icon
from desktop_ft.ui.kit.layout import column, frame
from desktop_ft.ui.kit.memory import GpuBar, MemoryBar, MemoryPart
from desktop_ft.ui.kit.plots import CurvePlot
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.kit.theme import DARK, LIGHT, Theme, ThemeManager, ThemeMode, theme


def luminance(colour: str) -> float:
    def channel(value: int) -> float:
        share = value / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    c = QColor(colour)
    return 0.2126 * channel(c.red()) + 0.7152 * channel(c.green()) + 0.0722 * channel(c.blue())


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("t", [LIGHT, DARK], ids=["light", "dark"])
def test_text_roles_hold_4_5_to_1(t: Theme) -> None:
    for ground in (t.surface, t.window, t.sunken):
        for words in (t.text, t.text_2, t.text_3, t.accent, t.good, t.warn, t.bad):
            assert contrast(words, ground) >= 4.5, (words, ground)
    for tone in ("good", "warn", "bad", "info"):
        for words in (t.text, t.text_2, t.tone(tone)):
            assert contrast(words, t.soft(tone)) >= 4.5, (tone, words)
    for fill in (t.accent_fill, t.accent_hover):
        assert contrast(t.on_accent, fill) >= 4.5


@pytest.mark.parametrize("t", [LIGHT, DARK], ids=["light", "dark"])
def test_edges_of_controls_and_marks_hold_3_to_1(t: Theme) -> None:
    for ground in (t.surface, t.window):
        assert contrast(t.line_strong, ground) >= 3
        assert contrast(t.accent, ground) >= 3
    for colour in t.series:
        assert contrast(colour, t.surface) >= 3
    for colour in (*t.memory_trained, *t.memory_passing, *t.memory_fixed, t.memory_weights):
        assert contrast(colour, t.sunken) >= 2.95
    assert contrast(t.text, t.accent_fill) >= 3, "the ring on a primary button"


def test_table_of_the_design() -> None:
    assert round(contrast(LIGHT.text, LIGHT.surface), 1) == 16.9
    assert round(contrast(LIGHT.text_3, LIGHT.window), 1) == 4.6
    assert round(contrast(DARK.text_2, DARK.surface), 1) == 7.4
    assert round(contrast(DARK.bad, DARK.bad_soft), 1) == 6.1


def picture(widget: QWidget) -> QImage:
    return widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)


def has_colour(image: QImage, colour: str) -> bool:
    wanted = QColor(colour).rgb()
    return any(image.pixel(x, y) == wanted for y in range(image.height()) for x in range(image.width()))


def test_a_live_switch_reaches_everything_painted(themed: ThemeManager, qtbot: QtBot) -> None:
    bar, gpu, plot = MemoryBar(), GpuBar(), CurvePlot("Loss")
    gib = 2**30
    bar.set_bill([MemoryPart("weights", "Weights", 10 * gib)], 24 * gib)
    gpu.set_use(24 * gib, gib, 10 * gib)
    plot.add_series("a", "a", colour=1)
    plot.set_data("a", [0, 1, 2, 3], [1, 1, 1, 1])
    expected = [
        (bar, lambda t: t.memory_weights),
        (gpu, lambda t: t.memory_weights),
        (plot, lambda t: t.series[1]),
        (button("Start", "primary"), lambda t: t.accent_fill),
        (frame(column(), "well"), lambda t: t.sunken),
    ]
    for widget, _ in expected:
        qtbot.addWidget(widget)
        widget.resize(240, 120)
        widget.show()
    switches: list[tuple[ThemeMode, Theme, Theme]] = [("light", LIGHT, DARK), ("dark", DARK, LIGHT), ("light", LIGHT, DARK)]
    for mode, colours, other in switches:
        themed.set_mode(mode)
        QApplication.processEvents()
        for widget, pick in expected:
            image = picture(widget)
            assert has_colour(image, pick(colours)), (mode, type(widget).__name__)
            assert not has_colour(image, pick(other)), (mode, type(widget).__name__)


def icon_colour(made: QIcon, mode: QIcon.Mode = QIcon.Mode.Normal, state: QIcon.State = QIcon.State.Off) -> str:
    image = made.pixmap(QSize(64, 64), 1.0, mode, state).toImage()
    opaque = [image.pixelColor(x, y) for y in range(64) for x in range(64) if image.pixelColor(x, y).alpha() == 255]
    assert opaque
    return opaque[len(opaque) // 2].name().upper()


def test_an_icon_made_once_follows_theme_mode_and_state(themed: ThemeManager) -> None:
    made = QIcon(icon("square", "2", "accent"))
    assert icon_colour(made) == LIGHT.text_2
    assert icon_colour(made, QIcon.Mode.Selected) == LIGHT.text_2
    assert icon_colour(made, QIcon.Mode.Disabled) == LIGHT.disabled
    assert icon_colour(made, state=QIcon.State.On) == LIGHT.accent
    themed.set_mode("dark")
    assert icon_colour(made) == DARK.text_2


def test_changed_comes_once_per_change(themed: ThemeManager) -> None:
    seen: list[str] = []
    themed.changed.connect(lambda: seen.append(theme().name))
    themed.set_mode("dark")
    themed.set_mode("dark")
    themed.set_mode("light")
    assert seen == ["dark", "light"]


def test_high_contrast_drops_the_sheet_and_takes_palette_colours(themed: ThemeManager, qapp: QApplication) -> None:
    assert "QPushButton" in qapp.styleSheet()
    themed.set_high_contrast(True)
    assert qapp.styleSheet() == ""
    assert theme().text == qapp.palette().color(QPalette.ColorRole.WindowText).name()
    themed.set_high_contrast(False)
    assert "QPushButton" in qapp.styleSheet()


def test_fonts_follow_a_larger_font_in_pixels_or_points(themed: ThemeManager, qapp: QApplication, qtbot: QtBot) -> None:
    before = QFont(qapp.font())
    label, mark = Label("Title", "title"), IconLabel("x")
    qtbot.addWidget(label)
    qtbot.addWidget(mark)
    try:
        larger = QFont(before)
        larger.setPixelSize(20)
        qapp.setFont(larger)
        assert (base_pixels(), em(1.5), font("caption").pixelSize()) == (20.0, 30, 17)
        assert label.font().pixelSize() == 31
        assert mark.width() == 25
        points = QFont(before.family())
        points.setPointSizeF(20)
        qapp.setFont(points)
        assert font("title").pointSizeF() == pytest.approx(30.8)
        assert base_pixels() > 20
    finally:
        qapp.setFont(before)
