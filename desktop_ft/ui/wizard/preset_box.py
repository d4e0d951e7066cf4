"""What do you want? Settings by purpose: the program's presets and the person's own."""

from __future__ import annotations

from typing import cast

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QSizePolicy, QWidget

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.presets import Preset, damaged_presets, delete_preset, list_presets
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.questions import ask


class PresetBox(QWidget):
    """Chooses a preset; its settings are the draft's from then on.

    Args:
        model: The run being set up.
    """

    error_raised = Signal(object)
    """`DesktopFtError`: presets could not be read."""

    def __init__(self, model: NewRunModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._presets: tuple[Preset, ...] = ()
        self.choice = QComboBox()
        self.choice.setAccessibleName(self.tr("What do you want?"))
        self.choice.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.choice.setMinimumContentsLength(18)
        self.choice.activated.connect(self._on_chosen)
        words = Label(self.tr("W&hat do you want?"), "section")
        words.setBuddy(self.choice)
        self.sentence = Label("", tone="2", wrap=True)
        self.remove = button(self.tr("Remo&ve it…"), "flat", "trash-2", on_click=self._on_remove_clicked)
        self.setLayout(column(row(words, (self.choice, 1), self.remove, None), self.sentence, gap=6))
        self._told: set[str] = set()
        self.reload()

    def take(self, preset: object) -> None:
        """A preset was saved from these very settings: it is there at once, and chosen."""
        self.reload()
        self.choice.setCurrentIndex(max(0, self.choice.findData(cast("Preset", preset).name)))
        self.refresh()

    def tell_damaged(self) -> None:
        """Say which of the person's own presets cannot be read, each once."""
        for error in damaged_presets():
            if error.message not in self._told:
                self._told.add(error.message)
                self.error_raised.emit(error)

    def reload(self) -> None:
        """Read the presets again; the one chosen stays chosen."""
        before = self.chosen()
        self._presets = list_presets()
        self.choice.blockSignals(True)
        self.choice.clear()
        self.choice.addItem(self.tr("Choose by purpose…"), None)
        for preset in self._presets:
            self.choice.addItem(preset.title, preset.name)
        self.choice.setCurrentIndex(max(0, self.choice.findData(before.name)) if before is not None else 0)
        self.choice.blockSignals(False)
        self.refresh()

    def refresh(self) -> None:
        """Show which preset the draft still is, as far as one is chosen."""
        preset = self.chosen()
        if preset is not None and not preset.is_kept_by(self._model.draft):
            self.sentence.setText(self.tr("Changed since “{0}” was chosen.").format(preset.title))
        else:
            self.sentence.setText("" if preset is None else preset.sentence)
        self.sentence.setVisible(bool(self.sentence.text()))
        self.remove.setVisible(preset is not None and preset.is_own)

    def chosen(self) -> Preset | None:
        """The preset chosen last; None before."""
        name: object = self.choice.currentData()
        return next((preset for preset in self._presets if preset.name == name), None)

    def _on_chosen(self) -> None:
        preset = self.chosen()
        if preset is not None:
            self._model.apply_preset(preset)
        self.refresh()

    def _on_remove_clicked(self) -> None:
        preset = self.chosen()
        if preset is not None:
            ask(
                self.window(),
                self.tr("Remove the preset “{0}”?").format(preset.title),
                self.tr("It can't be brought back. The settings of this run, and runs that were made with it, stay as they are."),
                (self.tr("Remove"), self.tr("Keep it")),
                lambda: self._remove(preset),
            )

    def _remove(self, preset: Preset) -> None:
        try:
            delete_preset(preset.name)
        except DesktopFtError as error:
            self.error_raised.emit(error)
        self.reload()
