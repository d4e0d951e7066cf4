"""What a chart shows besides its curves, painted in the colours in force: grid, axis numbers, bands, direct labels, crosshair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from desktop_ft.ui.kit.fonts import em, font
from desktop_ft.ui.kit.plot_math import linear_ticks, log_ticks, spread
from desktop_ft.ui.kit.text import format_learning_rate, format_number
from desktop_ft.ui.kit.theme import theme, theme_manager

MarkKind = Literal["line", "points", "future", "band"]
MOST_DECIMALS = 3
"""Numbers of the left axis with more are written as people type learning rates: 2e-4."""


@dataclass(frozen=True)
class PlotFrame:
    """The inner rectangle of a chart and the values at its edges.

    Attributes:
        area: In logical pixels of the widget.
        x_range: Values at the left and right edge.
        y_range: Values at the bottom and top edge, in data units.
        log: Whether y is drawn by its logarithm.
    """

    area: QRectF
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log: bool = False

    def x_pixel(self, x: float) -> float:
        """Where an x lies."""
        low, high = self.x_range
        return self.area.left() + (x - low) / ((high - low) or 1.0) * self.area.width()

    def y_pixel(self, y: float) -> float:
        """Where a y lies; a value that a logarithm does not have lies at the bottom."""
        low, high = (view_value(v, log=self.log) for v in self.y_range)
        at = view_value(y, log=self.log)
        if not math.isfinite(at):
            return self.area.bottom()
        return self.area.bottom() - (at - low) / ((high - low) or 1.0) * self.area.height()

    def x_value(self, pixel: float) -> float:
        """The x at a pixel."""
        low, high = self.x_range
        return low + (pixel - self.area.left()) / max(self.area.width(), 1.0) * (high - low)

    def y_ticks(self) -> list[tuple[float, str]]:
        """Values and words of the left axis, with equal decimals."""
        count = max(3, int(self.area.height() / em(3)))
        if self.log:
            return [(v, f"{v:.3g}") for v in log_ticks(*self.y_range, count)]
        values, decimals = linear_ticks(*self.y_range, count)
        if decimals > MOST_DECIMALS:
            return [(v, format_learning_rate(v)) for v in values]
        return [(v, format_number(v, decimals)) for v in values]

    def x_ticks(self) -> list[tuple[float, str]]:
        """Values and words of the bottom axis."""
        values, decimals = linear_ticks(*self.x_range, max(2, int(self.area.width() / em(7))))
        return [(v, format_number(v, decimals)) for v in values]


@dataclass(frozen=True)
class EndLabel:
    """A direct label at the end of a line: words in the text's colour behind a mark in the series' colour."""

    x: float
    y: float
    text: str
    mark: MarkKind
    series: int


@dataclass(frozen=True)
class CrossLine:
    """A line of the crosshair's box: words, and the second fact in grey behind them."""

    text: str
    note: str = ""


def view_value(value: float, *, log: bool) -> float:
    """What is drawn for a value: itself or its logarithm."""
    if not log:
        return value
    return math.log10(value) if value > 0 else math.nan


def series_colour(series: int, alpha: int = 255) -> QColor:
    """The colour of a series, in force now."""
    colour = QColor(theme().series[series % len(theme().series)])
    colour.setAlpha(alpha)
    return colour


def dash_style(dash: int) -> Qt.PenStyle:
    """The dash of a compared run: solid, dash, dot, dash-dot, then the same again (with 3 px)."""
    styles = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
    return styles[dash % 4]


def dash_width(dash: int) -> float:
    """The width in logical pixels that goes with `dash_style`."""
    return 2.0 if dash < 4 else 3.0


def paint_grid(painter: QPainter, place: PlotFrame) -> None:
    """Horizontal lines only, and the line of the bottom axis."""
    painter.setPen(QPen(QColor(theme().line), 1))
    area = place.area
    for value, _ in place.y_ticks():
        y = round(place.y_pixel(value)) + 0.5
        painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
    painter.drawLine(QPointF(area.left(), area.bottom() + 0.5), QPointF(area.right(), area.bottom() + 0.5))


def paint_axes(painter: QPainter, place: PlotFrame) -> None:
    """The numbers left and below."""
    painter.setFont(font("caption"))
    painter.setPen(QColor(theme().text_3))
    area, high = place.area, em(1.3)
    for value, text in place.y_ticks():
        spot = QRectF(0, place.y_pixel(value) - high / 2, area.left() - 7, high)
        painter.drawText(spot, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text)
    wide = em(8)
    for value, text in place.x_ticks():
        spot = QRectF(place.x_pixel(value) - wide / 2, area.bottom() + 5, wide, high)
        painter.drawText(spot, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop, text)


def paint_empty(painter: QPainter, place: PlotFrame, text: str) -> None:
    """In place of axes that would number nothing."""
    painter.setFont(font("caption"))
    painter.setPen(QColor(theme().text_3))
    painter.drawText(place.area, Qt.AlignmentFlag.AlignCenter, text)


def axis_width(place: PlotFrame) -> float:
    """Room that the left numbers need, in logical pixels."""
    metrics = QFontMetricsF(font("caption"))
    widest = max((metrics.horizontalAdvance(text) for _, text in place.y_ticks()), default=0.0)
    return max(float(em(2.4)), widest + 9)


def paint_band(painter: QPainter, place: PlotFrame, low: float, high: float, series: int) -> None:
    """A predicted range over the whole run: translucent, with dotted edges."""
    top, bottom = place.y_pixel(high), place.y_pixel(low)
    painter.fillRect(QRectF(place.area.left(), top, place.area.width(), bottom - top), series_colour(series, 60))
    painter.setPen(QPen(series_colour(series), 1, Qt.PenStyle.DotLine))
    for y in (top, bottom):
        painter.drawLine(QPointF(place.area.left(), y), QPointF(place.area.right(), y))


def paint_band_label(painter: QPainter, place: PlotFrame, low: float, text: str, series: int) -> None:
    """The words of a predicted range, below it at the right, behind a patch of its colour."""
    painter.setFont(font("caption", weight=600))
    metrics = QFontMetricsF(painter.font())
    left = place.area.right() - metrics.horizontalAdvance(text)
    middle = place.y_pixel(low) + 3 + metrics.height() / 2
    paint_mark(painter, QPointF(left - 10, middle), "band", series)
    painter.setPen(QColor(theme().text))
    spot = QRectF(left, middle - metrics.height() / 2, metrics.horizontalAdvance(text) + 1, metrics.height())
    painter.drawText(spot, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)


def paint_reference(painter: QPainter, place: PlotFrame, value: float, label: str, tone: str) -> None:
    """A limit: a thin line in the tone's colour with its words above, at the right."""
    y = place.y_pixel(value)
    colour = QColor(theme().tone(tone))
    painter.setPen(QPen(colour, 1.2))
    painter.drawLine(QPointF(place.area.left(), y), QPointF(place.area.right(), y))
    painter.setFont(font("caption", weight=600))
    high = em(1.3)
    top = y - high - 1 if y - high - 1 >= 0 else y + 2
    painter.drawText(QRectF(place.area.left(), top, place.area.width(), high), Qt.AlignmentFlag.AlignRight, label)


def paint_mark(painter: QPainter, centre: QPointF, kind: MarkKind, series: int, dash: int = 0) -> None:
    """The glyph that stands for a series: a short line, a hollow point, or a patch of the band."""
    colour = series_colour(series)
    if kind == "points":
        painter.setBrush(QColor(theme().surface))
        painter.setPen(QPen(colour, 1.8))
        painter.drawEllipse(centre, 3.5, 3.5)
    elif kind == "band":
        painter.fillRect(QRectF(centre.x() - 5, centre.y() - 5, 10, 10), series_colour(series, 110))
    else:
        style = Qt.PenStyle.DotLine if kind == "future" else dash_style(dash)
        painter.setPen(QPen(colour, dash_width(dash), style))
        painter.drawLine(centre - QPointF(5, 0), centre + QPointF(5, 0))
    painter.setBrush(Qt.BrushStyle.NoBrush)


def paint_end_labels(painter: QPainter, place: PlotFrame, labels: Sequence[EndLabel]) -> None:
    """Words at the lines' ends, moved apart where they would touch, and to the left where the chart ends."""
    painter.setFont(font("caption", weight=600))
    metrics = QFontMetricsF(painter.font())
    high = metrics.height()
    area = place.area
    wanted = [place.y_pixel(label.y) for label in labels]
    crowded = any(_label_left(place, label, metrics) < place.x_pixel(label.x) for label in labels)
    if crowded:
        wanted = [y - high for y in wanted]
    for label, y in zip(labels, spread(wanted, high + 1, area.top() + high / 2, area.bottom() - high / 2), strict=True):
        left = _label_left(place, label, metrics)
        spot = QRectF(left, y - high / 2, metrics.horizontalAdvance(label.text) + 20, high)
        shade = QColor(theme().surface)
        shade.setAlpha(190)
        painter.fillRect(spot, shade)
        paint_mark(painter, QPointF(left + 6, y), label.mark, label.series)
        painter.setPen(QColor(theme().text))
        painter.drawText(spot.adjusted(15, 0, 6, 0), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, label.text)


def _label_left(place: PlotFrame, label: EndLabel, metrics: QFontMetricsF) -> float:
    return min(place.x_pixel(label.x) + 8, place.area.right() - metrics.horizontalAdvance(label.text) - 18)


def paint_gaps(painter: QPainter, place: PlotFrame, gaps: Sequence[float]) -> None:
    """Crosses on the axis where a value was not finite."""
    painter.setPen(QPen(QColor(theme().bad), 1.6))
    y = place.area.bottom()
    for x in gaps:
        at = place.x_pixel(x)
        if place.area.left() <= at <= place.area.right():
            painter.drawLine(QPointF(at - 3, y - 3), QPointF(at + 3, y + 3))
            painter.drawLine(QPointF(at - 3, y + 3), QPointF(at + 3, y - 3))


def paint_crosshair(painter: QPainter, place: PlotFrame, x: float, lines: Sequence[CrossLine]) -> None:
    """A vertical line, and a box with the values beside it; the first line is the heading."""
    at = round(place.x_pixel(x)) + 0.5
    painter.setPen(QPen(QColor(theme().text_2), 1))
    painter.drawLine(QPointF(at, place.area.top()), QPointF(at, place.area.bottom()))
    if not lines:
        return
    plain, bold = QFontMetricsF(font("caption")), QFontMetricsF(font("caption", weight=600))
    widths = [(bold if i == 0 else plain).horizontalAdvance(f"{line.text} {line.note}".strip()) for i, line in enumerate(lines)]
    high = plain.height()
    box = QRectF(at + 8, place.area.top() + 6, max(widths) + 12, high * len(lines) + 6)
    if box.right() > place.area.right():
        box.moveRight(max(at - 8, box.width()))
    painter.setBrush(QColor(theme().surface))
    painter.setPen(QPen(QColor(theme().line_strong), 1))
    painter.drawRect(box)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for i, line in enumerate(lines):
        painter.setFont(font("caption", weight=600 if i == 0 else 400))
        spot = QRectF(box.left() + 6, box.top() + 3 + i * high, box.width(), high)
        painter.setPen(QColor(theme().text))
        painter.drawText(spot, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, line.text)
        painter.setPen(QColor(theme().text_2))
        after = spot.adjusted((bold if i == 0 else plain).horizontalAdvance(line.text + " "), 0, 0, 0)
        painter.drawText(after, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, line.note)


class SeriesMark(QWidget):
    """The mark of a series in a legend: its colour, its dash or its point.

    Args:
        series: Index of the colour.
        kind: Line, points, dotted future or band.
        dash: Dash of a compared run, see `dash_style`.
    """

    def __init__(self, series: int, kind: MarkKind = "line", dash: int = 0, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._series, self._dash = series, dash
        self._kind: MarkKind = kind
        self.setFixedSize(em(1.7), em(1.1))
        theme_manager().changed.connect(self.update)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint in the colours in force."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = QPointF(self.width() / 2, self.height() / 2)
        if self._kind in ("line", "future"):
            style = Qt.PenStyle.DotLine if self._kind == "future" else dash_style(self._dash)
            painter.setPen(QPen(series_colour(self._series), dash_width(self._dash), style))
            painter.drawLine(QPointF(0, middle.y()), QPointF(self.width(), middle.y()))
        else:
            paint_mark(painter, middle, self._kind, self._series)
        painter.end()
