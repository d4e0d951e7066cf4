"""Two answers to one prompt side by side: as chat, and token by token as they are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from PySide6.QtWidgets import QWidget

from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.wizard.chat_view import ChatView
from desktop_ft.ui.wizard.page import set_stacked
from desktop_ft.ui.wizard.token_view import Token, TokenView, tokens_of

Row = Mapping[str, object]


class PairChat(QWidget):
    """The prompt, below it the better and the worse answer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.prompt, self.chosen, self.rejected = ChatView(), ChatView(), ChatView()
        better = column(Label(self.tr("Chosen"), "caption", "good", weight=600), self.chosen, gap=0)
        worse = column(Label(self.tr("Rejected"), "caption", "bad", weight=600), self.rejected, gap=0)
        self._answers = row((better, 1), (worse, 1), gap=12, pad=(12, 0, 12, 0))
        self.setLayout(column(self.prompt, self._answers, None, gap=4))
        self.setAccessibleName(self.tr("The pair as chat"))

    def set_row(self, shown: Row) -> None:
        """Show another pair, as `desktop_ft.core.data.view` gives it."""
        prompt = _messages(shown)
        self.prompt.set_messages(prompt)
        for view, side in ((self.chosen, "chosen"), (self.rejected, "rejected")):
            turns = _messages(cast("Row", shown[side]))
            shared = len(prompt) if list(turns[: len(prompt)]) == list(prompt) else 0
            view.set_messages(turns[shared:])

    def set_stacked(self, stacked: bool) -> None:
        """Below each other where there is no room."""
        set_stacked(self._answers, stacked)


class PairTokens(QWidget):
    """Both sequences as they are trained."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.chosen, self.rejected = TokenView(), TokenView()
        better = column(Label(self.tr("Chosen"), "caption", "good", weight=600), self.chosen, None, gap=4)
        worse = column(Label(self.tr("Rejected"), "caption", "bad", weight=600), self.rejected, None, gap=4)
        self._sides = row((better, 1), (worse, 1), gap=16)
        self.setLayout(self._sides)

    def set_row(self, shown: Row) -> list[Token]:
        """Show another pair; all of its tokens are handed back for the legend's counts."""
        found: list[Token] = []
        for view, side in ((self.chosen, "chosen"), (self.rejected, "rejected")):
            tokens = tokens_of(cast("Row", shown[side]))
            view.set_tokens(tokens)
            found += tokens
        return found

    def set_stacked(self, stacked: bool) -> None:
        """Below each other where there is no room."""
        set_stacked(self._sides, stacked)


def _messages(shown: Row) -> Sequence[Mapping[str, str]]:
    return cast("Sequence[Mapping[str, str]]", shown["messages"])
