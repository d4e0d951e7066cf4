"""One row of the data at a time: as chat, and below it exactly what is trained. In a narrow window one block with a switch.

A pair shows both answers side by side, a judged answer its judgment, a prompt the known answer where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QSizePolicy, QVBoxLayout, QWidget

from desktop_ft.ui.kit.buttons import SegmentedControl, button
from desktop_ft.ui.kit.chips import Chip
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, frame, row
from desktop_ft.ui.kit.text import ElidedLabel, Label, format_number
from desktop_ft.ui.wizard.chat_view import ChatView
from desktop_ft.ui.wizard.page import see_through
from desktop_ft.ui.wizard.pair_view import PairChat, PairTokens
from desktop_ft.ui.wizard.token_view import Token, TokenView, tokens_of

HEAD_EM = 30 / 13
"""Height of the line above a block, with its buttons or without."""


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
        self._title = ""
        self._at = 0
        self._narrow = False
        self.heading = Label(self.tr("Example"), "section")
        self.place = ElidedLabel("", tone="2")
        self.all_rows = button(self.tr("All rows"), "link", on_click=self.all_requested.emit)
        self.all_rows.hide()
        self.switch = SegmentedControl([self.tr("As c&hat"), self.tr("As &trained")], 1, name=self.tr("How the row is shown"))
        self.before = button(kind="flat", icon_name="chevron-left", name=self.tr("Previous example"), on_click=lambda: self.step(-1))
        self.after = button(kind="flat", icon_name="chevron-right", name=self.tr("Next example"), on_click=lambda: self.step(1))
        self.chat, self.pair_chat = ChatView(), PairChat()
        self.tokens, self.pair_tokens = TokenView(), PairTokens()
        self.mark = Chip()
        self.mark.hide()
        self.legend = Legend()
        self.template = ElidedLabel("", tone="2", middle=True)
        self.template.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        chats = QWidget()
        chats.setLayout(column(self.chat, self.pair_chat, gap=0))
        self.chat_box = _scrolling_box(chats, "box", self.chat.accessibleName())
        self.token_box = self._new_token_box()
        self.token_heading = QWidget()
        self._token_title = Label(self.tr("What the model will be trained on"), "section")
        self.token_heading.setLayout(row(self._token_title, (self.template, 1), gap=12))
        head = row(self.heading, (self.place, 1), self.mark, self.all_rows, self.switch, self.before, self.after, gap=6)
        head.addStrut(em(HEAD_EM))
        self.setLayout(column(head, (self.chat_box, 4), self.token_heading, (self.token_box, 6), gap=8))
        self.switch.current_changed.connect(self._show_blocks)
        self._show_blocks()

    def set_narrow(self, narrow: bool) -> None:
        """One block with a switch, or both."""
        self._narrow = narrow
        self.pair_chat.set_stacked(narrow)
        self.pair_tokens.set_stacked(narrow)
        self.legend.set_narrow(narrow)
        self._show_blocks()
        self._show_row()

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

    def set_asks(self, asks: bool) -> None:
        """Whether the model is only asked, and nothing of the row is trained."""
        self._token_title.setText(self.tr("What the model will be asked") if asks else self.tr("What the model will be trained on"))
        self.legend.setVisible(not asks)

    def step(self, by: int) -> None:
        """Another row."""
        self._at = max(0, min(len(self._rows) - 1, self._at + by))
        self._show_row()

    def _new_token_box(self) -> QFrame:
        inner = QWidget()
        inner.setLayout(column((self.tokens, 0), self.pair_tokens, None, gap=0, pad=(12, 10, 12, 4)))
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
        title = str(len(self._rows)) if self._narrow and self.all_rows.isHidden() else self._title
        self.place.setText(self.tr("of {0}").format(title) if shown else "")
        kind = str(shown.get("kind", "answer")) if shown else ""
        tokens = self._show_content(shown or {}, kind)
        self._show_mark(shown or {}, kind)
        self.legend.set_counts(sum(token.trained for token in tokens), sum(not token.cut for token in tokens))

    def _show_content(self, shown: Mapping[str, object], kind: str) -> list[Token]:
        """The row in both blocks; its tokens are handed back."""
        is_pair = kind == "pair"
        for one, of_pair in ((self.chat, self.pair_chat), (self.tokens, self.pair_tokens)):
            one.setVisible(not is_pair)
            of_pair.setVisible(is_pair)
        if is_pair:
            self.pair_chat.set_row(shown)
            return self.pair_tokens.set_row(shown)
        messages = list(cast("Sequence[Mapping[str, str]]", shown.get("messages") or ()))
        if shown.get("answer"):
            messages.append({"role": "answer", "content": str(shown["answer"])})
        self.chat.set_messages(messages)
        tokens = tokens_of(shown) if shown else []
        self.tokens.set_tokens(tokens)
        return tokens

    def _show_mark(self, shown: Mapping[str, object], kind: str) -> None:
        """What is special about the row: its judgment, or that training passes it over."""
        if shown.get("is_left_out"):
            self.mark.set_state(self.tr("Left out"), "warn")
        elif kind == "judgment":
            self.mark.set_state(*((self.tr("Good"), "good") if shown["is_good"] else (self.tr("Bad"), "bad")))
        self.mark.setVisible(bool(shown.get("is_left_out")) or kind == "judgment")


def _scrolling_box(content: QWidget, name: str, spoken: str) -> QFrame:
    """A framed block that scrolls down by itself."""
    scroll = VerticalScrollPage(column(content, gap=0), name=spoken)
    see_through(scroll)
    scroll.setMinimumHeight(em(6))
    scroll.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return frame(column(scroll, gap=0, pad=(1, 1, 1, 1)), "well" if name == "well" else "box")
