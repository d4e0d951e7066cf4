"""The place where a run is set up: the wizard with its model, fed with what the machine has free."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop_ft.core.config import Draft
from desktop_ft.core.settings import Preferences
from desktop_ft.jobs.machine_model import MachineModel
from desktop_ft.jobs.model_catalogue import ModelCatalogue
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.wizard.wizard import NewRunWizard


class WizardPlace(QWidget):
    """One run being set up.

    Args:
        machine: What the run would train on.
        preferences: Folders of models that were chosen before.
        draft: What to start from; the demo unless given.
    """

    start_requested = Signal(object)
    """`RunConfig`."""
    cancelled = Signal()
    error_raised = Signal(object)
    crashed = Signal(object)
    prediction_changed = Signal(object)
    """Bytes that the run would need; 0 where it is not known."""
    folder_used = Signal(str)
    """A folder that a model was chosen from."""

    def __init__(self, machine: MachineModel, preferences: Preferences, draft: Draft | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._machine = machine
        self.model = NewRunModel(machine.device, draft, parent=self)
        self.catalogue = ModelCatalogue(machine.device, preferences.model_folders, parent=self)
        self.catalogue.folder_used.connect(self.folder_used)
        self.wizard = NewRunWizard(self.model, self, catalogue=self.catalogue)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.wizard)
        machine.changed.connect(self._on_machine_changed)
        self.model.memory_changed.connect(self._on_memory_changed)
        self.wizard.start_requested.connect(self.start_requested)
        self.wizard.cancelled.connect(self.cancelled)
        self.wizard.error_raised.connect(self.error_raised)
        self.wizard.crashed.connect(self.crashed)
        self.model.start()

    @property
    def predicted_bytes(self) -> int:
        """What the run would need at its peak; 0 where it is not known."""
        return self.model.estimate.total_bytes if self.model.estimate is not None else 0

    def take_focus(self) -> None:
        """Put the keyboard where the wizard's page wants it."""
        self.wizard.take_focus()

    def set_folders(self, preferences: Preferences) -> None:
        """Offer the models of other folders."""
        self.catalogue.set_folders(preferences.model_folders)

    def close_down(self) -> None:
        """End what runs in the background."""
        self._machine.changed.disconnect(self._on_machine_changed)
        self.model.close()

    def _on_machine_changed(self) -> None:
        self.model.set_device(self._machine.device)

    def _on_memory_changed(self) -> None:
        self.prediction_changed.emit(self.predicted_bytes)
