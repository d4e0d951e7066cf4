"""Memory that a run leaves over: what it could be spent on, each with its gain and one click; and how long examples may be."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop_ft.core.memory.estimate import MemoryEstimate, Suggestion
from desktop_ft.core.memory.limits import Limits
from desktop_ft.ui.kit.buttons import Button, button
from desktop_ft.ui.kit.layout import clear, column, row
from desktop_ft.ui.kit.text import ElidedLabel, Label, format_gib, format_number

MOST = 2
WORTH_SAYING = 0.95
"""Ways that leave more than this of a step's time are not worth a line."""


class SpareBox(QWidget):
    """``apply_requested`` carries the changes of the line that was clicked."""

    apply_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = Label("", "section")
        self._lines = QVBoxLayout()
        self._lines.setContentsMargins(0, 0, 0, 0)
        self._lines.setSpacing(6)
        self.setLayout(column(self.title, self._lines, gap=8))
        self.buttons: list[Button] = []
        self._shown: object = None
        self.hide()

    def set_facts(self, bill: MemoryEstimate | None, found: Limits | None, max_length: int) -> None:
        """Show what an estimate leaves over and, where they were searched, the limits; nothing where there is nothing to say."""
        ways = () if bill is None else tuple(way for way in bill.faster if way.slowdown < WORTH_SAYING)[:MOST]
        unused = format_gib(bill.free_bytes - bill.total_bytes) if bill is not None and ways else ""
        shown = (ways, unused, found, max_length)
        if shown == self._shown:
            return
        self._shown = shown
        clear(self._lines)
        self.buttons = []
        self.title.setText(self.tr("{0} are unused").format(unused) if ways else self.tr("Room for more"))
        for way in ways:
            self._add(way.title, self._gain(way), way.set)
        if found is not None:
            self._add_limits(found, max_length)
        self.setVisible(self._lines.count() > 0)

    def _gain(self, way: Suggestion) -> str:
        return self.tr("{0} × faster").format(format_number(1 / way.slowdown, 1))

    def _add_limits(self, found: Limits, max_length: int) -> None:
        if found.longest_context > max_length:
            words = self.tr("{0} tokens an example").format(format_number(found.longest_context))
            self._add(words, self.tr("fit"), {"data.max_length": found.longest_context})
        if found.largest_model is not None:
            self._add(self.tr("Models up to {0}").format(found.largest_model), self.tr("fit"), None)

    def _add(self, words: str, gain: str, changes: Mapping[str, object] | None) -> None:
        line = QWidget()
        line.setToolTip(words)
        parts: list[object] = [(column(ElidedLabel(words), Label(gain, "caption", "2"), gap=0), 1)]
        if changes is not None:
            apply = button(self.tr("Apply"), "link", on_click=lambda: self.apply_requested.emit(changes))
            apply.setAccessibleName(self.tr("Apply: {0}").format(words))
            self.buttons.append(apply)
            parts.append(apply)
        line.setLayout(row(*parts, gap=8))  # pyright: ignore[reportArgumentType] - widgets and a stretched column
        self._lines.addWidget(line)
