"""A card to choose: a radio button with a plain line; the whole card can be clicked."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QFrame, QRadioButton, QWidget

from desktop_ft.ui.kit.layout import Item, column
from desktop_ft.ui.kit.style_sheet import set_property
from desktop_ft.ui.kit.text import Label


class ChoiceCard(QFrame):
    """One choice.

    Args:
        key: What `chosen` carries.
        title: With a mnemonic.
        line: When to choose it.
        below: What stands below the line.
    """

    chosen = Signal(str)

    def __init__(self, key: str, title: str, line: str, *below: Item, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.key = key
        self.setProperty("frame", "box")
        self.radio = QRadioButton(title)
        self.radio.setAccessibleDescription(line)
        self.radio.setAccessibleName(title.replace("&", ""))
        self.setLayout(column(self.radio, Label(line, tone="2", wrap=True), *below, None, gap=6, pad=(14, 12, 14, 12)))
        self.radio.clicked.connect(lambda: self.chosen.emit(self.key))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """The whole card chooses."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.radio.setFocus(Qt.FocusReason.MouseFocusReason)
            self.chosen.emit(self.key)

    def set_selected(self, selected: bool) -> None:
        """Selected or not."""
        self.radio.setChecked(selected)
        set_property(self, "frame", "banner" if selected else "box")
        set_property(self, "tone", "info" if selected else "")
