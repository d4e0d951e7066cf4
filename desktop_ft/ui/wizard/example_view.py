"""One row of the data at a time: as chat, and below it exactly what is trained. In a narrow window one block with a switch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QSizePolicy, QVBoxLayout, QWidget

from desktop_ft.ui.kit.buttons import SegmentedControl, button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import IconLabel
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, frame, row
from desktop_ft.ui.kit.text import ElidedLabel, Label, format_number
from desktop_ft.ui.wizard.page import see_through
from desktop_ft.ui.wizard.token_view import Token, TokenView, tokens_of

HEAD_EM = 30 / 13
"""Height of the line above a block, with its buttons or without."""
_MOST_CHARACTERS = 4000
ROLE_ICONS = {"system": "settings-2", "user": "user", "prompt": "user", "assistant": "bot", "completion": "bot", "tool": "terminal"}


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
        while (item := self._lines.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
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
        }
        return words.get(role, role)


class Legend(QWidget):
    """What the marks of the token view mean."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._count = Label("", "caption", "2")
        line = row(gap=6)
        marks = (
            (Token("abc", trained=True), self._count),
            (Token("abc"), Label(self.tr("read only"), "caption", "2")),
            (Token("<end>", trained=True, special=True), Label(self.tr("trained end"), "caption", "2")),
        )
        self._last: list[QWidget] = []
        for token, words in marks:
            sample = TokenView()
            sample.set_tokens([token])
            sample.setFixedWidth(em(4.2) if token.special else em(2.5))
            sample.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            for part in (sample, words):
                line.addWidget(part, 0, Qt.AlignmentFlag.AlignVCenter)
            self._last = [sample, words]
            line.addSpacing(6)
        line.addStretch(1)
        self.setLayout(line)

    def set_narrow(self, narrow: bool) -> None:
        """The last mark explains itself."""
        for part in self._last:
            part.setVisible(not narrow)

    def set_counts(self, trained: int, total: int) -> None:
        """How many of the tokens are learnt."""
        self._count.setText(self.tr("trained, {0} of {1}").format(format_number(trained), format_number(total)))


class ExampleView(QWidget):
    """Walks through rows. ``all_requested`` asks for the first rows again after the rows of one finding."""

    all_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: Sequence[Mapping[str, object]] = ()
        self._at = 0
        self._narrow = False
        self.heading = Label(self.tr("Example"), "section")
        self.place = ElidedLabel("", tone="2")
        self.all_rows = button(self.tr("All rows"), "link", on_click=self.all_requested.emit)
        self.all_rows.hide()
        self.switch = SegmentedControl([self.tr("As c&hat"), self.tr("As &trained")], 1, name=self.tr("How the row is shown"))
        self.before = button(kind="flat", icon_name="chevron-left", name=self.tr("Previous example"), on_click=lambda: self.step(-1))
        self.after = button(kind="flat", icon_name="chevron-right", name=self.tr("Next example"), on_click=lambda: self.step(1))
        self.chat = ChatView()
        self.tokens = TokenView()
        self.legend = Legend()
        self.template = ElidedLabel("", tone="2", middle=True)
        self.template.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.chat_box = _scrolling_box(self.chat, "box", self.chat.accessibleName())
        self.token_box = self._new_token_box()
        self.token_heading = QWidget()
        self.token_heading.setLayout(row(Label(self.tr("What the model will be trained on"), "section"), (self.template, 1), gap=12))
        head = row(self.heading, (self.place, 1), self.all_rows, self.switch, self.before, self.after, gap=6)
        head.addStrut(em(HEAD_EM))
        self.setLayout(column(head, (self.chat_box, 4), self.token_heading, (self.token_box, 6), gap=8))
        self.switch.current_changed.connect(self._show_blocks)
        self._show_blocks()

    def set_narrow(self, narrow: bool) -> None:
        """One block with a switch, or both."""
        self._narrow = narrow
        self.legend.set_narrow(narrow)
        self._show_blocks()

    def set_rows(self, rows: Sequence[Mapping[str, object]], title: str, *, of_finding: bool = False) -> None:
        """Show other rows, from the first of them.

        Args:
            rows: As `desktop_ft.core.data.view` gives them.
            title: What they are, such as "the first 50".
            of_finding: Whether they are those of one finding; then a link leads back.
        """
        stay = self._at if not of_finding and self.all_rows.isHidden() else 0
        self._rows, self._title = rows, title
        self.all_rows.setVisible(of_finding)
        self.heading.setVisible(not of_finding)
        self._at = min(stay, max(0, len(rows) - 1))
        self._show_row()

    def set_template(self, words: str) -> None:
        """Whose chat template it is."""
        self.template.setText(words)

    def step(self, by: int) -> None:
        """Another row."""
        self._at = max(0, min(len(self._rows) - 1, self._at + by))
        self._show_row()

    def _new_token_box(self) -> QFrame:
        inner = QWidget()
        inner.setLayout(column((self.tokens, 0), None, gap=0, pad=(12, 10, 12, 4)))
        box = _scrolling_box(inner, "well", self.tr("Tokens"))
        layout = box.layout()
        assert isinstance(layout, QVBoxLayout)
        layout.addLayout(row((self.legend, 1), pad=(12, 4, 12, 6)))
        return box

    def _show_blocks(self, *_: object) -> None:
        as_chat = self.switch.current() == 0
        self.switch.setVisible(self._narrow)
        self.token_heading.setVisible(not self._narrow)
        self.chat_box.setVisible(not self._narrow or as_chat)
        self.token_box.setVisible(not self._narrow or not as_chat)

    def _show_row(self) -> None:
        shown = self._rows[self._at] if self._rows else None
        for control, usable in ((self.before, self._at > 0), (self.after, self._at + 1 < len(self._rows))):
            control.setEnabled(usable)
        self.heading.setText(self.tr("Example {0}").format(self._at + 1) if shown else self.tr("Example"))
        self.place.setText(self.tr("of {0}").format(self._title) if shown else "")
        tokens = tokens_of(shown) if shown else []
        self.chat.set_messages(cast("Sequence[Mapping[str, str]]", shown["messages"]) if shown else ())
        self.tokens.set_tokens(tokens)
        self.legend.set_counts(sum(token.trained for token in tokens), sum(not token.cut for token in tokens))


def _scrolling_box(content: QWidget, name: str, spoken: str) -> QFrame:
    """A framed block that scrolls down by itself."""
    scroll = VerticalScrollPage(column(content, gap=0), name=spoken)
    see_through(scroll)
    scroll.setMinimumHeight(em(6))
    scroll.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return frame(column(scroll, gap=0, pad=(1, 1, 1, 1)), "well" if name == "well" else "box")
