"""Memory against the card, to scale: the bar, the list with numbers, and the small bar of the sidebar. Pure data in, no NVML here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QToolTip, QWidget

from desktop_ft.ui.kit.fonts import em, font
from desktop_ft.ui.kit.layout import clear, rule
from desktop_ft.ui.kit.text import GIB, Label, format_gib, number_label
from desktop_ft.ui.kit.theme import theme, theme_manager

SMALLEST_PART = 1.0
"""Pixels: a part that is there is seen, however small."""


@dataclass(frozen=True)
class MemoryPart:
    """One part of the memory bill.

    Attributes:
        key: Its family, which decides the colour: other_programs, cuda_context, weights, adapter, gradients, optimizer, activations,
            logits, buffers, auxiliary_models; program for a run on the CPU.
        name: As shown in the list.
        num_bytes: Its size at the peak.
        outside: Memory that this run does not own; drawn hatched.
        explanation: What it is, in a sentence, for whoever points at it.
    """

    key: str
    name: str
    num_bytes: int
    outside: bool = False
    explanation: str = ""


@dataclass(frozen=True)
class Geometry:
    """Where the parts of a bar lie.

    Attributes:
        parts: Left and right edge of each part, in logical pixels, without the gap.
        card_end: Where the card ends.
        total_end: Where the bill ends: the peak's mark.
        band: Left and right edge of the uncertainty around the peak.
        unit: Logical pixels per byte.
    """

    parts: tuple[tuple[float, float], ...]
    card_end: float
    total_end: float
    band: tuple[float, float]
    unit: float

    @property
    def overflows(self) -> bool:
        """Whether the bill passes the end of the card."""
        return self.total_end > self.card_end


def bar_geometry(parts: Sequence[MemoryPart], card_bytes: int, uncertainty_bytes: int, width: float) -> Geometry:
    """Lay out a bar ``width`` pixels wide, to scale; what does not fit stays inside the width, past the card's end."""
    total = sum(part.num_bytes for part in parts)
    span = max(card_bytes, total + uncertainty_bytes, 1)
    if total + uncertainty_bytes > card_bytes:
        span *= 1.01
    unit = width / span
    edges: list[tuple[float, float]] = []
    at = 0
    for part in parts:
        edges.append((at * unit, (at + part.num_bytes) * unit))
        at += part.num_bytes
    band = (max(0.0, (total - uncertainty_bytes) * unit), min(width, (total + uncertainty_bytes) * unit))
    return Geometry(tuple(edges), card_bytes * unit, total * unit, band, unit)


def tick_gib(card_bytes: int) -> list[float]:
    """Three to five even marks of a card's scale, in GiB, without its end."""
    card = card_bytes / GIB
    for step in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256):
        if card / step <= 4:
            return [i * step for i in range(5) if i * step < card - step * 0.3]
    return [0.0]


def paint_part(painter: QPainter, area: QRectF, key: str, *, outside: bool) -> None:
    """Fill an area in the colour of a part; hatched where it is not ours."""
    colour = QColor(theme().memory(key))
    if outside:
        painter.fillRect(area, QColor(theme().hover))
        painter.fillRect(area, QBrush(colour, Qt.BrushStyle.BDiagPattern))
    else:
        painter.fillRect(area, colour)


class _Painted(QWidget):
    """A widget that repaints and measures itself anew when theme or font change."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme_manager().changed.connect(self._on_theme_changed)

    def _on_theme_changed(self) -> None:
        self.updateGeometry()
        self.update()


class MemoryBar(_Painted):
    """The bill against the card, to scale. What passes the end of the card stays visible, hatched, past a hard line.

    A triangle and a line mark the peak, a translucent band its uncertainty. Screen readers get the parts as a table.
    """

    TOP = 10.0

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts: tuple[MemoryPart, ...] = ()
        self._card_bytes = 0
        self._uncertainty_bytes = 0
        self.setAccessibleName(self.tr("Memory"))

    def set_bill(self, parts: Sequence[MemoryPart], card_bytes: int, uncertainty_bytes: int = 0) -> None:
        """Show a bill.

        Args:
            parts: In the order of the list; those outside first.
            card_bytes: The whole card (or the main memory, on a CPU).
            uncertainty_bytes: Half the width of the band around the peak.
        """
        self._parts = tuple(parts)
        self._card_bytes = card_bytes
        self._uncertainty_bytes = uncertainty_bytes
        self.setAccessibleDescription(self._as_table())
        self.update()

    def geometry_now(self) -> Geometry:
        """Where everything lies at the current width; positions count from one pixel inside the left edge."""
        return bar_geometry(self._parts, self._card_bytes, self._uncertainty_bytes, self.width() - 2.0)

    def sizeHint(self) -> QSize:
        """Bar, peak mark above, scale below."""
        return QSize(em(12), round(self.TOP + self._bar_height() + 4 + em(1.2)))

    def minimumSizeHint(self) -> QSize:
        """Narrow enough for the narrow panel."""
        return QSize(em(8), self.sizeHint().height())

    def event(self, event: QEvent) -> bool:
        """Say in a tooltip which part is under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self._part_text(event.pos().x() - 1.0), self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint from left to right: parts, frame, overflow, peak, scale."""
        place = self.geometry_now()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.translate(1, self.TOP)
        tall = self._bar_height()
        painter.fillRect(QRectF(0, 0, place.card_end, tall), QColor(theme().surface))
        for part, (left, right) in zip(self._parts, place.parts, strict=True):
            if part.num_bytes > 0:
                paint_part(painter, QRectF(left, 0, max(right - left - 1, SMALLEST_PART), tall), part.key, outside=part.outside)
        painter.setPen(QPen(QColor(theme().line_strong), 1))
        painter.drawRect(QRectF(-0.5, -0.5, place.card_end, tall + 1))
        if place.overflows:
            _paint_overflow(painter, place, tall)
        if self._parts:
            _paint_peak(painter, place, tall)
        self._paint_scale(painter, place, tall)
        painter.end()

    def _bar_height(self) -> float:
        return float(em(28 / 13))

    def _paint_scale(self, painter: QPainter, place: Geometry, tall: float) -> None:
        painter.setFont(font("caption"))
        painter.setPen(QColor(theme().text_3))
        wide, top = float(em(6)), tall + 4.0
        end_text = format_gib(self._card_bytes, 0)
        end_left = place.card_end - painter.fontMetrics().horizontalAdvance(end_text)
        for gib in tick_gib(self._card_bytes):
            at = gib * GIB * place.unit
            text = f"{gib:g}"
            half = painter.fontMetrics().horizontalAdvance(text) / 2
            if at + half > end_left - 4:
                continue
            if gib == 0:
                painter.drawText(QRectF(0, top, wide, em(1.3)), Qt.AlignmentFlag.AlignLeft, text)
            else:
                painter.drawText(QRectF(at - wide / 2, top, wide, em(1.3)), Qt.AlignmentFlag.AlignHCenter, text)
        painter.drawText(QRectF(place.card_end - wide, top, wide, em(1.3)), Qt.AlignmentFlag.AlignRight, end_text)

    def _part_text(self, x: float) -> str:
        for part, (left, right) in zip(self._parts, self.geometry_now().parts, strict=True):
            if left <= x < max(right, left + 3):
                said = f"{part.name}: {format_gib(part.num_bytes, 2)}"
                return f"{said}\n{part.explanation}" if part.explanation else said
        return ""

    def _as_table(self) -> str:
        lines = [
            f"{part.name}: {format_gib(part.num_bytes, 2)}" + (f". {part.explanation}" if part.explanation else "") for part in self._parts
        ]
        total = sum(part.num_bytes for part in self._parts if not part.outside)
        lines.append(self.tr("This run, at its peak: {0} ± {1}").format(format_gib(total, 2), format_gib(self._uncertainty_bytes, 2)))
        lines.append(self.tr("Card: {0}").format(format_gib(self._card_bytes, 2)))
        return "\n".join(lines)


def _paint_overflow(painter: QPainter, place: Geometry, tall: float) -> None:
    over = QRectF(place.card_end, 0, place.total_end - place.card_end, tall)
    painter.fillRect(over, QColor(theme().bad_soft))
    painter.fillRect(over, QBrush(QColor(theme().bad), Qt.BrushStyle.BDiagPattern))
    painter.setPen(QPen(QColor(theme().bad), 2))
    painter.drawLine(QPointF(place.card_end, -8), QPointF(place.card_end, tall + 4))


def _paint_peak(painter: QPainter, place: Geometry, tall: float) -> None:
    shade = QColor(theme().text)
    shade.setAlpha(60)
    low, high = place.band
    painter.fillRect(QRectF(low, 0, high - low, tall), shade)
    peak = place.total_end
    painter.setPen(QPen(QColor(theme().text), 2))
    painter.drawLine(QPointF(peak, -4), QPointF(peak, tall))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(theme().text))
    painter.drawPolygon([QPointF(peak - 4, -8), QPointF(peak + 4, -8), QPointF(peak, -2)])
    painter.setBrush(Qt.BrushStyle.NoBrush)


class Swatch(QWidget):
    """The square that ties a line of the list to a part of the bar.

    Args:
        key: The part's family; ``predicted`` is a dashed outline, ``free`` an empty one.
        outside: Hatched.
    """

    def __init__(self, key: str, *, outside: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._key = key
        self._outside = outside
        theme_manager().changed.connect(self._on_theme_changed)
        self._on_theme_changed()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the square."""
        painter = QPainter(self)
        area = QRectF(self.rect()).adjusted(0, 1, -2, -1)
        if self._key in ("predicted", "free"):
            dashed = self._key == "predicted"
            style = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine
            painter.setPen(QPen(QColor(theme().accent if dashed else theme().line_strong), 1.2 if dashed else 1, style))
            painter.drawRect(area.adjusted(0.5, 0.5, -0.5, -0.5))
        else:
            paint_part(painter, area, self._key, outside=self._outside)
        painter.end()

    def _on_theme_changed(self) -> None:
        self.setFixedSize(em(12 / 13), em(12 / 13))
        self.update()


class MemoryList(QWidget):
    """Every part with its number: swatch, name, GiB with two decimals; memory of other programs stands above a line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(6)
        self._grid.setColumnStretch(1, 1)
        self._shape: tuple[tuple[str, str, bool], ...] = ()
        self._labels: list[tuple[Label, Label]] = []
        self._stale = False

    def set_parts(self, parts: Sequence[MemoryPart]) -> None:
        """Show the parts; numbers change in place while the parts stay the same."""
        shape = tuple((part.key, part.name, part.outside) for part in parts)
        if shape != self._shape:
            self._rebuild(parts)
            self._shape = shape
        for (_, number), part in zip(self._labels, parts, strict=True):
            number.setText(format_gib(part.num_bytes, 2, unit=False))

    def set_stale(self, stale: bool) -> None:
        """Numbers from an earlier setting are grey until the new ones are there."""
        self._stale = stale
        for (name, number), (_, _, outside) in zip(self._labels, self._shape, strict=True):
            name.set_tone("2" if stale or outside else "")
            number.set_tone("2" if stale or outside else "")

    def _rebuild(self, parts: Sequence[MemoryPart]) -> None:
        clear(self._grid)
        self._labels = []
        line = 0
        for i, part in enumerate(parts):
            tone = "2" if part.outside or self._stale else ""
            labels = (Label(part.name, tone=tone), number_label(tone=tone))
            for label in labels:
                label.setToolTip(part.explanation)
                label.setAccessibleDescription(part.explanation)
            self._labels.append(labels)
            self._grid.addWidget(Swatch(part.key, outside=part.outside), line, 0)
            self._grid.addWidget(labels[0], line, 1)
            self._grid.addWidget(labels[1], line, 2)
            line += 1
            if part.outside and i + 1 < len(parts) and not parts[i + 1].outside:
                self._grid.addWidget(rule(), line, 0, 1, 3)
                line += 1


class GpuBar(_Painted):
    """The sidebar's small bar: other programs, this program, the predicted run dashed, a hard end where it does not fit."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._total = self._others = self._own = self._predicted = 0
        self.setAccessibleName(self.tr("Memory of the card"))

    def set_use(self, total_bytes: int, others_bytes: int, own_bytes: int = 0, predicted_bytes: int = 0) -> None:
        """Show the card's use now, and what the run being set up would add."""
        self._total, self._others, self._own, self._predicted = total_bytes, others_bytes, own_bytes, predicted_bytes
        spoken = self.tr("{0} in all, {1} used by other programs, {2} by this program, {3} predicted")
        self.setAccessibleDescription(spoken.format(*(format_gib(b) for b in (total_bytes, others_bytes, own_bytes, predicted_bytes))))
        self.update()

    def sizeHint(self) -> QSize:
        """As high as a line of small text."""
        return QSize(em(8), em(12 / 13))

    def minimumSizeHint(self) -> QSize:
        """Narrow enough for the rail."""
        return QSize(em(2), em(12 / 13))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the three kinds of memory inside the frame."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(self.rect())
        painter.setPen(QPen(QColor(theme().line_strong), 1))
        painter.setBrush(QColor(theme().surface))
        painter.drawRect(area.adjusted(0.5, 0.5, -0.5, -0.5))
        unit = (area.width() - 2) / max(self._total, 1)
        tall = area.height() - 2
        others, own = self._others * unit, self._own * unit
        paint_part(painter, QRectF(1, 1, others, tall), "other_programs", outside=True)
        if self._own:
            paint_part(painter, QRectF(1 + others, 1, own, tall), "weights", outside=False)
        if self._predicted:
            self._paint_predicted(painter, area, 1 + others + own, self._predicted * unit)
        painter.end()

    def _paint_predicted(self, painter: QPainter, area: QRectF, left: float, wide: float) -> None:
        end = area.width() - 1
        right = min(left + wide, end)
        painter.setPen(QPen(QColor(theme().accent), 1.2, Qt.PenStyle.DashLine))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if right - left > 1:
            painter.drawRect(QRectF(left + 0.5, 1.5, right - left - 1, area.height() - 3))
        if left + wide > end + 0.5:
            painter.fillRect(QRectF(area.width() - 3, 0, 3, area.height()), QColor(theme().bad))
