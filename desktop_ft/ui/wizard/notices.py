"""What is wrong, in place: an error with its title, what happened and what to do; and a one-line advice below a field."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QWidget

from desktop_ft.core.advice import Advice
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.ui.kit.icons import STATE_ICONS, IconLabel
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.style_sheet import set_property
from desktop_ft.ui.kit.text import Label


class Banner(QFrame):
    """A framed message in the colour of its verdict."""

    def __init__(self, tone: str = "bad", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "banner")
        self._icon = IconLabel(STATE_ICONS[tone], tone, 24)
        self.title = Label("", "section", wrap=True)
        self.text = Label("", tone="2", wrap=True, selectable=True)
        self.hint = Label("", wrap=True)
        words = column(self.title, self.text, self.hint, gap=2)
        self.setLayout(row(column(self._icon, None), (words, 1), gap=12, pad=(16, 12, 16, 12)))
        self.set_tone(tone)

    def set_tone(self, tone: str) -> None:
        """Change the verdict."""
        self._icon.set_icon(STATE_ICONS[tone], tone)
        set_property(self, "tone", tone)

    def show_words(self, title: str, text: str, hint: str = "") -> None:
        """Say something else."""
        for label, words in ((self.title, title), (self.text, text), (self.hint, hint)):
            label.setText(words)
            label.setVisible(bool(words))
        self.setAccessibleName(title)
        self.setAccessibleDescription(f"{text} {hint}".strip())


class ProblemBox(Banner):
    """An error in its place; hidden while there is none."""

    def show_error(self, error: DesktopFtError | None) -> None:
        """Show an error, or take it away."""
        self.setVisible(error is not None)
        if error is not None:
            self.show_words(error.title, error.message, error.hint)


class AdviceLine(QWidget):
    """A warning that keeps nobody from going on."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon = IconLabel(STATE_ICONS["warn"], "warn", 14)
        self._text = Label("", "caption", "2", wrap=True)
        self.setLayout(row(column(self._icon, None), (self._text, 1), gap=6))
        self.hide()

    def show_advice(self, advice: Advice | None, tone: str = "warn") -> None:
        """Show an advice, or take it away."""
        self.show_words("" if advice is None else f"{advice.title}. {advice.why} {advice.what_to_do}", tone)

    def show_words(self, words: str, tone: str = "warn") -> None:
        """Show words, or take them away."""
        self._icon.set_icon(STATE_ICONS[tone], tone)
        self._text.setText(words)
        self.setVisible(bool(words))

    def words(self) -> str:
        """What it says; empty while hidden."""
        return self._text.text()
