"""Charts of training. A chart is given whole series by name, at most ten times a second; it draws them, explains them, exports them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from PySide6.QtCore import QEvent, QObject, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QColor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from desktop_ft.ui.kit import plot_export, plot_paint
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.plot_canvas import Canvas, new_curve
from desktop_ft.ui.kit.plot_math import Array, Numbers, Smoother, merge_ranges, nearest_index
from desktop_ft.ui.kit.plot_paint import CrossLine, EndLabel, PlotFrame, SeriesMark
from desktop_ft.ui.kit.plot_series import PlotSeries, SeriesStyle, value_text, with_air
from desktop_ft.ui.kit.text import format_number
from desktop_ft.ui.kit.theme import theme, theme_manager

__all__ = ["CurvePlot", "SeriesMark", "SeriesStyle"]

MAX_LABELS = 3


class CurvePlot(QWidget):
    """Curves over steps: grid, direct labels, crosshair, bands and limits, in the colours in force.

    Keys: L log scale, + and - zoom, 0 the whole run, arrows move the crosshair, Home and End go to its ends. Dragging selects
    a part to zoom into, a double click shows the whole run, Ctrl and the wheel zoom.

    Args:
        name: Accessible name, such as "Loss, nats per trained token".
        decimals: Digits of values in labels and in the crosshair's box.
        x_name: What x counts, before its number in the box.
        labels: Direct labels at the lines' ends (up to three lines).
        box: Write the values beside the crosshair; a small chart has no room and says them elsewhere (see `crosshair_lines`).
    """

    crosshair_moved = Signal(object)
    log_scale_changed = Signal(bool)

    def __init__(
        self,
        name: str,
        *,
        decimals: int = 3,
        x_name: str = "",
        labels: bool = True,
        box: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._series: dict[str, PlotSeries] = {}
        self._decimals = decimals
        self._x_name = x_name or self.tr("step")
        self._with_labels = labels
        self._with_box = box
        self._keep = 0.94
        self._log = False
        self._whole_x: tuple[float, float] | None = None
        self._zoom: tuple[float, float] | None = None
        self._y_floor: float | None = None
        self._y_range = (0.0, 1.0)
        self._band: tuple[float, float, int, str] | None = None
        self._reference: tuple[float, str, str] | None = None
        self._crosshair: float | None = None
        self._drag: tuple[float, float] | None = None
        self._num_holds = 0
        self._is_refit_due = False
        self._canvas = Canvas(self._paint_below, self._paint_above, self)
        self._canvas.viewport().installEventFilter(self)
        self._canvas.viewport().setMouseTracking(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(cast(QWidget, self._canvas))
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        theme_manager().changed.connect(self._on_theme_changed)

    @contextmanager
    def updating(self) -> Generator[None]:
        """Several changes within are fitted and drawn once, at the end."""
        self._num_holds += 1
        try:
            yield
        finally:
            self._num_holds -= 1
            if self._is_refit_due and not self._num_holds:
                self._refit()

    # -- data ------------------------------------------------------------------------------------------------------------

    def add_series(self, key: str, label: str, *, colour: int = 0, style: SeriesStyle = "line", dash: int = 0) -> None:
        """Announce a series.

        Args:
            key: Its name for `set_data`.
            label: Its name in labels, box and CSV.
            colour: Index of the theme's series colours.
            style: ``line`` 2 px; ``smoothed`` raw and faint with the exponential mean on top; ``points`` hollow points with a thin
                dashed line, never smoothed; ``future`` dotted.
            dash: Dash of a compared run, see `plot_paint.dash_style`.
        """
        raw = new_curve(points=False) if style == "smoothed" else None
        main = new_curve(points=style == "points")
        for item in (raw, main):
            if item is not None:
                self._canvas.plot_item.addItem(item)
        self._series[key] = PlotSeries(label, colour, style, dash, main, raw, Smoother(self._keep))
        self._series[key].apply_pens(self.devicePixelRatioF())

    def remove_series(self, key: str) -> None:
        """Take a series away; an unknown key is nothing to do."""
        if (series := self._series.pop(key, None)) is not None:
            for item in (series.raw, series.main):
                if item is not None:
                    self._canvas.plot_item.removeItem(item)
            self._refit()

    def series_keys(self) -> tuple[str, ...]:
        """The series in the order of their announcement."""
        return tuple(self._series)

    def set_data(self, key: str, x: Numbers, y: Numbers) -> None:
        """Show a whole series.

        Args:
            key: From `add_series`.
            x: [N] ascending.
            y: [N]; values that are not finite are gaps, marked on the axis.
        """
        series = self._series[key]
        series.set_values(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        self._refit()

    def set_band(self, low: float, high: float, *, colour: int = 3, label: str = "") -> None:
        """Show a predicted range over the whole run."""
        self._band = (low, high, colour, label)
        self._refit()

    def set_reference(self, value: float | None, label: str = "", tone: str = "bad") -> None:
        """Show a limit with its words, or none."""
        self._reference = None if value is None else (value, label, tone)
        self._refit()

    def clear_band(self) -> None:
        """Show no predicted range."""
        self._band = None
        self._refit()

    def set_smoothing(self, keep: float) -> None:
        """Weight of the past in the exponential mean, 0 to below 1."""
        self._keep = min(max(keep, 0.0), 0.9995)
        for series in self._series.values():
            series.set_smoother(Smoother(self._keep))
        self._refit()

    def smoothed_values(self, key: str) -> Array:
        """The series as drawn: its exponential mean, or its values."""
        return self._series[key].drawn()

    # -- view ------------------------------------------------------------------------------------------------------------

    def set_x_range(self, low: float, high: float) -> None:
        """The axis is as long as the run, from its first step."""
        self._whole_x = (low, high)
        self._refit()

    def set_y_floor(self, floor: float | None) -> None:
        """Where the y axis starts; ``None`` follows the data. A rate starts at 0."""
        self._y_floor = floor
        self._refit()

    def set_log(self, log: bool) -> None:
        """Logarithmic y axis; values that are not positive become gaps."""
        if log == self._log:
            return
        self._log = log
        self._refit()
        self.log_scale_changed.emit(log)

    def is_log(self) -> bool:
        """Whether y is logarithmic."""
        return self._log

    def x_range(self) -> tuple[float, float]:
        """The x that is seen now."""
        return self._zoom or self._whole_range()

    def zoom(self, factor: float, centre: float | None = None) -> None:
        """Show ``1 / factor`` of what is seen, around a place (the crosshair, or the middle)."""
        low, high = self.x_range()
        whole_low, whole_high = self._whole_range()
        at = centre if centre is not None else self._crosshair if self._crosshair is not None else (low + high) / 2
        span = min((high - low) / factor, whole_high - whole_low)
        share = (at - low) / ((high - low) or 1.0)
        start = min(max(at - share * span, whole_low), whole_high - span)
        self._zoom = None if span >= (whole_high - whole_low) * 0.999 else (start, start + span)
        self._refit()

    def show_whole(self) -> None:
        """Show the whole run."""
        self._zoom = None
        self._refit()

    def frame_now(self) -> PlotFrame:
        """The inner rectangle and its ranges, for painting and tests."""
        left, top, right, bottom = self._margins()
        area = QRectF(self._canvas.viewport().rect()).adjusted(left, top, -right, -bottom)
        return PlotFrame(area, self.x_range(), self._y_range, self._log)

    # -- crosshair ---------------------------------------------------------------------------------------------------------

    def set_crosshair(self, x: float | None) -> None:
        """Put the crosshair at an x, or take it away; says nothing back, so that charts can be linked."""
        self._crosshair = x
        self._canvas.viewport().update()

    def crosshair(self) -> float | None:
        """Where the crosshair stands."""
        return self._crosshair

    def crosshair_lines(self) -> list[CrossLine]:
        """What the crosshair's box says: the step, then each series at it (points: at their own step)."""
        if self._crosshair is None:
            return []
        snapped = self._snap(self._crosshair)
        lines = [CrossLine(f"{self._x_name} {format_number(snapped)}")]
        for series in self._series.values():
            line = series.crosshair_line(snapped, self._decimals)
            if line is not None:
                lines.append(line)
        return lines

    def value_at(self, key: str) -> float | None:
        """The drawn value of a series at the crosshair, else its newest; None where there is none."""
        series = self._series[key]
        if self._crosshair is None or not len(series.x):
            return None if series.last is None else series.last[1]
        if not series.x[0] <= self._crosshair <= series.x[-1]:
            return None
        value = float(series.drawn()[nearest_index(series.x, self._crosshair)])
        return value if np.isfinite(value) else None

    def _snap(self, x: float) -> float:
        lines = [s for s in self._series.values() if len(s.x) and s.style != "points"]
        return float(lines[0].x[nearest_index(lines[0].x, x)]) if lines else round(x)

    def _move_crosshair(self, x: float | None, *, speak: bool = False) -> None:
        self.set_crosshair(x)
        self.crosshair_moved.emit(x)
        if speak:
            text = ", ".join(f"{line.text} {line.note}".strip() for line in self.crosshair_lines())
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, text))

    def _step_crosshair(self, step: int) -> None:
        lines = [s.x for s in self._series.values() if len(s.x)]
        if not lines:
            return
        x = lines[0]
        at = len(x) - 1 if self._crosshair is None else nearest_index(x, self._crosshair) + step
        self._move_crosshair(float(x[min(max(at, 0), len(x) - 1)]), speak=True)

    # -- export ------------------------------------------------------------------------------------------------------------

    def export_png(self, path: Path, scale: float = 2.0) -> None:
        """Write the chart as seen, ``scale`` pixels per logical pixel.

        Raises:
            DesktopFtError: The file cannot be written.
        """
        plot_export.write_png(path, self._canvas.size(), scale, self._render)

    def export_svg(self, path: Path) -> None:
        """Write the chart as vectors.

        Raises:
            DesktopFtError: The file cannot be written.
        """
        plot_export.write_svg(path, self._canvas.size(), self.accessibleName(), self._render)

    def export_csv(self, path: Path) -> None:
        """Write the numbers: one row per x, one column per series, smoothed series also as drawn; a gap is empty.

        Raises:
            DesktopFtError: The file cannot be written.
        """
        plot_export.write_csv(path, self._x_name, list(self._series.values()))

    def _render(self, painter: QPainter) -> None:
        crosshair, self._crosshair = self._crosshair, None
        QWidget.render(cast(QWidget, self._canvas), painter, QPoint(0, 0))
        self._crosshair = crosshair

    # -- events ------------------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The keys of a chart; other keys go on to the page."""
        commands: dict[int, Callable[[], object]] = {
            Qt.Key.Key_L: lambda: self.set_log(not self._log),
            Qt.Key.Key_Plus: lambda: self.zoom(1.5),
            Qt.Key.Key_Equal: lambda: self.zoom(1.5),
            Qt.Key.Key_Minus: lambda: self.zoom(1 / 1.5),
            Qt.Key.Key_0: self.show_whole,
            Qt.Key.Key_Left: lambda: self._step_crosshair(-self._key_step()),
            Qt.Key.Key_Right: lambda: self._step_crosshair(self._key_step()),
            Qt.Key.Key_Home: lambda: self._step_crosshair(-(10**9)),
            Qt.Key.Key_End: lambda: self._step_crosshair(10**9),
        }
        plain = event.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier)
        command = commands.get(event.key()) if plain == Qt.KeyboardModifier.NoModifier else None
        if command is None:
            super().keyPressEvent(event)
            return
        command()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The mouse belongs to the chart: crosshair, drag to zoom, double click, Ctrl and wheel."""
        match event.type():
            case QEvent.Type.Leave:
                self._move_crosshair(None)
            case QEvent.Type.Resize:
                self._refit()
            case QEvent.Type.MouseMove | QEvent.Type.MouseButtonPress | QEvent.Type.MouseButtonRelease:
                self._on_mouse(cast(QMouseEvent, event))
                return True
            case QEvent.Type.MouseButtonDblClick:
                self.show_whole()
                return True
            case QEvent.Type.Wheel:
                return self._on_wheel(cast(QWheelEvent, event))
            case _:
                pass
        return super().eventFilter(watched, event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """The ring shows who has the keys."""
        super().focusInEvent(event)
        self._canvas.viewport().update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """The ring goes."""
        super().focusOutEvent(event)
        self._canvas.viewport().update()

    def event(self, event: QEvent) -> bool:
        """Pens count device pixels: another screen needs other pens."""
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self._on_theme_changed()
        return super().event(event)

    def sizeHint(self) -> QSize:
        """A small chart; pages give more."""
        return QSize(em(24), em(14))

    def minimumSizeHint(self) -> QSize:
        """Small enough for three beside each other in the narrow window."""
        return QSize(em(11), em(8))

    def _key_step(self) -> int:
        """Arrow keys cross what is seen in about a hundred presses."""
        low, high = self.x_range()
        lines = [s.x for s in self._series.values() if len(s.x)]
        if not lines:
            return 1
        seen = int(np.searchsorted(lines[0], high) - np.searchsorted(lines[0], low))
        return max(1, seen // 100)

    def _on_mouse(self, event: QMouseEvent) -> None:
        place = self.frame_now()
        x = place.x_value(event.position().x())
        if event.type() == QEvent.Type.MouseButtonPress and event.button() == Qt.MouseButton.LeftButton:
            self.setFocus(Qt.FocusReason.MouseFocusReason)
            self._drag = (x, x)
        elif event.type() == QEvent.Type.MouseButtonRelease and self._drag is not None:
            self._end_drag(place)
        elif self._drag is not None:
            self._drag = (self._drag[0], x)
        low, high = place.x_range
        self._move_crosshair(x if low <= x <= high else None)

    def _end_drag(self, place: PlotFrame) -> None:
        assert self._drag is not None
        low, high = sorted(self._drag)
        self._drag = None
        if place.x_pixel(high) - place.x_pixel(low) > 8:
            whole_low, whole_high = self._whole_range()
            self._zoom = (max(low, whole_low), min(high, whole_high))
            self._refit()

    def _on_wheel(self, event: QWheelEvent) -> bool:
        if not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            event.ignore()  # the page scrolls
            return True
        self.zoom(1.2 if event.angleDelta().y() > 0 else 1 / 1.2, self.frame_now().x_value(event.position().x()))
        return True

    # -- drawing -----------------------------------------------------------------------------------------------------------

    def _whole_range(self) -> tuple[float, float]:
        if self._whole_x is not None:
            return self._whole_x
        ends = [(float(s.x[0]), float(s.x[-1])) for s in self._series.values() if len(s.x)]
        low, high = merge_ranges(ends) or (0.0, 1.0)
        return (low, high) if high > low else (low, low + 1)

    def _refit(self) -> None:
        """Fit y to what is seen of x, and tell pyqtgraph; one place, so that curves and painting never disagree."""
        self._is_refit_due = self._num_holds > 0
        if self._is_refit_due:
            return
        self._y_range = self._fit_y()
        place = self.frame_now()
        left, top, right, bottom = self._margins()
        self._canvas.plot_item.layout.setContentsMargins(left, top, right, bottom)
        self._canvas.plot_item.layout.activate()
        y_range = tuple(plot_paint.view_value(v, log=self._log) for v in place.y_range)
        self._canvas.view_box.setRange(xRange=place.x_range, yRange=y_range, padding=0, disableAutoRange=True)
        for series in self._series.values():
            series.draw(place.x_range, max(16, round(place.area.width())), log=self._log)
        spoken = [series.spoken(self._x_name, self._decimals) for series in self._series.values()]
        self.setAccessibleDescription("; ".join(part for part in spoken if part) or self.tr("No values yet"))
        self._canvas.viewport().update()

    def _fit_y(self) -> tuple[float, float]:
        low, high = self.x_range()
        ranges = [series.seen_range(low, high, log=self._log) for series in self._series.values()]
        if self._band is not None:
            ranges.append(self._band[:2])
        if self._reference is not None:
            ranges.append((self._reference[0], self._reference[0]))
        found = merge_ranges(ranges)
        if found is None:
            return (0.1, 1.0) if self._log else (0.0, 1.0)
        headroom = self._reference is not None and self._reference[0] >= found[1]
        return with_air(*found, log=self._log, floor=self._y_floor, headroom=headroom)

    def _margins(self) -> tuple[float, float, float, float]:
        rough = PlotFrame(QRectF(0, 0, self.width(), max(self.height() - em(2.8), 1)), self.x_range(), self._y_range, self._log)
        return plot_paint.axis_width(rough), em(0.7), em(0.9), em(2.0)

    def _is_empty(self) -> bool:
        return not any(len(series.x) for series in self._series.values())

    def _paint_below(self, painter: QPainter) -> None:
        if self._is_empty():
            return
        place = self.frame_now()
        plot_paint.paint_grid(painter, place)
        if self._band is not None:
            low, high, colour, _ = self._band
            plot_paint.paint_band(painter, place, low, high, colour)

    def _paint_above(self, painter: QPainter) -> None:
        place = self.frame_now()
        if self._is_empty():
            plot_paint.paint_empty(painter, place, self.tr("No values yet"))
            self._paint_ring(painter)
            return
        plot_paint.paint_axes(painter, place)
        for series in self._series.values():
            plot_paint.paint_gaps(painter, place, series.gaps)
        if self._reference is not None:
            plot_paint.paint_reference(painter, place, *self._reference)
        if self._band is not None and self._band[3]:
            low, _, colour, words = self._band
            plot_paint.paint_band_label(painter, place, low, words, colour)
        plot_paint.paint_end_labels(painter, place, self.end_labels())
        if self._drag is not None:
            self._paint_drag(painter, place)
        if self._crosshair is not None and place.x_range[0] <= self._crosshair <= place.x_range[1]:
            plot_paint.paint_crosshair(painter, place, self._snap(self._crosshair), self.crosshair_lines() if self._with_box else [])
        self._paint_ring(painter)

    def _paint_ring(self, painter: QPainter) -> None:
        if self.hasFocus():
            painter.setPen(QPen(QColor(theme().accent), 2))
            painter.drawRoundedRect(QRectF(self._canvas.viewport().rect()).adjusted(1, 1, -1, -1), 4, 4)

    def _paint_drag(self, painter: QPainter, place: PlotFrame) -> None:
        assert self._drag is not None
        left, right = sorted(place.x_pixel(x) for x in self._drag)
        shade = QColor(theme().accent)
        shade.setAlpha(40)
        painter.fillRect(QRectF(left, place.area.top(), right - left, place.area.height()), shade)

    def end_labels(self) -> list[EndLabel]:
        """The direct labels that are drawn: each line's last value, all behind the end of the longest."""
        if not self._with_labels:
            return []
        labels: list[EndLabel] = []
        for series in self._series.values():
            last = series.last
            if last is not None and series.style != "future":
                labels.append(EndLabel(*last, f"{series.label} {value_text(last[1], self._decimals)}", series.mark(), series.colour))
        if not 0 < len(labels) <= MAX_LABELS:
            return []
        end = max(label.x for label in labels)
        low, high = self.x_range()
        return [replace(label, x=end) for label in labels] if low <= end <= high else []

    def _on_theme_changed(self) -> None:
        for series in self._series.values():
            series.apply_pens(self.devicePixelRatioF())
        self._refit()
