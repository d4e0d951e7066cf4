"""A curve the size of a word: its shape, no numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.theme import theme, theme_manager


def sparkline_points(values: Sequence[float], area: QRectF) -> list[list[QPointF]]:
    """The runs of finite values as polylines inside an area; a gap where a value is not finite."""
    finite = [v for v in values if math.isfinite(v)]
    if len(finite) < 2:
        return []
    low, high = min(finite), max(finite)
    span = (high - low) or 1.0
    step = area.width() / (len(values) - 1)
    lines: list[list[QPointF]] = [[]]
    for i, value in enumerate(values):
        if math.isfinite(value):
            lines[-1].append(QPointF(area.left() + i * step, area.bottom() - (value - low) / span * area.height()))
        elif lines[-1]:
            lines.append([])
    return [line for line in lines if len(line) > 1]


def paint_sparkline(painter: QPainter, area: QRectF, values: Sequence[float], series: int | None) -> None:
    """Draw a curve into an area.

    Args:
        painter: Where.
        area: The room it has, in logical pixels.
        values: Evenly spaced.
        series: Index of the run's colour; ``None`` is the neutral grey of a run that is not compared.
    """
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    colour = theme().text_2 if series is None else theme().series[series % len(theme().series)]
    painter.setPen(QPen(QColor(colour), 1.4))
    for line in sparkline_points(values, area):
        painter.drawPolyline(line)
    painter.restore()


class Sparkline(QWidget):
    """A small curve as a widget.

    Args:
        name: Accessible name.
        series: Index of its colour; ``None`` for grey.
    """

    def __init__(self, name: str, series: int | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: tuple[float, ...] = ()
        self._series = series
        self.setAccessibleName(name)
        theme_manager().changed.connect(self.update)

    def set_values(self, values: Sequence[float]) -> None:
        """Show other values."""
        self._values = tuple(values)
        self.update()

    def sizeHint(self) -> QSize:
        """About the size of a word."""
        return QSize(em(7.4), em(2.4))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint in the colours in force."""
        painter = QPainter(self)
        paint_sparkline(painter, QRectF(self.rect()).adjusted(8, 8, -8, -8), self._values, self._series)
        painter.end()
