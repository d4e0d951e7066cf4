"""A person at the window: finds controls by their words, clicks and types, and counts both."""

from __future__ import annotations

from typing import TypeVar

from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLineEdit, QScrollArea, QWidget

_W = TypeVar("_W", bound=QWidget)


class Person:
    """Sits at a window.

    Args:
        window: The shown window; dialogs over it are found too.

    Attributes:
        num_clicks: Clicks so far.
        num_keys: Keys so far, typed characters included.
    """

    def __init__(self, window: QWidget) -> None:
        self._window = window
        self.num_clicks = 0
        self.num_keys = 0

    def button(self, words: str, within: QWidget | None = None) -> QAbstractButton:
        """The one button that is seen and says this, by its accessible name or its text without mnemonics."""
        places = [within] if within is not None else [self._front()]
        seen = [one for place in places for one in place.findChildren(QAbstractButton) if one.isVisible()]
        found = [one for one in seen if words in (one.accessibleName(), _plain(one.text()))]
        assert len(found) == 1, f"{len(found)} buttons say “{words}”; seen are {sorted(_plain(one.text()) for one in seen)}"
        return found[0]

    def field(self, name: str) -> QLineEdit:
        """The one text field that is seen and has this accessible name."""
        seen = [one for one in self._front().findChildren(QLineEdit) if one.isVisible()]
        found = [one for one in seen if one.accessibleName() == name]
        assert len(found) == 1, f"{len(found)} fields are called “{name}”; seen are {sorted(one.accessibleName() for one in seen)}"
        return found[0]

    def click(self, widget: QWidget) -> None:
        """Click the middle of a control that can be seen and used."""
        _scroll_to(widget)
        middle = widget.rect().center()
        assert widget.isEnabled(), f"{widget.accessibleName()} cannot be used now: {widget.toolTip()}"
        self._assert_on_top(widget, middle)
        self.num_clicks += 1
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, middle)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key where the keyboard is."""
        self.num_keys += 1
        QTest.keyClick(QApplication.focusWidget() or self._front(), key, modifier)

    def write(self, field: QLineEdit, text: str) -> None:
        """Put the keyboard into a field by a click, replace what is there, and go on to the next control."""
        self.click(field)
        field.selectAll()
        self.num_keys += len(text)
        QTest.keyClicks(field, text)
        self.press(Qt.Key.Key_Tab)

    def _front(self) -> QWidget:
        return QApplication.activeModalWidget() or self._window

    def _assert_on_top(self, widget: QWidget, at: QPoint) -> None:
        window = widget.window()
        hit = window.childAt(widget.mapTo(window, at))
        assert hit is not None, f"{widget.accessibleName()} is outside the window"
        assert hit is widget or widget.isAncestorOf(hit), f"{widget.accessibleName()} lies under {type(hit).__name__}"


def _scroll_to(widget: QWidget) -> None:
    """As the wheel would."""
    parent = widget.parentWidget()
    while parent is not None:
        if isinstance(parent, QScrollArea):
            parent.ensureWidgetVisible(widget)
        parent = parent.parentWidget()


def _plain(text: str) -> str:
    return text.replace("&", "").strip()
