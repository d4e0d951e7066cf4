"""A form row: label, control, unit, the way back to the default, and what is wrong. Said on leaving the field, not while typing."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QSizePolicy, QWidget

from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fields import Control, TextControl
from desktop_ft.ui.kit.icons import IconLabel
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import ElidedLabel, Label


class FieldRow(QWidget):
    """A labelled control.

    ``value_changed`` carries the control's value at each change; ``settled`` comes on leaving the field, with the value, when it is right.

    Args:
        name: The words at the left; also the control's accessible name.
        control: What the value is changed with.
        meaning: What the value means; the tooltip, and read aloud.
        unit: Grey words inside a field, or behind another control.
        note: Grey words behind the name, such as "follows the rank".
    """

    value_changed = Signal(object)
    settled = Signal(object)

    def __init__(
        self, name: str, control: Control, meaning: str = "", *, unit: str = "", note: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.control = control
        self._name = name
        self._meaning = meaning
        self._has_default = False
        self._default: object = None
        self._error = ""
        self._label = Label(name, tone="2")
        self._label.setBuddy(control.focus_target())
        self._note = ElidedLabel(note, "caption", "2")
        behind = Label("" if isinstance(control, TextControl) else unit, tone="2")
        if not behind.text():
            behind.hide()
        if unit and isinstance(control, TextControl):
            control.set_unit(unit)
        self._reset = button(kind="flat", icon_name="rotate-ccw", name=self.tr("Back to the default of {0}").format(name))
        self._reset.clicked.connect(self.reset)
        policy = self._reset.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._reset.setSizePolicy(policy)
        self._reset.hide()
        self._error_label = Label("", "caption", "bad", wrap=True)
        self._error_line = QWidget()
        self._error_line.setLayout(row(column(IconLabel("octagon-x", "bad", 14), None), (self._error_label, 1), gap=6))
        self._error_line.hide()
        wide = control.sizePolicy().horizontalPolicy() != QSizePolicy.Policy.Maximum
        line = row((row(self._label, (self._note, 1)), 2 if wide else 1), (control, 3 if wide else 0), behind, self._reset)
        self.setLayout(column(line, self._error_line, gap=4))
        control.value_changed.connect(self._on_value_changed)
        control.left.connect(self._on_left)
        self._name_control()

    def value(self) -> object:
        """The control's value; ``None`` if what is typed is none."""
        return self.control.value()

    def set_value(self, value: object) -> None:
        """Show a value without a signal; an old error goes."""
        self.control.set_value(value)
        self.set_error("")
        self._show_reset()

    def set_default(self, value: object, source: str = "") -> None:
        """The value that the arrow goes back to, and where it comes from (in the tooltip)."""
        self._default, self._has_default = value, True
        tip = "\n".join(part for part in (self._meaning, self.tr("Default: {0}").format(source) if source else "") if part)
        self._label.setToolTip(tip)
        self.control.focus_target().setToolTip(tip)
        self._show_reset()

    def reset(self) -> None:
        """Back to the default."""
        self.control.set_value(self._default)
        self.control.setFocus(Qt.FocusReason.OtherFocusReason)
        self.set_error("")
        self._on_value_changed(self.control.value())
        self.settled.emit(self.control.value())

    def set_error(self, message: str) -> None:
        """Say what is wrong below the field, or take it away."""
        if message == self._error:
            return
        self._error = message
        self.control.set_wrong(bool(message))
        self._error_label.setText(message)
        self._error_line.setVisible(bool(message))
        self._name_control()

    def error(self) -> str:
        """What is wrong; empty if nothing."""
        return self._error

    def set_note(self, note: str) -> None:
        """Grey words behind the name."""
        self._note.setText(note)

    def is_changed(self) -> bool:
        """Whether the value differs from the default."""
        return self._has_default and self.control.value() != self._default

    def _name_control(self) -> None:
        target = self.control.focus_target()
        target.setAccessibleName(self._name)
        target.setAccessibleDescription(" ".join(part for part in (self._error, self._meaning) if part))

    def _show_reset(self) -> None:
        self._reset.setVisible(self.is_changed() and self.isEnabled())

    def _on_value_changed(self, value: object) -> None:
        if self._error and not self.control.problem():
            self.set_error("")
        self._show_reset()
        self.value_changed.emit(value)

    def _on_left(self) -> None:
        problem = self.control.problem()
        self.set_error(problem)
        if not problem:
            self.settled.emit(self.control.value())
