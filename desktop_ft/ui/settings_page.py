"""Settings: the program's look, where things are, and what this computer has. A change is in force and stored at once."""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Final, cast

import PySide6
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QFileDialog, QListWidget, QVBoxLayout, QWidget

from desktop_ft import __version__
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.settings import Preferences, ThemeChoice
from desktop_ft.core.workspace import HOME_VARIABLE, Workspace
from desktop_ft.jobs.machine_model import MachineModel
from desktop_ft.ui.device_rows import CardChoice, MeasurementsRow
from desktop_ft.ui.folders import open_folder
from desktop_ft.ui.kit.buttons import SegmentedControl, button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, facts_grid, frame, grid, row, rule
from desktop_ft.ui.kit.text import Label, format_gib

_THEMES: Final[tuple[ThemeChoice, ...]] = ("system", "light", "dark")
_PACKAGES: Final = ("torch", "transformers", "peft", "trl", "bitsandbytes")


class SettingsPage(QWidget):
    """The program's settings.

    Args:
        workspace: Where runs are.
        preferences: What is chosen now; `set_preferences` brings what was chosen elsewhere.
        machine: What the computer has for training.
    """

    preferences_changed = Signal(object)
    """`Preferences`."""
    error_raised = Signal(object)
    """`DesktopFtError`."""
    measurements_forgotten = Signal()
    """What was measured on this computer is gone; estimates are to be made anew."""

    def __init__(self, workspace: Workspace, preferences: Preferences, machine: MachineModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._preferences = preferences
        self._machine = machine
        body = column(
            Label(self.tr("Settings"), "title"),
            self._look(),
            self._places(workspace),
            self._models(),
            self._computer(),
            None,
            gap=24,
            pad=(24, 16, 24, 24),
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(VerticalScrollPage(body, name=self.tr("Settings")))
        machine.changed.connect(self._refresh_device)
        self._refresh_device()

    def set_preferences(self, preferences: Preferences) -> None:
        """Show what was chosen elsewhere."""
        self._preferences = preferences
        self.cards.set_chosen(preferences.gpu)
        self.themes.set_current(_THEMES.index(preferences.theme))
        self.explain_close.setChecked(preferences.explain_close)
        if self._listed_folders() != preferences.model_folders:
            self._show_folders()

    def take_focus(self) -> None:
        """Put the keyboard on the first control."""
        self.themes.segments()[self.themes.current()].setFocus(Qt.FocusReason.OtherFocusReason)

    def _look(self) -> QVBoxLayout:
        self.themes = SegmentedControl(
            [self.tr("As the system"), self.tr("Light"), self.tr("Dark")],
            _THEMES.index(self._preferences.theme),
            name=self.tr("Theme"),
        )
        self.themes.current_changed.connect(lambda index: self._change(replace(self._preferences, theme=_THEMES[cast("int", index)])))
        self.explain_close = QCheckBox(self.tr("&Say when closing the window that a run goes on"))
        self.explain_close.setChecked(self._preferences.explain_close)
        self.explain_close.toggled.connect(lambda checked: self._change(replace(self._preferences, explain_close=bool(checked))))
        return column(Label(self.tr("Window"), "section"), row(self.themes, None), row(self.explain_close, None), gap=8)

    def _places(self, workspace: Workspace) -> QVBoxLayout:
        home = str(workspace.home)
        text = self.tr("Runs, checkpoints and exports are kept here. To keep them elsewhere, set {0} before the program starts.")
        show = button(self.tr("Open &folder"), "", "folder-open", on_click=lambda: self._on_open_clicked(workspace.home))
        return column(
            Label(self.tr("Workspace"), "section"),
            Label(home, wrap=True, mono=True, selectable=True),
            Label(text.format(HOME_VARIABLE), "caption", "2", wrap=True),
            row(show, None),
            gap=8,
        )

    def _models(self) -> QVBoxLayout:
        self.folders = QListWidget()
        self.folders.setAccessibleName(self.tr("Folders of models"))
        self.folders.addItems(list(self._preferences.model_folders))
        self.folders.setFixedHeight(em(9))
        self._remove = button(self.tr("&Remove from the list"), "", "minus", on_click=self._on_remove_clicked)
        self.folders.itemSelectionChanged.connect(self._refresh_remove)
        add = button(self.tr("&Add a folder…"), "", "plus", on_click=self._on_add_clicked)
        self._refresh_remove()
        text = self.tr("Model folders that New run offers besides the demo and the Hugging Face cache. Removing one deletes nothing.")
        return column(
            Label(self.tr("Models"), "section"), Label(text, "caption", "2", wrap=True), self.folders, row(add, self._remove, None), gap=8
        )

    def _computer(self) -> QVBoxLayout:
        self._device, self._memory, self._format, self._nvidia = (Label("", wrap=True, selectable=True) for _ in range(4))
        device = grid()
        names = (self.tr("Trains on"), self.tr("Memory"), self.tr("Number format"), self.tr("NVIDIA"))
        for line, (name, value) in enumerate(zip(names, (self._device, self._memory, self._format, self._nvidia), strict=True)):
            device.addWidget(Label(name, tone="2"), line, 0)
            device.addWidget(value, line, 1)
        device.setColumnStretch(1, 1)
        facts = [
            (self.tr("Desktop FT"), __version__),
            (self.tr("Python"), platform.python_version()),
            (self.tr("Qt"), PySide6.__version__),
            *((name, _version(name)) for name in _PACKAGES),
        ]
        box = frame(column(device, rule(), facts_grid(facts, 2), gap=12, pad=(16, 12, 16, 12)))
        self.cards = CardChoice(self._machine, self._preferences.gpu)
        self.cards.card_chosen.connect(lambda uuid: self._change(replace(self._preferences, gpu=uuid)))
        self.measurements = MeasurementsRow()
        self.measurements.error_raised.connect(self.error_raised)
        self.measurements.forgotten.connect(self.measurements_forgotten)
        return column(Label(self.tr("This computer"), "section"), box, self.cards, self.measurements, gap=8)

    def _refresh_device(self) -> None:
        machine, device = self._machine, self._machine.device
        self._device.setText(device.name)
        self._memory.setText(self.tr("{0}, {1} free").format(format_gib(device.total_bytes), format_gib(device.free_bytes)))
        self._format.setText("bfloat16" if device.supports_bf16 else "float32" if device.kind == "cpu" else "float16")
        cards = self.tr("{0} cards").format(machine.num_gpus) if machine.num_gpus > 1 else self.tr("One card")
        self._nvidia.setText(machine.problem or (cards if machine.num_gpus else self.tr("No card")))

    def _on_add_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self.tr("A folder that holds a model"))
        if chosen:
            self.add_folder(chosen)

    def add_folder(self, folder: str) -> None:
        """Put a folder on top of the list."""
        self._change(self._preferences.with_model_folder(folder))
        self._show_folders()

    def _on_remove_clicked(self) -> None:
        chosen = {item.text() for item in self.folders.selectedItems()}
        kept = tuple(folder for folder in self._preferences.model_folders if folder not in chosen)
        self._change(replace(self._preferences, model_folders=kept))
        self._show_folders()

    def _show_folders(self) -> None:
        self.folders.clear()
        self.folders.addItems(list(self._preferences.model_folders))
        self._refresh_remove()

    def _listed_folders(self) -> tuple[str, ...]:
        return tuple(self.folders.item(line).text() for line in range(self.folders.count()))

    def _on_open_clicked(self, folder: Path) -> None:
        try:
            open_folder(folder)
        except DesktopFtError as error:
            self.error_raised.emit(error)

    def _refresh_remove(self) -> None:
        self._remove.set_reason("" if self.folders.selectedItems() else self.tr("Choose a folder in the list first"))

    def _change(self, preferences: Preferences) -> None:
        if preferences == self._preferences:
            return
        self._preferences = preferences
        self.preferences_changed.emit(preferences)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
