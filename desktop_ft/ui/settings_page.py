"""Settings: the program's look, where things are, and what this computer has. A change is in force and stored at once."""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Final, cast

import PySide6
from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QCheckBox, QFileDialog, QListWidget, QVBoxLayout, QWidget

from desktop_ft import __version__
from desktop_ft.core.settings import Preferences, ThemeChoice
from desktop_ft.core.workspace import HOME_VARIABLE, Workspace
from desktop_ft.jobs.machine_model import MachineModel
from desktop_ft.ui.kit.buttons import SegmentedControl, button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, facts_grid, frame, row
from desktop_ft.ui.kit.text import Label, format_gib

_THEMES: Final[tuple[ThemeChoice, ...]] = ("system", "light", "dark")
_PACKAGES: Final = ("torch", "transformers", "peft", "trl", "bitsandbytes")


class SettingsPage(QWidget):
    """Emits ``preferences_changed`` with the new `Preferences`."""

    preferences_changed = Signal(object)

    def __init__(self, workspace: Workspace, preferences: Preferences, machine: MachineModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._preferences = preferences
        body = column(
            Label(self.tr("Settings"), "title"),
            self._look(),
            self._places(workspace),
            self._models(),
            self._computer(machine),
            None,
            gap=24,
            pad=(24, 16, 24, 24),
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(VerticalScrollPage(body, name=self.tr("Settings")))

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
        show = button(self.tr("Open &folder"), "", "folder-open", on_click=lambda: _open_folder(workspace.home))
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

    def _computer(self, machine: MachineModel) -> QVBoxLayout:
        device = machine.device
        facts = [
            (self.tr("Trains on"), device.name),
            (self.tr("Memory"), self.tr("{0}, {1} free").format(format_gib(device.total_bytes), format_gib(device.free_bytes))),
            (self.tr("Number format"), "bfloat16" if device.supports_bf16 else "float32" if device.kind == "cpu" else "float16"),
            (self.tr("Desktop FT"), __version__),
            (self.tr("Python"), platform.python_version()),
            (self.tr("Qt"), PySide6.__version__),
            *((name, _version(name)) for name in _PACKAGES),
        ]
        if machine.problem:
            facts.insert(1, (self.tr("NVIDIA"), machine.problem))
        return column(Label(self.tr("This computer"), "section"), frame(column(facts_grid(facts, 1), pad=(16, 12, 16, 12))), gap=8)

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

    def _refresh_remove(self) -> None:
        self._remove.set_reason("" if self.folders.selectedItems() else self.tr("Choose a folder in the list first"))

    def _change(self, preferences: Preferences) -> None:
        self._preferences = preferences
        self.preferences_changed.emit(preferences)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _open_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
