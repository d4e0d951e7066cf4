"""The place where runs are watched: the table, and one run's page in front of it."""

from __future__ import annotations

from typing import cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QStackedWidget, QWidget

from desktop_ft.core.run_summary import RunSummary
from desktop_ft.core.runs import RunDir
from desktop_ft.jobs.machine_model import MachineModel
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.jobs.runs_service import RunsService
from desktop_ft.ui.export_dialog import ExportDialog
from desktop_ft.ui.run_page import RunPage
from desktop_ft.ui.runs_page import RunsPage


class RunsPlace(QStackedWidget):
    """The table of runs and the page of one run.

    Args:
        service: Where runs come from and who acts on them.
        machine: For what the device has free beside the run shown.
    """

    new_run_requested = Signal()
    error_raised = Signal(object)
    notice_raised = Signal(str)
    """A sentence for the strip."""
    crashed = Signal(object)
    continue_requested = Signal(object, str)
    """`RunDir`, and the objective of a new run that goes on from it."""
    run_shown = Signal(object)
    """`RunModel` that came to the front."""

    def __init__(self, service: RunsService, machine: MachineModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._service = service
        self._machine = machine
        self.table_page = RunsPage(service)
        self.run_page = RunPage(service)
        self.addWidget(self.table_page)
        self.addWidget(self.run_page)
        self.table_page.run_opened.connect(self._on_run_opened)
        self.table_page.export_requested.connect(self._on_table_export)
        self.table_page.new_run_requested.connect(self.new_run_requested)
        self.table_page.error_raised.connect(self.error_raised)
        self.run_page.back_requested.connect(self.show_table)
        self.run_page.error_raised.connect(self.error_raised)
        self.run_page.notice_raised.connect(self.notice_raised)
        self.run_page.crashed.connect(self.crashed)
        self.run_page.export_requested.connect(self._on_export)
        self.run_page.continue_requested.connect(self.continue_requested)
        service.run_deleted.connect(self._on_run_deleted)
        machine.changed.connect(self._on_machine_changed)

    def show_run(self, model: RunModel) -> None:
        """Bring a run's page to the front."""
        self.run_page.set_run(model)
        self._on_machine_changed()
        self.setCurrentWidget(self.run_page)
        self.take_focus()
        self.run_shown.emit(model)

    def show_table(self) -> None:
        """Bring the table to the front."""
        self._service.refresh()
        self.setCurrentWidget(self.table_page)
        self.take_focus()

    def take_focus(self) -> None:
        """Put the keyboard on the tabs of the run in front, or on the table."""
        if self.currentWidget() is self.run_page:
            self.run_page.tabs.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self.table_page.take_focus()

    def current_run(self) -> RunModel | None:
        """The run in front, or None while the table is."""
        return self.run_page.current_run() if self.currentWidget() is self.run_page else None

    def run_actions(self) -> dict[str, QAction]:
        """What the menu offers for the run in front, by key; the actions are the page's own."""
        actions = self.run_page.run_actions
        return {"pause": actions.pause, "stop": actions.stop, "save": actions.save, "sample": actions.sample, "export": actions.export}

    def _on_run_opened(self, summary: object) -> None:
        model = self._service.open(cast("RunSummary", summary).run.path)
        if model is not None:
            self.show_run(model)

    def _on_table_export(self, summary: object) -> None:
        self._export(cast("RunSummary", summary).run)

    def _on_export(self, run: object) -> None:
        self._export(cast("RunDir", run))

    def _export(self, run: RunDir) -> None:
        dialog = ExportDialog(run, self, environment=self._service.environment)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.error_raised.connect(self.error_raised)
        dialog.crashed.connect(self.crashed)
        dialog.open()

    def _on_run_deleted(self, path: object) -> None:
        shown = self.current_run()
        if shown is not None and shown.run.path == path:
            self.show_table()

    def _on_machine_changed(self) -> None:
        """What the run shown could have: what is free, with what it holds itself."""
        model, gpu = self.run_page.current_run(), self._machine.gpu
        if model is None or not model.is_live or model.engine is None or gpu is None:
            self.run_page.set_free_bytes(None)
            return
        held = self._machine.bytes_of(model.engine.pid) or 0
        self.run_page.set_free_bytes(gpu.free_bytes + held)
