"""One series of a chart: its values, the curves that show them, and what is said about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QColor, QPen

from desktop_ft.ui.kit.plot_canvas import Curve
from desktop_ft.ui.kit.plot_math import Array, Smoother, merge_ranges, nearest_index, padded_range, robust_range, thin, trend
from desktop_ft.ui.kit.plot_paint import CrossLine, MarkKind, dash_style, dash_width, series_colour
from desktop_ft.ui.kit.text import format_learning_rate, format_number
from desktop_ft.ui.kit.theme import theme

SeriesStyle = Literal["line", "smoothed", "points", "future"]
RAW_ALPHA = 90
MAX_GAPS = 200


def _tr(text: str) -> str:
    return QCoreApplication.translate("kit.plot_series", text)


@dataclass
class PlotSeries:
    """One named series and the curves that show it."""

    label: str
    colour: int
    style: SeriesStyle
    dash: int
    main: Curve
    raw: Curve | None
    smoother: Smoother
    x: Array = field(default_factory=lambda: np.empty(0))
    y: Array = field(default_factory=lambda: np.empty(0))
    smooth: Array = field(default_factory=lambda: np.empty(0))
    gaps: list[float] = field(default_factory=list)
    last: tuple[float, float] | None = None

    def drawn(self) -> Array:
        """What the main curve shows: the smoothed values, or the values themselves."""
        return self.smooth if self.style == "smoothed" else self.y

    def mark(self) -> MarkKind:
        """Its glyph in labels and legends."""
        return "points" if self.style == "points" else "future" if self.style == "future" else "line"

    def set_values(self, x: Array, y: Array) -> None:
        """Take a whole series; what is said of it is worked out here, once."""
        assert x.shape == y.shape, f"{self.label}: x {x.shape}, y {y.shape}"
        self.x, self.y = x, y
        if self.style == "smoothed":
            self.smooth = self.smoother.smooth(y)
        missing = x[~np.isfinite(y)]
        self.gaps = missing[:: max(1, len(missing) // MAX_GAPS)].tolist()
        at = len(y) - 1
        while at >= 0 and not np.isfinite(y[at]):
            at -= 1
        self.last = (float(x[at]), float(self.drawn()[at])) if at >= 0 else None

    def set_smoother(self, smoother: Smoother) -> None:
        """Smooth anew."""
        self.smoother = smoother
        self.set_values(self.x, self.y)

    def draw(self, seen: tuple[float, float], buckets: int, *, log: bool) -> None:
        """Hand to the curves what is seen of the values, no finer than ``buckets`` columns of pixels."""
        if self.raw is not None:
            x, y = thin(self.x, self.y, seen, buckets)
            self.raw.setData(x, view_values(y, log=log))
        smoothed = self.style == "smoothed"
        x, y = (
            (self.x, self.y)
            if self.style == "points"
            else thin(self.x, self.drawn(), seen, buckets // 2 if smoothed else buckets, mean=smoothed)
        )
        self.main.setData(x, view_values(y, log=log))

    def apply_pens(self, ratio: float) -> None:
        """Take the colours in force. pyqtgraph's pens count device pixels: ``ratio`` is the device pixel ratio."""

        def pen(width: float, style: Qt.PenStyle = Qt.PenStyle.SolidLine, alpha: int = 255) -> QPen:
            made = QPen(series_colour(self.colour, alpha), width * ratio, style)
            made.setCosmetic(True)
            return made

        if self.raw is not None:
            self.raw.setPen(pen(1, alpha=RAW_ALPHA))
        match self.style:
            case "points":
                self.main.setPen(pen(1.2, Qt.PenStyle.DashLine))
                self.main.setSymbolBrush(QColor(theme().surface))
                self.main.setSymbolPen(pen(1.8))
                self.main.setSymbolSize(8)
            case "future":
                self.main.setPen(pen(1.2, Qt.PenStyle.DotLine))
            case _:
                self.main.setPen(pen(dash_width(self.dash), dash_style(self.dash)))

    def seen_range(self, low: float, high: float, *, log: bool) -> tuple[float, float] | None:
        """The y range of what lies between two x."""
        a, b = int(np.searchsorted(self.x, low)), int(np.searchsorted(self.x, high, side="right"))
        parts = [values[a:b] for values in (self.y, self.drawn())]
        return merge_ranges([robust_range(part[part > 0] if log else part) for part in parts])

    def crosshair_line(self, x: float, decimals: int) -> CrossLine | None:
        """What the crosshair's box says of this series; points speak for their own last step."""
        if not len(self.x):
            return None
        if self.style == "points":
            at = int(np.searchsorted(self.x, x, side="right")) - 1
            note = _tr("at {0}").format(format_number(float(self.x[at])))
            return CrossLine(f"{self.label} {value_text(self.y[at], decimals)}", note) if at >= 0 else None
        if not self.x[0] <= x <= self.x[-1]:
            return None
        at = nearest_index(self.x, x)
        note = _tr("(raw {0})").format(value_text(self.y[at], decimals)) if self.style == "smoothed" else ""
        return CrossLine(f"{self.label} {value_text(self.drawn()[at], decimals)}", note)

    def spoken(self, x_name: str, decimals: int) -> str:
        """Its last value and where it is going, in words."""
        last = self.last
        if last is None:
            return ""
        words = {"rising": _tr("rising"), "falling": _tr("falling"), "level": _tr("level"), "unknown": ""}
        where = _tr("{0} {1} at {2} {3}").format(self.label, value_text(last[1], decimals), x_name, format_number(last[0]))
        return ", ".join(part for part in (where, words[trend(self.drawn()[-2000:])]) if part)


def view_values(y: Array, *, log: bool) -> Array:
    """What is handed to the curves: gaps as NaN, logarithms where asked."""
    shown = np.where(np.isfinite(y), y, np.nan)
    if not log:
        return shown
    return np.log10(shown, out=np.full(len(shown), np.nan), where=shown > 0)


def value_text(value: float, decimals: int) -> str:
    """A value in labels and in the crosshair's box; very small ones keep their digits."""
    if value != 0 and abs(value) < 0.5 * 10**-decimals:
        return format_learning_rate(float(value))
    return format_number(float(value), decimals)


def with_air(low: float, high: float, *, log: bool, floor: float | None, headroom: bool) -> tuple[float, float]:
    """A y range with a little air: a factor on a logarithmic axis, a share on a linear one.

    Args:
        low: Smallest value seen.
        high: Largest value seen.
        log: Logarithmic; then low must be positive.
        floor: Where a linear axis starts instead.
        headroom: Leave room above for the words of a limit.
    """
    if log:
        low = max(low, high * 1e-12)
        air = max((high / low) ** 0.06, 1.02)
        return low / air, high * air
    bottom, top = padded_range(low, high)
    if headroom:
        top += (top - bottom) * 0.1
    return (bottom if floor is None else floor, top)
