"""A conversation as people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop_ft.ui.kit.icons import IconLabel
from desktop_ft.ui.kit.layout import clear, column, row
from desktop_ft.ui.kit.text import Label, format_number

_MOST_CHARACTERS = 4000
ROLE_ICONS = {
    "system": "settings-2", "user": "user", "prompt": "user", "assistant": "bot", "completion": "bot", "tool": "terminal",
    "answer": "check",
}  # fmt: skip


class ChatView(QWidget):
    """A conversation as people read it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines = QVBoxLayout(self)
        self._lines.setContentsMargins(12, 10, 12, 10)
        self._lines.setSpacing(8)
        self.setAccessibleName(self.tr("The row as chat"))

    def set_messages(self, messages: Sequence[Mapping[str, str]]) -> None:
        """Show other turns."""
        clear(self._lines)
        for message in messages:
            self._lines.addWidget(self._turn(message["role"], message["content"]))
        self._lines.addStretch(1)

    def _turn(self, role: str, content: str) -> QWidget:
        more = len(content) - _MOST_CHARACTERS
        shown = content if more <= 0 else content[:_MOST_CHARACTERS] + self.tr(" … and {0} characters more").format(format_number(more))
        turn = QWidget()
        words = column(Label(self.role_word(role), "caption", "2", weight=600), Label(shown, wrap=True, selectable=True), gap=1)
        turn.setLayout(row(column(IconLabel(ROLE_ICONS.get(role, "file-text"), "2"), None), (words, 1), gap=10))
        return turn

    def role_word(self, role: str) -> str:
        """Who speaks."""
        words = {
            "system": self.tr("System"),
            "user": self.tr("User"),
            "assistant": self.tr("Assistant"),
            "tool": self.tr("Tool"),
            "prompt": self.tr("Prompt"),
            "completion": self.tr("Completion"),
            "text": self.tr("Text"),
            "answer": self.tr("Known answer"),
        }
        return words.get(role, role)
