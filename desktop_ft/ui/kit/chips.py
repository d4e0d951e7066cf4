"""A state in one glance: icon + word + colour, never colour alone."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QSizePolicy, QWidget

from desktop_ft.ui.kit.icons import STATE_ICONS, IconLabel
from desktop_ft.ui.kit.layout import row
from desktop_ft.ui.kit.style_sheet import set_property
from desktop_ft.ui.kit.text import Label


class Chip(QFrame):
    """A word on its soft colour with the icon of its tone.

    Args:
        text: One or two words.
        tone: ``good``, ``warn``, ``bad``, ``info``, ``busy`` or ``2`` (neutral).
        icon_name: Another icon than the tone's own.
    """

    def __init__(self, text: str = "", tone: str = "info", icon_name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "chip")
        self._icon = IconLabel(STATE_ICONS["info"], "info", 14)
        self._label = Label(weight=600)
        self.setLayout(row(self._icon, self._label, gap=4, pad=(6, 3, 8, 3)))
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.set_state(text, tone, icon_name)

    def set_state(self, text: str, tone: str, icon_name: str = "") -> None:
        """Show another state at once."""
        self._label.setText(text)
        self._label.set_tone(tone)
        self._icon.set_icon(icon_name or STATE_ICONS[tone], tone)
        set_property(self, "tone", tone)
        self.setAccessibleName(text)

    def text(self) -> str:
        """The word shown."""
        return self._label.text()

    def tone(self) -> str:
        """The tone shown."""
        return str(self.property("tone"))


class VerdictChip(Chip):
    """Whether a run fits: fits, tight, does not fit, or computing. Screen readers get the numbers too."""

    def set_verdict(self, verdict: str, spoken: str = "") -> None:
        """Show a verdict.

        Args:
            verdict: ``fits``, ``tight``, ``does_not_fit`` or ``unknown``.
            spoken: The whole sentence, such as "Memory: does not fit, 25.4 of 22.7 GiB".
        """
        words = {
            "fits": (self.tr("Fits"), "good"),
            "tight": (self.tr("Tight"), "warn"),
            "does_not_fit": (self.tr("Does not fit"), "bad"),
            "unknown": (self.tr("Computing"), "busy"),
        }
        text, tone = words[verdict]
        self.set_state(text, tone)
        self.setAccessibleName(spoken or text)
