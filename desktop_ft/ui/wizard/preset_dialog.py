"""Keeping the settings of the run being set up as a preset of one's own."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QWidget

from desktop_ft.core.config import RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.presets import own_preset, save_preset
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fields import TextControl
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import Label

LONGEST_TITLE = 60


class PresetDialog(QDialog):
    """A name and a sentence; saving is all it does.

    Args:
        config: Whose method, objective and training are kept.
        parent: Qt's owner.
    """

    saved = Signal(object)
    """The `Preset`."""
    error_raised = Signal(object)
    """`DesktopFtError`: it could not be kept; the dialog stays open with what was typed."""

    def __init__(self, config: RunConfig, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._config = config
        self.setWindowTitle(self.tr("Save as preset"))
        words = Label(
            self.tr("Keeps objective, method and training. Model, data, evaluation and what is kept on the disk stay out of it."),
            tone="2",
            wrap=True,
        )
        self.title_field = TextControl(self.tr("Such as: My house style"))
        self.title_field.line_edit().setMaxLength(LONGEST_TITLE)
        self.sentence_field = TextControl(self.tr("When to take it, in one sentence"))
        self.note = Label("", tone="2", wrap=True)
        self.keep = button(self.tr("&Save"), "primary", on_click=self.save)
        self.keep.setDefault(True)
        cancel = button(self.tr("&Cancel"), on_click=self.reject)
        title = self._named(self.tr("&Name"), self.title_field, self.tr("Name of the preset"))
        sentence = self._named(self.tr("S&entence (may be empty)"), self.sentence_field, self.tr("Sentence of the preset"))
        self.setLayout(column(words, title, sentence, self.note, None, row(None, cancel, self.keep), gap=12, pad=(16, 16, 16, 12)))
        self.setMinimumWidth(em(34))
        self.title_field.value_changed.connect(self._check)
        self._check()

    @staticmethod
    def _named(text: str, field: TextControl, spoken_name: str) -> QWidget:
        label = Label(text, tone="2")
        label.setBuddy(field.focus_target())
        field.focus_target().setAccessibleName(spoken_name)
        box = QWidget()
        box.setLayout(column(label, field, gap=4))
        return box

    def save(self) -> None:
        """Write the preset, and close where that worked."""
        try:
            preset = save_preset(str(self.title_field.value()), str(self.sentence_field.value()), self._config)
        except DesktopFtError as error:
            self.error_raised.emit(error)
            return
        self.saved.emit(preset)
        self.accept()

    def _check(self, *_: object) -> None:
        title = str(self.title_field.value())
        self.keep.set_reason("" if title else self.tr("Give it a name first"))
        replaces = bool(title) and own_preset(title) is not None
        self.keep.setText(self.tr("&Replace") if replaces else self.tr("&Save"))
        self.note.setText(self.tr("There is a preset of this name; it will be replaced.") if replaces else "")
