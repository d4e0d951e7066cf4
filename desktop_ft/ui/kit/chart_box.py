"""A chart in its box, and one crosshair over several of them."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QFrame, QWidget

from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.plots import CurvePlot
from desktop_ft.ui.kit.text import ElidedLabel, Label


class ChartBox(QFrame):
    """A chart in its box: heading, the value now as a figure, anything else at the right, the chart below.

    Args:
        title: Such as "Tokens per second".
        plot: The chart.
        note: Behind the title in grey.
        main: A large chart's heading is set as a section; a small one's is plain.
        tools: Widgets at the right of the heading.
    """

    def __init__(
        self,
        title: str,
        plot: CurvePlot,
        *,
        note: str = "",
        main: bool = False,
        tools: Sequence[QWidget] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setProperty("frame", "box")
        self.plot = plot
        self._value = Label(weight=600)
        self._value.hide()
        self._heading = Label(title, "section") if main else ElidedLabel(title, tone="2")
        self._note = ElidedLabel(note, tone="2") if note else None
        rest = row((self._heading, 1)) if self._note is None else row(self._heading, (self._note, 1))
        head = row((rest, 1), *tools, self._value)
        head.addStrut(28 if main else 0)
        self.setLayout(column(head, (plot, 1), gap=4, pad=(12, 8, 12, 2)))

    def set_title(self, title: str) -> None:
        """Call it something else, such as with another unit."""
        if self._heading.text() != title:
            self._heading.setText(title)

    def title(self) -> str:
        """What it is called."""
        return self._heading.text()

    def set_note(self, note: str) -> None:
        """Say something else behind the title; the box was made with a note."""
        assert self._note is not None, "the box was made without a note"
        self._note.setText(note)

    def set_meaning(self, meaning: str) -> None:
        """Explain the title in its tooltip, and to a screen reader."""
        self._heading.setToolTip(meaning)
        self.setAccessibleName(self._heading.text())
        self.setAccessibleDescription(meaning)

    def set_value(self, text: str) -> None:
        """The value now."""
        self._value.setText(text)
        self._value.setVisible(bool(text))

    def value(self) -> str:
        """The value that is shown."""
        return self._value.text()


def link_crosshairs(plots: Sequence[CurvePlot]) -> None:
    """Moving the crosshair of one chart moves it in all."""
    for source in plots:
        for other in plots:
            if other is not source:
                source.crosshair_moved.connect(other.set_crosshair)
