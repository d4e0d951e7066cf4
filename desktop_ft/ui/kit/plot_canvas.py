"""The only room that imports pyqtgraph: curves that stay fast at a million points, inside a view that we paint around.

pyqtgraph has no type information: what is used of it is named here as protocols.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import pyqtgraph
from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QFrame, QGraphicsView, QMenu, QWidget

from desktop_ft.ui.kit.plot_math import Array
from desktop_ft.ui.kit.theme import theme


class Curve(Protocol):
    """What is used of pyqtgraph's PlotDataItem."""

    def setData(self, x: Array, y: Array, **options: object) -> None:
        """Show other values."""
        ...

    def setPen(self, pen: QPen) -> None:
        """The line's pen, in device pixels."""
        ...

    def setSymbolBrush(self, brush: QColor) -> None:
        """The inside of the points."""
        ...

    def setSymbolPen(self, pen: QPen) -> None:
        """The ring of the points."""
        ...

    def setSymbolSize(self, size: float) -> None:
        """The points' diameter."""
        ...


class _ViewBox(Protocol):
    """What is used of pyqtgraph's ViewBox."""

    def setRange(self, **ranges: object) -> None: ...
    def setMouseEnabled(self, x: bool, y: bool) -> None: ...
    def sceneBoundingRect(self) -> QRectF: ...


class _Layout(Protocol):
    """What is used of the graphics layout inside a plot."""

    def setContentsMargins(self, left: float, top: float, right: float, bottom: float) -> None: ...
    def activate(self) -> None: ...


class _PlotItem(Protocol):
    """What is used of pyqtgraph's PlotItem."""

    layout: _Layout
    ctrlMenu: QMenu

    def hideAxis(self, side: str) -> None: ...
    def hideButtons(self) -> None: ...
    def getViewBox(self) -> _ViewBox: ...
    def addItem(self, item: object) -> None: ...
    def removeItem(self, item: object) -> None: ...
    def disableAutoRange(self) -> None: ...


def new_curve(*, points: bool) -> Curve:
    """A line with gaps at NaN, or hollow points with a line. The caller thins long lines: pyqtgraph's own thinning did not set in."""
    item = pyqtgraph.PlotDataItem(antialias=True, connect="finite", symbol="o" if points else None)
    return cast(Curve, item)


class Canvas(pyqtgraph.PlotWidget):
    """pyqtgraph's view with our painting under and over the curves; its own axes, menus and mouse are off."""

    def __init__(self, paint_below: Callable[[QPainter], None], paint_above: Callable[[QPainter], None], parent: QWidget) -> None:
        super().__init__(parent, enableMenu=False)
        self._below, self._above = paint_below, paint_above
        view = cast(QGraphicsView, self)
        view.setFrameShape(QFrame.Shape.NoFrame)
        view.setCacheMode(QGraphicsView.CacheModeFlag.CacheNone)
        view.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.FullViewportUpdate)
        view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        view.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.plot_item = cast(_PlotItem, self.getPlotItem())
        for side in ("left", "bottom"):
            self.plot_item.hideAxis(side)
        self.plot_item.hideButtons()
        # a menu that nobody can open is made all the same, without an owner
        self.plot_item.ctrlMenu.setParent(view, Qt.WindowType.Popup)
        self.plot_item.disableAutoRange()
        self.view_box = self.plot_item.getViewBox()
        self.view_box.setMouseEnabled(x=False, y=False)

    def drawBackground(self, painter: QPainter, rect: QRectF | QRect) -> None:
        """The surface, then what lies under the curves."""
        painter.fillRect(rect, QColor(theme().surface))
        self._below(painter)

    def drawForeground(self, painter: QPainter, rect: QRectF | QRect) -> None:
        """What lies over the curves."""
        self._above(painter)
