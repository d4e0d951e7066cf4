"""The navigation at the left: the places of the program, and the GPU card at its foot. Narrow windows get a rail of icons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QFrame, QVBoxLayout, QWidget

from desktop_ft.ui.gpu_card import GpuCard
from desktop_ft.ui.kit.buttons import Button, button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import rule
from desktop_ft.ui.kit.theme import theme_manager

RAIL_PIXELS = 56
_WIDTH_EM = 16


@dataclass(frozen=True)
class Place:
    """One entry of the navigation.

    Attributes:
        key: Stable name.
        text: Its words.
        icon: A Lucide icon.
        shortcut: As Qt writes it, shown in the tooltip.
    """

    key: str
    text: str
    icon: str
    shortcut: str


class Sidebar(QFrame):
    """Emits ``place_chosen`` with the key of a place.

    Args:
        places: From top to bottom.
        card: The device's card, at the foot.
    """

    place_chosen = Signal(object)

    def __init__(self, places: Sequence[Place], card: GpuCard, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "sidebar")
        self.setObjectName("navigation")
        self.setAccessibleName(self.tr("Navigation"))
        self._places = tuple(places)
        self._card = card
        self._is_compact = False
        self._group = QButtonGroup(self)
        self._buttons: dict[str, Button] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 12, 8, 4)
        layout.setSpacing(2)
        for place in self._places:
            layout.addWidget(self._new_button(place))
        layout.addStretch(1)
        layout.addWidget(rule())
        layout.addWidget(card)
        theme_manager().changed.connect(self._apply_width)
        self._apply_width()

    def _new_button(self, place: Place) -> Button:
        made = button(place.text, "nav", place.icon, name=place.text, on_click=lambda: self.place_chosen.emit(place.key))
        made.setToolTip(f"{place.text} ({place.shortcut})")
        self._group.addButton(made)
        self._buttons[place.key] = made
        return made

    def set_current(self, key: str) -> None:
        """Mark the place that is shown."""
        self._buttons[key].setChecked(True)

    def focus_current(self) -> None:
        """Put the keyboard on the marked place."""
        checked = self._group.checkedButton()
        if checked is not None:
            checked.setFocus()

    def set_compact(self, *, compact: bool) -> None:
        """Between words with icons and the rail of icons."""
        if compact == self._is_compact:
            return
        self._is_compact = compact
        for place in self._places:
            made = self._buttons[place.key]
            made.setText("" if compact else place.text)
            made.setAccessibleName(place.text)
        self._card.set_compact(compact=compact)
        self._apply_width()

    def _apply_width(self) -> None:
        self.setFixedWidth(max(RAIL_PIXELS, em(3.5)) if self._is_compact else em(_WIDTH_EM))
