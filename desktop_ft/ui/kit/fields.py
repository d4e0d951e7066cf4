"""What a value is changed with: whole and broken numbers, text, choices, paths. What is wrong is said on leaving, not while typing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from PySide6.QtCore import QEvent, QLocale, QObject, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QSizePolicy, QWidget

from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.style_sheet import set_property
from desktop_ft.ui.kit.text import Label, format_learning_rate

PathKind = Literal["file", "folder", "save"]


class Control(QWidget):
    """What a person changes a value with. ``value_changed`` carries the value, or ``None`` while what is typed is none.

    ``left`` comes when the field loses the focus or Enter is pressed: the time to say what is wrong.
    """

    value_changed = Signal(object)
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def value(self) -> object:
        """The value now; ``None`` if what is typed is none."""
        raise NotImplementedError

    def set_value(self, value: object) -> None:
        """Show a value, without a signal."""
        raise NotImplementedError

    def problem(self) -> str:
        """What is wrong with what is typed, in one sentence; empty if nothing."""
        return ""

    def set_wrong(self, wrong: bool) -> None:
        """Mark the edge."""
        set_property(self.focus_target(), "wrong", "true" if wrong else "false")

    def focus_target(self) -> QWidget:
        """The widget that takes the focus, carries the name and shows the edge."""
        return self

    def _adopt(self, widget: QWidget, *others: QWidget) -> None:
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for one in (widget, *others):
            layout.addWidget(one)
        self.setFocusProxy(widget)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Notice when the field is left; a menu or another window that opens does not count."""
        passing = (Qt.FocusReason.PopupFocusReason, Qt.FocusReason.ActiveWindowFocusReason)
        goes = isinstance(event, QFocusEvent) and event.type() == QEvent.Type.FocusOut and event.reason() not in passing
        if watched is self.focus_target() and goes:
            self.left.emit()
        return super().eventFilter(watched, event)


class TextControl(Control):
    """A line of text.

    Args:
        placeholder: Grey words while it is empty.
        check: Says what is wrong with a text, or nothing.
    """

    def __init__(self, placeholder: str = "", check: Callable[[str], str] | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._check = check
        self._unit: Label | None = None
        self._edit = QLineEdit()
        self._edit.setPlaceholderText(placeholder)
        self._edit.textEdited.connect(lambda: self.value_changed.emit(self.value()))
        self._edit.returnPressed.connect(self.left)
        self._adopt(self._edit)

    def value(self) -> object:
        """The text without blanks around it."""
        return self._edit.text().strip()

    def set_value(self, value: object) -> None:
        """Show a text; ``None`` is empty."""
        self._edit.setText("" if value is None else str(value))

    def problem(self) -> str:
        """What the check says."""
        return self._check(self._edit.text().strip()) if self._check is not None else ""

    def focus_target(self) -> QWidget:
        """The line."""
        return self._edit

    def set_unit(self, unit: str) -> None:
        """Grey words inside the field, at its right end."""
        if self._unit is None:
            self._unit = Label(unit, tone="2", parent=self._edit)
            self._unit.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._unit.setText(unit)
        self._place_unit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The unit stays at the right end."""
        if watched is self._edit and event.type() in (QEvent.Type.Resize, QEvent.Type.FontChange):
            self._place_unit()
        return super().eventFilter(watched, event)

    def _place_unit(self) -> None:
        if self._unit is None:
            return
        self._unit.adjustSize()
        self._unit.move(self._edit.width() - self._unit.width() - 8, (self._edit.height() - self._unit.height()) // 2)
        self._edit.setTextMargins(0, 0, self._unit.width() + 4, 0)

    def line_edit(self) -> QLineEdit:
        """The line, for completers and actions."""
        return self._edit


class _NumberControl(TextControl):
    """What whole and broken numbers share: bounds, a fixed width, digits as people type them."""

    def __init__(self, minimum: float | None, maximum: float | None, suggestion: str, parent: QWidget | None) -> None:
        super().__init__(parent=parent)
        self._minimum, self._maximum, self._suggestion = minimum, maximum, suggestion
        self._edit.setFixedWidth(em(9))
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

    def problem(self) -> str:
        """Not a number, or which bound it passes."""
        typed = self._edit.text().strip()
        number = self.parse(typed)
        if number is None:
            return self.not_a_number(typed)
        hint = " " + self.tr("Did you mean {0}?").format(self._suggestion) if self._suggestion else ""
        if self._maximum is not None and number > self._maximum:
            return self.tr("{0} is above {1}, the largest allowed.").format(typed, self.show_number(self._maximum)) + hint
        if self._minimum is not None and number < self._minimum:
            return self.tr("{0} is below {1}, the smallest allowed.").format(typed, self.show_number(self._minimum)) + hint
        return ""

    def value(self) -> object:
        """The number, also one out of bounds; ``None`` if it is none."""
        return self.parse(self._edit.text().strip())

    def parse(self, typed: str) -> float | None:
        """The number that was typed."""
        raise NotImplementedError

    def show_number(self, number: float) -> str:
        """A number as one would type it."""
        raise NotImplementedError

    def not_a_number(self, typed: str) -> str:
        """What to say when there is no number."""
        raise NotImplementedError


class IntControl(_NumberControl):
    """A whole number; Up and Down change it by a step.

    Args:
        minimum: Smallest allowed.
        maximum: Largest allowed.
        step: What Up and Down add and take.
    """

    def __init__(
        self, minimum: int | None = None, maximum: int | None = None, *, step: int = 1, suggestion: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(minimum, maximum, suggestion, parent)
        self._step = step

    def set_value(self, value: object) -> None:
        """Show a number; ``None`` is empty."""
        self._edit.setText("" if value is None else str(value))

    def parse(self, typed: str) -> int | None:
        """Digits, with the locale's thousands allowed."""
        cleaned = typed.replace(QLocale().groupSeparator(), "").replace(" ", "").replace("−", "-")
        try:
            return int(cleaned)
        except ValueError:
            return None

    def show_number(self, number: float) -> str:
        """Digits only."""
        return str(int(number))

    def not_a_number(self, typed: str) -> str:
        """What a whole number is."""
        return self.tr("“{0}” is not a whole number.").format(typed) if typed else self.tr("A whole number is needed here.")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Up and Down step inside the bounds."""
        if watched is self._edit and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            direction = {Qt.Key.Key_Up: 1, Qt.Key.Key_Down: -1}.get(Qt.Key(event.key()), 0)
            number = self.parse(self._edit.text().strip())
            if direction and number is not None:
                self._step_to(number + direction * self._step)
                return True
        return super().eventFilter(watched, event)

    def _step_to(self, number: int) -> None:
        low = number if self._minimum is None else max(number, int(self._minimum))
        self.set_value(low if self._maximum is None else min(low, int(self._maximum)))
        self.value_changed.emit(self.value())


class FloatControl(_NumberControl):
    """A number with a point; ``2e-4`` is allowed, a comma is read as a point.

    Args:
        minimum: Smallest allowed.
        maximum: Largest allowed.
        suggestion: What was probably meant when a bound is passed, such as ``2e-4``.
    """

    def __init__(
        self, minimum: float | None = None, maximum: float | None = None, *, suggestion: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(minimum, maximum, suggestion, parent)

    def set_value(self, value: object) -> None:
        """Show a number in its short form; ``None`` is empty."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._edit.setText("" if value is None else str(value))
            return
        self._edit.setText(self.show_number(float(value)))

    def parse(self, typed: str) -> float | None:
        """A finite number, or none."""
        try:
            number = float(typed.replace(",", ".").replace("−", "-").replace(" ", ""))
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    def show_number(self, number: float) -> str:
        """All digits that matter: small ones as 2e-4."""
        if number != 0 and abs(number) < 0.001:
            short = format_learning_rate(number)
            if float(short) == number:
                return short
        return f"{number:.10g}"

    def not_a_number(self, typed: str) -> str:
        """What a number is."""
        return self.tr("“{0}” is not a number.").format(typed) if typed else self.tr("A number is needed here.")


class OptionalFloatControl(FloatControl):
    """A number that may be left out; empty means none.

    Args:
        minimum: Smallest allowed.
        maximum: Largest allowed.
        words: Grey words while it is empty.
    """

    def __init__(self, minimum: float | None, maximum: float | None, words: str, parent: QWidget | None = None) -> None:
        super().__init__(minimum, maximum, parent=parent)
        self._edit.setPlaceholderText(words)

    def value(self) -> object:
        """The number, None where it is left out; what is neither comes as typed."""
        typed = self._edit.text().strip()
        return None if not typed else typed if self.parse(typed) is None else self.parse(typed)

    def problem(self) -> str:
        """As of a number; an empty field is fine."""
        return super().problem() if self._edit.text().strip() else ""


class BoolControl(Control):
    """A check box.

    Args:
        text: Words beside the box; the row's label stands at the left anyway.
    """

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QCheckBox(text)
        self._box.setMinimumWidth(em(9))
        self._box.toggled.connect(self._on_toggled)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self._quiet = False
        self._adopt(self._box)

    def value(self) -> object:
        """Whether it is ticked."""
        return self._box.isChecked()

    def set_value(self, value: object) -> None:
        """Tick it or not."""
        self._quiet = True
        self._box.setChecked(bool(value))
        self._quiet = False

    def focus_target(self) -> QWidget:
        """The box."""
        return self._box

    def _on_toggled(self, checked: bool) -> None:
        if not self._quiet:
            self.value_changed.emit(checked)


class ChoiceControl(Control):
    """One of several values.

    Args:
        options: Pairs of value and words.
    """

    def __init__(self, options: Sequence[tuple[object, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values = [value for value, _ in options]
        self._combo = QComboBox()
        self._combo.setMinimumWidth(em(9))
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self._combo.addItems([words for _, words in options])
        self._combo.activated.connect(lambda: self.value_changed.emit(self.value()))
        self._adopt(self._combo)

    def value(self) -> object:
        """The chosen value; ``None`` if there is none."""
        at = self._combo.currentIndex()
        return self._values[at] if 0 <= at < len(self._values) else None

    def set_value(self, value: object) -> None:
        """Choose a value; an unknown one chooses nothing."""
        self._combo.setCurrentIndex(self._values.index(value) if value in self._values else -1)

    def focus_target(self) -> QWidget:
        """The combo box."""
        return self._combo


class PathControl(TextControl):
    """A path, typed or picked.

    Args:
        kind: An existing ``file`` or ``folder``, or a file to ``save``.
        caption: Title of the system's dialog.
        name_filter: Which files it shows, such as ``"Data (*.json *.jsonl)"``.
        placeholder: Grey words while it is empty.
    """

    def __init__(
        self, kind: PathKind = "file", *, caption: str = "", name_filter: str = "", placeholder: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(placeholder, parent=parent)
        self._kind: PathKind = kind
        self._caption, self._filter = caption, name_filter
        browse = button(self.tr("Browse…"), "", "folder-open", on_click=self._on_browse_clicked)
        self._edit.setMinimumWidth(em(6))
        layout = self.layout()
        assert layout is not None
        layout.addWidget(browse)

    def _on_browse_clicked(self) -> None:
        start = self._edit.text()
        if self._kind == "folder":
            picked = QFileDialog.getExistingDirectory(self, self._caption, start)
        elif self._kind == "save":
            picked, _ = QFileDialog.getSaveFileName(self, self._caption, start, self._filter)
        else:
            picked, _ = QFileDialog.getOpenFileName(self, self._caption, start, self._filter)
        if picked:
            self.set_value(picked)
            self.value_changed.emit(self.value())
            self.left.emit()
