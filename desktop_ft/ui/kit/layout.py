"""Rows, columns, frames and the page that scrolls. Steps of the grid: 4, 8, 12, 16, 24."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtWidgets import QBoxLayout, QFrame, QGridLayout, QHBoxLayout, QLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from desktop_ft.ui.kit.text import Label

Item = QWidget | QLayout | int | None | tuple[QWidget, int] | tuple[QLayout, int]
"""A widget, a layout, a space in pixels, a stretch (``None``), or a pair with its stretch factor."""
Pad = tuple[int, int, int, int]
FrameName = Literal["", "sidebar", "page", "footer", "panel", "box", "well", "chip", "strip", "banner"]

NO_PAD: Pad = (0, 0, 0, 0)


def fill(layout: QBoxLayout, items: Iterable[Item]) -> None:
    """Append items to a layout."""
    for item in items:
        match item:
            case None:
                layout.addStretch(1)
            case int():
                layout.addSpacing(item)
            case (QWidget() as widget, int(stretch)):
                layout.addWidget(widget, stretch)
            case (QLayout() as inner, int(stretch)):
                layout.addLayout(inner, stretch)
            case QWidget():
                layout.addWidget(item)
            case QLayout():
                layout.addLayout(item)


def clear(layout: QLayout) -> None:
    """Take everything out of a layout and those in it, and let the widgets go; they are hidden at once, for Qt deletes them later."""
    while (item := layout.takeAt(0)) is not None:
        if (widget := item.widget()) is not None:
            widget.hide()
            widget.deleteLater()
        elif (inner := item.layout()) is not None:
            clear(inner)


def row(*items: Item, gap: int = 8, pad: Pad = NO_PAD) -> QHBoxLayout:
    """Items side by side; ``gap`` and ``pad`` (left, top, right, bottom) in logical pixels."""
    layout = QHBoxLayout()
    layout.setContentsMargins(*pad)
    layout.setSpacing(gap)
    fill(layout, items)
    return layout


def column(*items: Item, gap: int = 8, pad: Pad = NO_PAD) -> QVBoxLayout:
    """Items below each other; ``gap`` and ``pad`` (left, top, right, bottom) in logical pixels."""
    layout = QVBoxLayout()
    layout.setContentsMargins(*pad)
    layout.setSpacing(gap)
    fill(layout, items)
    return layout


def frame(layout: QLayout | None = None, name: FrameName = "box", *, tone: str = "") -> QFrame:
    """A named frame that the style sheet knows: page, panel, footer, sidebar, box, well, banner (with a verdict's tone)."""
    widget = QFrame()
    widget.setProperty("frame", name)
    if tone:
        widget.setProperty("tone", tone)
    if layout is not None:
        widget.setLayout(layout)
    return widget


def rule(*, vertical: bool = False) -> QFrame:
    """A grey line of one pixel."""
    widget = QFrame()
    widget.setProperty("frame", "rule")
    if vertical:
        widget.setFixedWidth(1)
    else:
        widget.setFixedHeight(1)
    return widget


def grid(*, gap: int = 16, line_gap: int = 6, pad: Pad = NO_PAD) -> QGridLayout:
    """An empty grid; ``gap`` between columns, ``line_gap`` between rows."""
    layout = QGridLayout()
    layout.setContentsMargins(*pad)
    layout.setHorizontalSpacing(gap)
    layout.setVerticalSpacing(line_gap)
    return layout


def facts_grid(facts: Sequence[tuple[str, str]], columns: int = 2) -> QGridLayout:
    """Pairs of name and value in equal columns, read row by row."""
    layout = grid()
    for i, (name, value) in enumerate(facts):
        line, at = divmod(i, columns)
        layout.addWidget(Label(name, tone="2"), line, 2 * at)
        layout.addWidget(Label(value, wrap=True, selectable=True), line, 2 * at + 1)
        layout.setColumnStretch(2 * at + 1, 1)
    return layout


class VerticalScrollPage(QScrollArea):
    """A page that scrolls down when it must and never sideways: it is at least as wide as its content needs.

    Args:
        content: Its layout.
        name: Accessible name of the region.
    """

    def __init__(self, content: QLayout, *, name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "page")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(name)
        inner = QWidget()
        inner.setProperty("frame", "scrolled")
        inner.setLayout(content)
        inner.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self._inner = inner
        self.setWidget(inner)
        inner.installEventFilter(self)

    def minimumSizeHint(self) -> QSize:
        """As wide as the content with the scroll bar beside it; any height."""
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(self._inner.minimumSizeHint().width() + bar, 64)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the content's smallest width."""
        if watched is self._inner and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)
