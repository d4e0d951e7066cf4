"""The curve of a sweep of learning rates: loss over the rate on a logarithmic scale, with what is suggested."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from desktop_ft.core.events import LrPoint
from desktop_ft.ui.kit.fonts import em, font
from desktop_ft.ui.kit.plot_math import padded_range
from desktop_ft.ui.kit.text import format_learning_rate, format_number
from desktop_ft.ui.kit.theme import theme, theme_manager

_NUM_LINES = 4


class RateCurve(QWidget):
    """Points from the lowest rate to the highest; one that diverged is a cross at the top.

    Args:
        low: Left end of the axis.
        high: Right end.
    """

    def __init__(self, low: float, high: float, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ends = (math.log10(low), math.log10(high))
        self._points: Sequence[LrPoint] = ()
        self._suggested: float | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Loss by learning rate"))
        theme_manager().changed.connect(self.update)

    def show_points(self, points: Sequence[LrPoint], suggested: float | None) -> None:
        """Show what was tried so far, and what is suggested."""
        self._points, self._suggested = points, suggested
        said = [
            f"{format_learning_rate(point.rate)}: {self.tr('diverged') if point.has_diverged else format_number(point.loss, 3)}"
            for point in points
        ]
        if suggested is not None:
            said.append(self.tr("suggested {0}").format(format_learning_rate(suggested)))
        self.setAccessibleDescription("; ".join(said))
        self.update()

    def sizeHint(self) -> QSize:
        """Room for a curve that can be read."""
        return QSize(em(36), em(18))

    def minimumSizeHint(self) -> QSize:
        """Half of that."""
        return QSize(em(18), em(10))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Grid, curve, suggestion."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(font("caption"))
        area = QRectF(self.rect()).adjusted(em(3.5), em(1.5), -em(1), -em(1.8))
        losses = [point.loss for point in self._points if point.loss is not None and not point.has_diverged]
        low, high = padded_range(min(losses), max(losses)) if losses else (0.0, 1.0)
        self._paint_axes(painter, area, low, high, with_numbers=bool(losses))
        self._paint_points(painter, area, low, high)
        self._paint_suggestion(painter, area)
        painter.end()

    def _x(self, area: QRectF, rate: float) -> float:
        left, right = self._ends
        return area.left() + (math.log10(rate) - left) / (right - left) * area.width()

    def _paint_axes(self, painter: QPainter, area: QRectF, low: float, high: float, *, with_numbers: bool) -> None:
        grey = QColor(theme().text_3)
        for line in range(_NUM_LINES + 1):
            y = area.bottom() - line / _NUM_LINES * area.height()
            painter.setPen(QPen(QColor(theme().line), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            if with_numbers:
                painter.setPen(grey)
                words = format_number(low + line / _NUM_LINES * (high - low), 2)
                place = QRectF(0, y - em(0.7), area.left() - em(0.5), em(1.4))
                painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, words)
        painter.setPen(grey)
        for power in range(math.ceil(self._ends[0]), math.floor(self._ends[1]) + 1):
            x = self._x(area, 10.0**power)
            place = QRectF(x - em(3), area.bottom() + em(0.3), em(6), em(1.4))
            painter.drawText(place, Qt.AlignmentFlag.AlignHCenter, format_learning_rate(10.0**power))

    def _paint_points(self, painter: QPainter, area: QRectF, low: float, high: float) -> None:
        colour = QColor(theme().series[0])
        places = [
            QPointF(self._x(area, point.rate), area.bottom() - (point.loss - low) / (high - low) * area.height())
            for point in self._points
            if point.loss is not None and not point.has_diverged
        ]
        painter.setPen(QPen(colour, 2))
        painter.drawPolyline(places)
        painter.setBrush(QColor(theme().surface))
        for place in places:
            painter.drawEllipse(place, 4, 4)
        painter.setPen(QPen(QColor(theme().bad), 2))
        for point in self._points:
            if point.has_diverged:
                x, y, arm = self._x(area, point.rate), area.top() + em(0.4), em(0.35)
                painter.drawLine(QPointF(x - arm, y - arm), QPointF(x + arm, y + arm))
                painter.drawLine(QPointF(x - arm, y + arm), QPointF(x + arm, y - arm))

    def _paint_suggestion(self, painter: QPainter, area: QRectF) -> None:
        if self._suggested is None:
            return
        x = self._x(area, self._suggested)
        painter.setPen(QPen(QColor(theme().accent), 1.2, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        painter.setPen(QColor(theme().text))
        words = self.tr("suggested {0}").format(format_learning_rate(self._suggested))
        width = painter.fontMetrics().horizontalAdvance(words)
        left = min(max(area.left(), x - width / 2), area.right() - width)
        painter.drawText(QRectF(left, 0, width + 2, em(1.4)), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, words)
