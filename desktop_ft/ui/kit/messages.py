"""The one road for messages: a strip at the top of the page, and the dialog for an exception that nobody translated."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QDialog, QFrame, QPlainTextEdit, QVBoxLayout, QWidget

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.ui.kit.buttons import Button, button
from desktop_ft.ui.kit.fonts import em, font
from desktop_ft.ui.kit.icons import STATE_ICONS, IconLabel
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import ElidedLabel, Label

MAX_SHOWN = 2


@dataclass(frozen=True)
class MessageAction:
    """The one thing that a message offers to do."""

    text: str
    run: Callable[[], object]


@dataclass(frozen=True)
class Message:
    """What a strip says.

    Attributes:
        title: What happened; bold, ends without a full stop or with one, as written.
        text: What it means, one sentence.
        tone: ``good``, ``info``, ``warn`` or ``bad``.
        hint: What to do next; shown under Details.
        details: Technical text; shown under Details in the fixed font.
        action: At most one.
        key: Messages with the same key replace each other; empty never does.
    """

    title: str
    text: str = ""
    tone: str = "info"
    hint: str = ""
    details: str = ""
    action: MessageAction | None = field(default=None, compare=False)
    key: str = ""

    def as_text(self) -> str:
        """Everything, for the clipboard."""
        return "\n\n".join(part for part in (self.title, self.text, self.hint, self.details) if part)


def error_message(error: DesktopFtError, action: MessageAction | None = None) -> Message:
    """The message of an error: its title, what happened, and what to do next."""
    return Message(error.title, error.message, "bad", error.hint, error.code, action, f"error:{error.code}:{error.message}")


def copy_text(text: str) -> None:
    """Put text on the clipboard."""
    QGuiApplication.clipboard().setText(text)


def exact_text(text: str, name: str) -> QPlainTextEdit:
    """A read-only field for technical text in the fixed font; Tab leaves it."""
    area = QPlainTextEdit(text)
    area.setReadOnly(True)
    area.setTabChangesFocus(True)
    area.setFont(font(mono=True))
    area.setAccessibleName(name)
    return area


class _MessageRow(QFrame):
    """One message: a line, and below it the details once asked for."""

    closed = Signal(object)

    def __init__(self, message: Message, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = message
        self.setProperty("frame", "strip")
        self.setProperty("tone", message.tone)
        self.setAccessibleName(message.title)
        self.setAccessibleDescription(message.text)
        self._details = self._new_details()
        self._details.hide()
        self._toggle = button(self.tr("Details"), "link", on_click=self.toggle_details)
        if not (message.hint or message.details or message.text):
            self._toggle.hide()
        close = button(kind="flat", icon_name="x", name=self.tr("Close the message"), on_click=self.close_message)
        title = ElidedLabel(message.title, weight=600)
        text = ElidedLabel(message.text, tone="2")
        line = row(IconLabel(STATE_ICONS[message.tone], message.tone), title, (text, 1), gap=10)
        if (action := message.action) is not None:
            line.addWidget(button(action.text, "link", on_click=lambda: action.run()))
        for widget in (self._toggle, close):
            line.addWidget(widget)
        self.setLayout(column(line, self._details, gap=4, pad=(12, 2, 8, 2)))

    def toggle_details(self) -> None:
        """Show or hide what to do next and the technical text."""
        self._details.setVisible(self._details.isHidden())
        self._toggle.setText(self.tr("Details") if self._details.isHidden() else self.tr("Hide details"))

    def details_shown(self) -> bool:
        """Whether the details are open."""
        return not self._details.isHidden()

    def close_message(self) -> None:
        """Take the message away."""
        self.closed.emit(self.message)

    def _new_details(self) -> QWidget:
        message = self.message
        copy = button(self.tr("Copy"), "link", "copy", on_click=lambda: copy_text(message.as_text()))
        box = QWidget()
        inner = column(Label(message.text, wrap=True, selectable=True), gap=4, pad=(26, 0, 8, 8))
        if message.hint:
            inner.addWidget(Label(message.hint, tone="2", wrap=True, selectable=True))
        if message.details:
            inner.addWidget(Label(message.details, "caption", "2", wrap=True, mono=True, selectable=True))
        inner.addLayout(row(copy, None))
        box.setLayout(inner)
        return box


class MessageStrip(QWidget):
    """Messages at the top of a page: the newest two, then how many more. Esc closes the newest.

    Close a message that no longer holds with `dismiss` and its key.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._messages: list[Message] = []
        self._rows: dict[int, _MessageRow] = {}
        self._show_all = False
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(8)
        self._more = button("", "link", on_click=self._on_more_clicked)
        self._layout.addWidget(self._more)
        self.setAccessibleName(self.tr("Messages"))
        self._refresh()

    def show_message(
        self,
        title: str,
        text: str = "",
        tone: str = "info",
        *,
        hint: str = "",
        details: str = "",
        action: MessageAction | None = None,
        key: str = "",
    ) -> None:
        """Say something; see `Message` for the words."""
        self.add(Message(title, text, tone, hint, details, action, key))

    def show_error(self, error: DesktopFtError, action: MessageAction | None = None) -> None:
        """Say what went wrong; the same error twice is one message."""
        self.add(error_message(error, action))

    def add(self, message: Message) -> None:
        """Put a message on top, in the place of an older one with the same key."""
        if message.key:
            self._drop(lambda old: old.key == message.key)
        self._messages.insert(0, message)
        self._refresh()

    def dismiss(self, key: str) -> None:
        """Take away the message with this key, if it is there."""
        self._drop(lambda old: old.key == key)
        self._refresh()

    def clear(self) -> None:
        """Take away all messages."""
        self._drop(lambda _: True)
        self._refresh()

    def messages(self) -> tuple[Message, ...]:
        """All messages, newest first, shown or not."""
        return tuple(self._messages)

    def shown_messages(self) -> tuple[Message, ...]:
        """The messages that are visible as rows."""
        return tuple(m for m in self._messages if id(m) in self._rows)

    def more_text(self) -> str:
        """The line below the rows; empty when there is none."""
        return "" if self._more.isHidden() else self._more.text()

    def close_newest(self) -> bool:
        """Close the message on top; false when there is none."""
        if not self._messages:
            return False
        self._on_row_closed(self._messages[0])
        return True

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc closes the newest message."""
        if event.key() == Qt.Key.Key_Escape and self.close_newest():
            return
        super().keyPressEvent(event)

    def _drop(self, matches: Callable[[Message], bool]) -> None:
        for message in self._messages:
            if matches(message):
                self._remove_row(message)
        self._messages = [message for message in self._messages if not matches(message)]

    def _remove_row(self, message: Message) -> None:
        if (old := self._rows.pop(id(message), None)) is not None:
            self._layout.removeWidget(old)
            old.hide()
            old.deleteLater()

    def _on_row_closed(self, message: Message) -> None:
        self._drop(lambda old: old is message)
        self._refresh()

    def _on_more_clicked(self) -> None:
        self._show_all = not self._show_all
        self._refresh()

    def _refresh(self) -> None:
        if len(self._messages) <= MAX_SHOWN:
            self._show_all = False
        wanted = self._messages if self._show_all else self._messages[:MAX_SHOWN]
        for message in self._messages[len(wanted) :]:
            self._remove_row(message)
        for place, message in enumerate(wanted):
            if id(message) not in self._rows:
                made = _MessageRow(message)
                made.closed.connect(self._on_row_closed)
                self._rows[id(message)] = made
            self._layout.insertWidget(place, self._rows[id(message)])
        hidden = len(self._messages) - MAX_SHOWN
        self._more.setVisible(hidden > 0)
        self._more.setText(self.tr("Show fewer") if self._show_all else self.tr("{0} more").format(hidden))
        self.setVisible(bool(self._messages))
        stops = [stop for place in wanted for stop in self._rows[id(place)].findChildren(Button)] + [self._more]
        for before, after in pairwise(stops):
            QWidget.setTabOrder(before, after)


def crash_report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> str:
    """The traceback of an exception as text."""
    return "".join(traceback.format_exception(kind, error, trace))


class CrashDialog(QDialog):
    """An exception that nobody translated: a fault of the program. Says what is safe, what to do, and gives the traceback.

    Args:
        report: The traceback as text.
        facts: Versions and platform, put under it.
    """

    def __init__(self, report: str, facts: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._report = report.rstrip() + "\n" + (f"\n{facts}\n" if facts else "")
        self.setWindowTitle(self.tr("A fault in Desktop FT"))
        self._copy: Button = button(self.tr("&Copy the report"), "", "copy", on_click=self._on_copy_clicked)
        close = button(self.tr("C&lose"), "primary", on_click=self.accept)
        close.setDefault(True)
        words = self.tr(
            "Runs that are training go on: they are programs of their own. Close this window and go on; if the program "
            "behaves oddly, start it again. Send the report to the developers so that the fault can be mended."
        )
        head = row(
            column(IconLabel("octagon-x", "bad", 24), None),
            (column(Label(self.tr("Something failed that should not have"), "section"), Label(words, tone="2", wrap=True), gap=4), 1),
            gap=12,
        )
        text = exact_text(self._report, self.tr("Report"))
        text.setMinimumHeight(em(14))
        self.setLayout(column(head, (text, 1), row(self._copy, None, close), gap=12, pad=(16, 16, 16, 16)))
        self.resize(em(48), em(30))

    def report(self) -> str:
        """The traceback and the facts."""
        return self._report

    def _on_copy_clicked(self) -> None:
        copy_text(self._report)
        self._copy.setText(self.tr("Copied"))
