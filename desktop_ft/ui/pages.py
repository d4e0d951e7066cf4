"""The area right of the navigation: messages on top, one place below. A page is made when it is first shown."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QFrame, QStackedWidget, QWidget

from desktop_ft.ui.kit.layout import column, frame
from desktop_ft.ui.kit.messages import MessageStrip

PageMaker = Callable[[], QWidget]


class Pages(QFrame):
    """A strip for messages and a stack of pages.

    Args:
        makers: How to make each page, by key.
    """

    def __init__(self, makers: dict[str, PageMaker], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "page")
        self._makers = makers
        self._made: dict[str, QWidget] = {}
        self._stack = QStackedWidget()
        self.strip = MessageStrip()
        self._strip_frame = frame(column(self.strip, pad=(24, 12, 24, 0)), "page")
        self._strip_frame.setVisible(False)
        self.strip.installEventFilter(self)
        self.setLayout(column(self._strip_frame, (self._stack, 1), gap=0))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The frame around the strip is there only while the strip has something to say."""
        if watched is self.strip and event.type() in (QEvent.Type.ShowToParent, QEvent.Type.HideToParent):
            self._strip_frame.setVisible(not self.strip.isHidden())
        return super().eventFilter(watched, event)

    def show_page(self, key: str) -> QWidget:
        """Bring a page to the front; it is made if need be."""
        page = self.page(key)
        self._stack.setCurrentWidget(page)
        return page

    def page(self, key: str) -> QWidget:
        """The page of a key, made if need be."""
        if key not in self._made:
            made = self._makers[key]()
            self._made[key] = made
            self._stack.addWidget(made)
        return self._made[key]

    def replace(self, key: str) -> None:
        """Throw a page away; it is made anew when it is shown again."""
        old = self._made.pop(key, None)
        if old is None:
            return
        was_current = self._stack.currentWidget() is old
        self._stack.removeWidget(old)
        old.deleteLater()
        if was_current:
            self.show_page(key)

    def made(self, key: str) -> QWidget | None:
        """The page of a key if it was made already."""
        return self._made.get(key)

    def current(self) -> QWidget | None:
        """The page in front."""
        return self._stack.currentWidget()
