"""Tokens per row: bars with square-root heights so that the tail is seen, the limit as a dashed line, what passes it in red."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from desktop_ft.ui.kit.fonts import em, font
from desktop_ft.ui.kit.text import format_number
from desktop_ft.ui.kit.theme import theme, theme_manager


@dataclass(frozen=True)
class Lengths:
    """A histogram.

    Attributes:
        edges: Edges of the bins in tokens, one more than counts.
        counts: Rows in each bin.
        limit: The longest that is kept, or None.
        num_over: Rows beyond it.
    """

    edges: Sequence[int]
    counts: Sequence[int]
    limit: int | None
    num_over: int


def even_step(span: float) -> int:
    """A round distance of ticks, so that three to five of them cover a span of tokens."""
    for step in (1, 2, 5, 10, 20, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000):
        if span / step <= 4:
            return step
    return 1_000_000


class Histogram(QWidget):
    """Paints `Lengths`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lengths: Lengths | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Tokens per row"))
        theme_manager().changed.connect(self.update)

    def set_lengths(self, lengths: Lengths | None) -> None:
        """Show another file's lengths."""
        self._lengths = lengths
        self.setAccessibleDescription(self._spoken())
        self.update()

    def sizeHint(self) -> QSize:
        """A small chart."""
        return QSize(em(16), em(9))

    def minimumSizeHint(self) -> QSize:
        """Still readable."""
        return QSize(em(10), em(6.5))

    def event(self, event: QEvent) -> bool:
        """The exact count under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self._bin_text(event.pos().x()), self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Bars, limit, axis."""
        lengths = self._lengths
        if lengths is None or not lengths.counts:
            return
        painter = QPainter(self)
        painter.setFont(font("caption"))
        area = self._chart()
        tallest = max(lengths.counts) ** 0.5
        for at, count in enumerate(lengths.counts):
            left, right = self._x(lengths.edges[at]), self._x(lengths.edges[at + 1])
            high = max(1.0, area.height() * count**0.5 / tallest) if count else 0.0
            over = lengths.limit is not None and lengths.edges[at] >= lengths.limit
            colour = theme().bad if over else theme().memory_weights
            painter.fillRect(QRectF(left, area.bottom() - high, max(1.0, right - left - 1), high), QColor(colour))
        painter.setPen(QPen(QColor(theme().line), 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        self._paint_axis(painter, area)
        self._paint_limit(painter, area)
        painter.end()

    def _paint_axis(self, painter: QPainter, area: QRectF) -> None:
        painter.setPen(QColor(theme().text_3))
        span = self._span()
        step = even_step(span)
        wide = float(em(4))
        tick = 0
        while tick <= span:
            x = self._x(tick)
            left = min(max(x - wide / 2, 0.0), self.width() - wide)
            align = Qt.AlignmentFlag.AlignLeft if left <= 0 else Qt.AlignmentFlag.AlignHCenter
            align = Qt.AlignmentFlag.AlignRight if left >= self.width() - wide else align
            painter.drawText(QRectF(left, area.bottom() + 4, wide, em(1.2)), align, format_number(tick))
            tick += step

    def _paint_limit(self, painter: QPainter, area: QRectF) -> None:
        lengths = self._lengths
        if lengths is None or lengths.limit is None:
            return
        x = self._x(min(lengths.limit, self._span()))
        words = self.tr("limit {0}").format(format_number(lengths.limit))
        if lengths.limit > self._span():
            words = self.tr("{0} →").format(words)  # it lies beyond the axis
        else:
            painter.setPen(QPen(QColor(theme().text), 1, Qt.PenStyle.DashLine))
            painter.drawLine(int(x), 0, int(x), int(area.bottom()))
        room = QRectF(0, 0, x - 6, em(1.3))
        painter.setPen(QColor(theme().text))
        if x > self.width() / 2:
            painter.drawText(room, Qt.AlignmentFlag.AlignRight, words)
        else:
            painter.drawText(QRectF(x + 6, 0, self.width() - x - 6, em(1.3)), Qt.AlignmentFlag.AlignLeft, words)
        if lengths.num_over:
            painter.setPen(QColor(theme().bad))
            painter.setFont(font("caption", weight=600))
            over = self.tr("{0} rows over").format(format_number(lengths.num_over))
            line = QRectF(0, em(1.4), x - 6, em(1.3)) if x > self.width() / 2 else QRectF(x + 6, em(1.4), self.width() - x - 6, em(1.3))
            painter.drawText(line, Qt.AlignmentFlag.AlignRight if x > self.width() / 2 else Qt.AlignmentFlag.AlignLeft, over)

    def _chart(self) -> QRectF:
        """Where the bars stand: above the axis, below what is said of the limit."""
        lengths = self._lengths
        lines = 0 if lengths is None or lengths.limit is None else 2 if lengths.num_over else 1
        top = 2 + em(1.4) * lines
        return QRectF(0, top, self.width(), self.height() - em(1.5) - 2 - top)

    def _span(self) -> float:
        lengths = self._lengths
        assert lengths is not None
        longest = float(lengths.edges[-1])
        near = lengths.limit is not None and longest <= lengths.limit <= 1.6 * longest
        return float(lengths.limit) * 1.02 if near and lengths.limit is not None else longest * 1.04

    def _x(self, tokens: float) -> float:
        return tokens / max(1.0, self._span()) * self.width()

    def _bin_text(self, x: float) -> str:
        lengths = self._lengths
        if lengths is None:
            return ""
        for at, count in enumerate(lengths.counts):
            if self._x(lengths.edges[at]) <= x < self._x(lengths.edges[at + 1]):
                return self.tr("{0} to {1} tokens: {2} rows").format(
                    format_number(lengths.edges[at]), format_number(lengths.edges[at + 1]), format_number(count)
                )
        return ""

    def _spoken(self) -> str:
        lengths = self._lengths
        if lengths is None or not lengths.counts:
            return ""
        words = self.tr("{0} rows between {1} and {2} tokens").format(sum(lengths.counts), lengths.edges[0], lengths.edges[-1])
        return words + (self.tr(", {0} longer than {1}").format(lengths.num_over, lengths.limit) if lengths.num_over else "")
