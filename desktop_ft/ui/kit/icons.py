"""Lucide icons in the theme's colours. An icon renders when it is painted, so that it follows theme, mode and device pixel ratio."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QIcon, QIconEngine, QPainter, QPaintEvent, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QWidget

from desktop_ft.ui.kit.fonts import base_pixels
from desktop_ft.ui.kit.style_sheet import svg_source
from desktop_ft.ui.kit.theme import theme, theme_manager

STATE_ICONS = {"good": "circle-check", "warn": "triangle-alert", "bad": "octagon-x", "info": "info", "busy": "loader", "2": "circle-dot"}
"""The shape of each verdict: told apart by shape first, by colour second."""


@lru_cache(maxsize=512)
def _renderer(name: str, colour: str) -> QSvgRenderer:
    return QSvgRenderer(svg_source(name, colour).encode())


def paint_icon(painter: QPainter, name: str, area: QRectF, tone: str = "2") -> None:
    """Draw an icon into a square, in the colour of a tone (see `Theme.tone`)."""
    _renderer(name, theme().tone(tone)).render(painter, area)


def icon_pixmap(name: str, tone: str = "2", size: int = 16, ratio: float = 1.0) -> QPixmap:
    """An icon as a picture of ``size`` logical pixels. It does not follow the theme: only for what is painted at once."""
    picture = QPixmap(round(size * ratio), round(size * ratio))
    picture.setDevicePixelRatio(ratio)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    paint_icon(painter, name, QRectF(0, 0, size, size), tone)
    painter.end()
    return picture


class _LucideEngine(QIconEngine):
    """Renders on demand: ``selected`` keeps its colour (Qt would tint it), ``disabled`` is grey, ``on`` takes its own tone."""

    def __init__(self, name: str, tone: str, tone_on: str) -> None:
        super().__init__()
        self._name = name
        self._tone = tone
        self._tone_on = tone_on

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        tone = self._tone_on if state == QIcon.State.On else self._tone
        side = min(rect.width(), rect.height())
        area = QRectF(rect.x() + (rect.width() - side) / 2, rect.y() + (rect.height() - side) / 2, side, side)
        paint_icon(painter, self._name, area, "disabled" if mode == QIcon.Mode.Disabled else tone)

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        picture = QPixmap(size)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        self.paint(painter, QRect(0, 0, size.width(), size.height()), mode, state)
        painter.end()
        return picture

    def clone(self) -> QIconEngine:
        return _LucideEngine(self._name, self._tone, self._tone_on)


def icon(name: str, tone: str = "2", tone_on: str = "") -> QIcon:
    """An icon that stays right when the theme changes.

    Args:
        name: A file of resources/icons, without ``.svg``.
        tone: Its colour: a text level (``""``, ``2``, ``3``), a verdict, or any role of the theme.
        tone_on: Its colour while the button is checked.
    """
    return QIcon(_LucideEngine(name, tone, tone_on or tone))


def icon_size(factor: float = 1.0) -> int:
    """The side of an icon in logical pixels: 16 beside a 13 px font, growing with it."""
    return max(12, round(base_pixels() * 16 / 13 * factor))


class IconLabel(QWidget):
    """An icon beside text. It says nothing by itself, so that screen readers pass it over.

    Args:
        name: Which icon.
        tone: Its colour, as in `icon`.
        size: Side in logical pixels beside a 13 px font; grows with the font.
    """

    def __init__(self, name: str, tone: str = "2", size: int = 16, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._tone = tone
        self._size = size
        theme_manager().changed.connect(self._on_theme_changed)
        self._on_theme_changed()

    def set_icon(self, name: str, tone: str | None = None) -> None:
        """Show another icon, or the same in another tone."""
        self._name = name
        self._tone = self._tone if tone is None else tone
        self.update()

    def icon_name(self) -> str:
        """The icon shown now."""
        return self._name

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint in the colours in force."""
        painter = QPainter(self)
        paint_icon(painter, self._name, QRectF(self.rect()), self._tone if self.isEnabled() else "disabled")
        painter.end()

    def _on_theme_changed(self) -> None:
        side = icon_size(self._size / 16)
        self.setFixedSize(side, side)
        self.update()
