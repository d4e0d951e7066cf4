"""Push buttons by kind, and the segmented control. One primary button on a screen; the rest are normal, flat or links."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QIcon, QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QWidget

from desktop_ft.ui.kit.fonts import font
from desktop_ft.ui.kit.icons import icon, icon_size
from desktop_ft.ui.kit.theme import theme_manager

ButtonKind = Literal["", "primary", "flat", "link", "nav", "segment"]


def spoken(text: str) -> str:
    """Text without the mark of its mnemonic."""
    return text.replace("&&", "\0").replace("&", "").replace("\0", "&").strip()


class Button(QPushButton):
    """A push button.

    Args:
        text: Its words with the mnemonic ("&Pause"); may be empty only with an icon and a name.
        kind: ``""``, ``primary``, ``flat``, ``link``, ``nav`` or ``segment``.
        icon_name: A Lucide icon before the words.
        name: Accessible name and tooltip of a button without words.
        on_click: Called without arguments.
    """

    def __init__(
        self,
        text: str = "",
        kind: ButtonKind = "",
        icon_name: str = "",
        *,
        name: str = "",
        on_click: Callable[[], object] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._kind = kind
        self._icon_name = icon_name
        self.setProperty("kind", kind)
        if kind in ("nav", "segment"):
            self.setCheckable(True)
        self.set_icon(icon_name)
        self.setText(text)
        if name:
            self.setAccessibleName(name)
            if not text:
                self.setToolTip(name)
        across = QSizePolicy.Policy.Preferred if kind == "nav" else QSizePolicy.Policy.Maximum
        self.setSizePolicy(across, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAutoDefault(False)
        if on_click is not None:
            self.clicked.connect(lambda: on_click())
        theme_manager().changed.connect(self._on_theme_changed)
        self._on_theme_changed()

    def setText(self, text: str) -> None:
        """Set the words; a styled button has no gap after its icon, so that a space makes one."""
        gap = "  " if self._kind == "nav" else " "
        super().setText(f"{gap}{text}" if self._icon_name and text else text)
        if text:
            self.setAccessibleName(spoken(text))

    def text(self) -> str:
        """The words with their mnemonic, without the gap."""
        return super().text().strip()

    def set_icon(self, name: str, tone: str | None = None) -> None:
        """Show another icon before the words; an empty name shows none.

        Args:
            name: Which icon.
            tone: Its colour, if not the one of the button's kind.
        """
        words = self.text()
        self._icon_name = name
        own = {"primary": "on_accent", "link": "accent"}.get(self._kind, "2")
        self.setIcon(icon(name, tone or own, "accent" if self._kind in ("nav", "segment") else "") if name else QIcon())
        self.setText(words)

    def set_reason(self, reason: str) -> None:
        """Disable the button and say why in its tooltip; an empty reason enables it."""
        self.setEnabled(not reason)
        self.setToolTip(reason or ("" if self.text() else self.accessibleName()))
        self.setAccessibleDescription(reason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter presses the button that has the keyboard, as Space does; Qt does that for default buttons of dialogs alone."""
        is_enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if is_enter and not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            if not event.isAutoRepeat():
                self.click()
            return
        super().keyPressEvent(event)

    def sizeHint(self) -> QSize:
        """Room for the semibold words of a checked or primary button, so that nothing moves when it is checked."""
        hint = super().sizeHint()
        if self._kind not in ("nav", "segment", "primary"):
            return hint
        plain, bold = font(), font(weight=600)
        words = spoken(self.text())
        return hint + QSize(max(0, QFontMetrics(bold).horizontalAdvance(words) - QFontMetrics(plain).horizontalAdvance(words)), 0)

    def _on_theme_changed(self) -> None:
        side = icon_size()
        self.setIconSize(QSize(side, side))
        self.updateGeometry()


def button(
    text: str = "",
    kind: ButtonKind = "",
    icon_name: str = "",
    *,
    name: str = "",
    on_click: Callable[[], object] | None = None,
) -> Button:
    """A `Button`, in the short form for layouts."""
    return Button(text, kind, icon_name, name=name, on_click=on_click)


class _Segment(Button):
    """One choice; the arrows walk, so that the whole control is one stop of the Tab key."""

    stepped = Signal(int)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Up: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Down: 1}
        step = steps.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
            return
        self.stepped.emit(step)


class SegmentedControl(QWidget):
    """A choice between a few words, all of them visible. ``current_changed`` carries the index.

    Args:
        names: The words, in order.
        current: Which one is chosen at first.
        name: Accessible name of the whole control.
    """

    current_changed = Signal(int)

    def __init__(self, names: Sequence[str], current: int = 0, *, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self._current = -1
        self._segments: list[_Segment] = []
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for i, text in enumerate(names):
            edge = "only" if len(names) == 1 else "first" if i == 0 else "last" if i == len(names) - 1 else "mid"
            layout.addWidget(self._new_segment(i, text, edge, name))
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.set_current(current)

    def current(self) -> int:
        """Index of the chosen word."""
        return self._current

    def set_current(self, index: int) -> None:
        """Choose a word; says so if that is a change."""
        for i, segment in enumerate(self._segments):
            segment.setChecked(i == index)
            segment.setFocusPolicy(Qt.FocusPolicy.StrongFocus if i == index else Qt.FocusPolicy.ClickFocus)
        if index == self._current:
            return
        first = self._current < 0
        self._current = index
        if not first:
            self.current_changed.emit(index)

    def set_text(self, index: int, text: str) -> None:
        """Call a choice something else."""
        self._segments[index].setText(text)

    def set_segment_enabled(self, index: int, reason: str = "") -> None:
        """Allow a word, or forbid it with the reason in its tooltip."""
        self._segments[index].set_reason(reason)

    def segments(self) -> Sequence[Button]:
        """The buttons, for tests and tooltips."""
        return tuple(self._segments)

    def _new_segment(self, index: int, text: str, edge: str, name: str) -> _Segment:
        segment = _Segment(text, "segment")
        segment.setProperty("edge", edge)
        segment.setAccessibleDescription(name)
        segment.clicked.connect(lambda: self.set_current(index))
        segment.stepped.connect(self._on_stepped)
        self._segments.append(segment)
        return segment

    def _on_stepped(self, step: int) -> None:
        index = self._current + step
        while 0 <= index < len(self._segments) and not self._segments[index].isEnabled():
            index += step
        if 0 <= index < len(self._segments):
            self.set_current(index)
            self._segments[index].setFocus(Qt.FocusReason.TabFocusReason)
