"""Form rows made from the declarations of the settings: control, bounds, unit, help, default and advice for each dotted path."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, cast

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop_ft.core.config import SETTINGS, SettingInfo
from desktop_ft.core.config.defaults import defaults_for, method_of, sources_for
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.field_row import FieldRow
from desktop_ft.ui.kit.fields import (
    BoolControl,
    ChoiceControl,
    Control,
    FloatControl,
    IntControl,
    OptionalFloatControl,
    PathControl,
    TextControl,
)
from desktop_ft.ui.kit.layout import column
from desktop_ft.ui.kit.text import Label, format_learning_rate
from desktop_ft.ui.wizard.notices import AdviceLine
from desktop_ft.ui.wizard.words import choice_word, setting_name, value_at

AUTO: Final = "auto"
QUIET_TONES: Final[Mapping[str, str]] = {"dora_slow": "info"}
"""Advice about the defaults is worth knowing and no warning."""
_PATHS: Final[Mapping[str, str]] = {
    "model.adapter": "folder", "data.eval": "file", "objective.rewards.model": "folder", "objective.rlhf.prompts": "file",
}  # fmt: skip


class AutoNumberControl(TextControl):
    """A whole number or ``auto``; empty means auto, or none where the setting may be left out.

    Args:
        minimum: Smallest allowed.
        optional: Whether an empty field is None.
    """

    def __init__(self, minimum: int, *, optional: bool, parent: QWidget | None = None) -> None:
        words = QCoreApplication.translate("settings_form", "none") if optional else QCoreApplication.translate("settings_form", "auto")
        super().__init__(words, self._check_text, parent)
        self._minimum = minimum
        self._optional = optional

    def value(self) -> object:
        """The number, ``auto``, or None where it may be left out; what is neither comes as typed."""
        typed = str(super().value())
        if not typed or typed.lower() == AUTO:
            return None if self._optional else AUTO
        return int(typed) if typed.lstrip("-").isdigit() else typed

    def set_value(self, value: object) -> None:
        """Show a number; auto and none leave the field empty."""
        super().set_value("" if value in (None, AUTO) else value)

    def _check_text(self, typed: str) -> str:
        if not typed or typed.lower() == AUTO:
            return ""
        if not typed.lstrip("-").isdigit():
            return self.tr("“{0}” is not a whole number; leave the field empty for the default.").format(typed)
        if int(typed) < self._minimum:
            return self.tr("{0} is below {1}, the smallest allowed.").format(typed, self._minimum)
        return ""


class OptionalPathControl(PathControl):
    """A path that may be left out."""

    def value(self) -> object:
        """The path, or None."""
        return super().value() or None


class NamesControl(TextControl):
    """Names apart by commas, or one of some words that stand for several.

    Args:
        choices: The words.
    """

    def __init__(self, choices: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__("" if choices else choice_word("none"), parent=parent)
        self._choices = choices

    def value(self) -> object:
        """The word, or a tuple of names."""
        typed = str(super().value())
        if typed in self._choices:
            return typed
        return tuple(name.strip() for name in typed.split(",") if name.strip())

    def set_value(self, value: object) -> None:
        """Show a word or names."""
        super().set_value(value if isinstance(value, str) else ", ".join(cast("Sequence[str]", value)))


def control_for(info: SettingInfo) -> Control:
    """What suits a setting by its declaration."""
    if info.path in _PATHS:
        return OptionalPathControl("folder" if _PATHS[info.path] == "folder" else "file", placeholder=choice_word("none"))
    if info.control == "bool" and AUTO not in info.choices:
        return BoolControl()
    if info.control == "bool":
        return ChoiceControl([(AUTO, choice_word(AUTO)), (True, choice_word("on")), (False, choice_word("off"))])
    if info.control == "int":
        return _int_control(info)
    if info.control == "float" and info.optional:
        return OptionalFloatControl(info.bounds.get("ge"), info.bounds.get("le"), choice_word("none"))
    if info.control == "float":
        return FloatControl(info.bounds.get("ge"), info.bounds.get("le"), suggestion=_suggestion(info))
    if info.control == "choice":
        return ChoiceControl([(choice, choice_word(choice)) for choice in info.choices])
    return NamesControl(info.choices) if info.control == "list" else TextControl()


def _int_control(info: SettingInfo) -> Control:
    low = info.bounds.get("ge")
    if AUTO in info.choices or info.optional:
        return AutoNumberControl(int(low or 0), optional=info.optional)
    high = info.bounds.get("le")
    return IntControl(None if low is None else int(low), None if high is None else int(high), suggestion=str(info.default))


def _suggestion(info: SettingInfo) -> str:
    return format_learning_rate(info.default) if info.path == "training.learning_rate" and isinstance(info.default, float) else ""


class SettingRow(QWidget):
    """One setting of the model: writes each change at once, shows what is wrong with it, and the advice about it.

    Args:
        model: The run being set up.
        path: Dotted path of the setting.
        unit: Another unit than the declared one.
        explained: Say below the row what the setting means, not only in its tooltip.
    """

    def __init__(
        self, model: NewRunModel, path: str, *, unit: str | None = None, explained: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        info = SETTINGS[path]
        self.path = path
        self._model = model
        self._writing = False
        self._has_effect = True
        self.field = FieldRow(setting_name(path), control_for(info), info.description, unit=info.unit if unit is None else unit)
        self._default: tuple[object, str] | None = None
        self.advice = AdviceLine()
        lines = [Label(info.description, "caption", "2", wrap=True)] if explained else []
        self.setLayout(column(self.field, *lines, self.advice, gap=2))
        self.field.value_changed.connect(self._on_value_changed)
        self.field.settled.connect(self._show_problem)
        self.refresh()

    @property
    def has_effect(self) -> bool:
        """Whether the setting counts with the others as they are."""
        return self._has_effect

    def refresh(self) -> None:
        """Show the draft's value, what is wrong with it and the advice; hidden where the setting has no effect."""
        value = self._model.draft.get(self.path)
        problem = self._problem()
        has_effect = bool(problem) or not self._model.is_ignored(self.path)
        if has_effect != self._has_effect:  # a new row has no parent yet: showing it would open a window
            self._has_effect = has_effect
            self.setVisible(has_effect)
        self._follow_default()
        if not self._writing and self.field.value() != value:
            self.field.set_value(value)
        self.field.set_note(self._note(value))
        if not self.field.control.focus_target().hasFocus() and not self.field.control.problem():
            self.field.set_error(problem)
        note = self._model.notes.get(self.path, "")
        advice = next((item for item in self._model.advice if item.path == self.path), None)
        if note:
            self.advice.show_words(note, "info")
        else:
            self.advice.show_advice(advice, QUIET_TONES.get(advice.code, "warn") if advice else "warn")

    def _follow_default(self) -> None:
        """The default of some settings depends on method and objective."""
        info, draft, objective = SETTINGS[self.path], self._model.draft, self._model.objective
        value = defaults_for(method_of(draft), objective).get(self.path, info.default)
        default = (value, sources_for(objective).get(self.path, info.source))
        if default != self._default:
            self._default = default
            self.field.set_default(*default)

    def _problem(self) -> str:
        """What is wrong with the draft's value, alone or beside others."""
        problem = next((found for found in self._model.all_problems if found.path == self.path), None)
        return "" if problem is None else f"{problem.message[:1].upper()}{problem.message[1:]} {problem.hint}"

    def _note(self, value: object) -> str:
        """What an auto stands for now."""
        resolved = self._model.resolved
        if value != AUTO or resolved is None or self.path not in resolved.reasons:
            return ""
        found = value_at(resolved.config, self.path)
        words = {True: choice_word("on"), False: choice_word("off")}.get(found, str(found)) if isinstance(found, bool) else str(found)
        return self.tr("auto: {0}").format(words)

    def _on_value_changed(self, value: object) -> None:
        control = self.field.control
        if value is None and isinstance(control, IntControl | FloatControl) and not isinstance(control, OptionalFloatControl):
            value = control.line_edit().text()
        self._model.notes.pop(self.path, None)
        self._writing = True
        self._model.set(self.path, value)
        self._writing = False

    def _show_problem(self, _value: object) -> None:
        self.field.set_error(self._problem())


class SettingsForm(QWidget):
    """Rows for several settings that follow the model.

    Args:
        model: The run being set up.
        paths: Which settings, in order.
        explained: Those of them whose meaning stands below.
    """

    def __init__(self, model: NewRunModel, paths: Sequence[str], explained: Collection[str] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = {path: SettingRow(model, path, explained=path in explained) for path in paths}
        self.setLayout(column(*self.rows.values(), None, gap=8))
        model.draft_changed.connect(self.refresh)
        model.memory_changed.connect(self.refresh)

    def refresh(self) -> None:
        """Show the draft's values."""
        for shown in self.rows.values():
            shown.refresh()

    def is_empty(self) -> bool:
        """Whether none of its settings has an effect now."""
        return not any(shown.has_effect for shown in self.rows.values())


class Disclosure(QWidget):
    """A line that opens and closes what is below it.

    Args:
        title: Its words, with a mnemonic.
        content: What it hides at first.
    """

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._content = content
        self.toggle = button(title, "flat", "chevron-right", on_click=self.flip)
        self.toggle.setCheckable(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.toggle)
        layout.addWidget(content)
        content.hide()

    def flip(self) -> None:
        """Open or close."""
        self.set_open(self._content.isHidden())

    def set_open(self, is_open: bool) -> None:
        """Show the content, or hide it."""
        self._content.setVisible(is_open)
        self.toggle.setChecked(is_open)
        self.toggle.set_icon("chevron-down" if is_open else "chevron-right")

    def is_open(self) -> bool:
        """Whether the content is shown."""
        return not self._content.isHidden()
