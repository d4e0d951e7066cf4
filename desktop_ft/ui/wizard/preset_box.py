"""What do you want? Settings by purpose: the program's presets and the person's own."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QSizePolicy, QWidget

from desktop_ft.core.errors import ConfigError, DesktopFtError
from desktop_ft.core.presets import Preset, list_presets
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import Label


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
        self.setLayout(column(row(words, (self.choice, 1), None), self.sentence, gap=6))
        self.reload()

    def reload(self) -> None:
        """Read the presets again."""
        try:
            self._presets = list_presets()
        except (DesktopFtError, ConfigError) as error:
            self.error_raised.emit(error)
        self.choice.blockSignals(True)
        self.choice.clear()
        self.choice.addItem(self.tr("Choose by purpose…"), None)
        for preset in self._presets:
            self.choice.addItem(preset.title, preset.name)
        self.choice.blockSignals(False)
        self.refresh()

    def refresh(self) -> None:
        """Show which preset the draft still is, as far as one is chosen."""
        preset = self.chosen()
        is_kept = preset is not None and all(self._model.draft.get(path) == value for path, value in preset.changes().items())
        if preset is not None and not is_kept:
            self.sentence.setText(self.tr("Changed since “{0}” was chosen.").format(preset.title))
        else:
            self.sentence.setText("" if preset is None else preset.sentence)
        self.sentence.setVisible(preset is not None)

    def chosen(self) -> Preset | None:
        """The preset chosen last; None before."""
        name: object = self.choice.currentData()
        return next((preset for preset in self._presets if preset.name == name), None)

    def _on_chosen(self) -> None:
        preset = self.chosen()
        if preset is not None:
            self._model.apply_preset(preset)
        self.refresh()
