"""The export dialog: choose, watch, read the verdict. Each export is a job of the engine; this window only follows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, cast

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QDialog, QFileDialog, QStackedWidget, QWidget

from desktop_ft.core.config import RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_text
from desktop_ft.core.job import ExportRequest, ExportTarget, create_job
from desktop_ft.core.runs import RunDir
from desktop_ft.jobs.background import BackgroundTask, IsCancelled, ReportProgress
from desktop_ft.jobs.job_model import JobModel
from desktop_ft.ui.export_dialog.choices import FormatPanel, OptionsPane
from desktop_ft.ui.export_dialog.outcome import Outcome, report_of
from desktop_ft.ui.export_dialog.plan import Choice, Plans, make_plans, request_for, weights_of
from desktop_ft.ui.export_dialog.result import ResultPane
from desktop_ft.ui.export_dialog.running import RunningPane
from desktop_ft.ui.folders import open_folder
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import column, frame, row
from desktop_ft.ui.questions import ask

State = Literal["choosing", "writing", "done"]
_REPLAN_MS: Final = 150
_WIDTH_EM, _HEIGHT_EM = 66, 41
_LEFT_EM: Final = 20


class ExportDialog(QDialog):
    """Takes a run's result away.

    Args:
        run: The run.
        parent: Its window.
        environment: Further variables for the engine, such as which GPU it sees.

    Attributes:
        outcomes: What came of each export so far.
        state: choosing, writing or done.
    """

    error_raised = Signal(object)
    """`DesktopFtError` that the dialog has no place for."""
    crashed = Signal(object)
    """Traceback (str) of an exception that nobody expected."""

    def __init__(self, run: RunDir, parent: QWidget | None = None, *, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(parent)
        self._run, self._environment = run, environment
        self._config, problem = _config_of(run)
        self.state: State = "choosing"
        self.outcomes: list[Outcome] = []
        self._plans: Plans | None = None
        self._plan_task: BackgroundTask | None = None
        self._queue: list[ExportTarget] = []
        self._job: JobModel | None = None
        self._request: ExportRequest | None = None
        self._is_cancelling = False
        name = run.path.name if self._config is None else self._config.name
        self.setWindowTitle(self.tr("Export {0}").format(name))
        self.formats = FormatPanel(run.exports, has_adapter=self._config is None or self._config.method.kind != "full")
        self.formats.setFixedWidth(em(_LEFT_EM))
        self.options = OptionsPane(weights_of(run, self._config))
        self.running = RunningPane()
        self._pages = QStackedWidget()
        for page in (self.options, self.running):
            self._pages.addWidget(page)
        self._result: ResultPane | None = None
        self._make_buttons()
        self._lay_out()
        self._replan = QTimer(self)
        self._replan.setSingleShot(True)
        self._replan.setInterval(_REPLAN_MS)
        self._replan.timeout.connect(self._make_plans)
        self.formats.changed.connect(self._on_choice_changed)
        self.options.changed.connect(self._on_choice_changed)
        self.show_state()
        if problem is not None:
            self.options.show_problem(f"{problem.title}. {problem.message} {problem.hint}")
        self._make_plans()

    # --- making ----------------------------------------------------------------------------------------------------------

    def _make_buttons(self) -> None:
        self.open_folder = button(self.tr("Open &folder"), icon_name="folder-open", on_click=self._on_open_folder)
        self.save_report = button(self.tr("&Save report…"), on_click=self._on_save_report)
        self.cancel = button(self.tr("&Cancel"), on_click=self.reject)
        self.export = button(self.tr("&Export"), "primary", on_click=self.start)
        self.done_button = button(self.tr("&Done"), "primary", on_click=self.accept)

    def _lay_out(self) -> None:
        body = row(self.formats, (self._pages, 1), gap=20, pad=(16, 16, 16, 16))
        buttons = row(self.open_folder, None, self.save_report, self.cancel, self.export, self.done_button, pad=(16, 10, 16, 12))
        layout = column(gap=0)
        layout.addWidget(frame(body, "page"), 1)
        layout.addWidget(frame(buttons, "footer"))
        self.setLayout(layout)
        parent = self.parentWidget()
        width, height = em(_WIDTH_EM), em(_HEIGHT_EM)
        if parent is not None:
            window = parent.window()
            width, height = min(width, window.width() - 24), min(height, window.height() - 24)
        self.resize(width, height)
        self.setModal(True)

    def show_state(self) -> None:
        """Only what can be done now is there; Done is primary only once there is a result."""
        self.open_folder.setVisible(self.state == "done")
        self.save_report.setVisible(self.state == "done")
        self.done_button.setVisible(self.state == "done")
        self.cancel.setVisible(self.state != "done")
        self.export.setVisible(self.state == "choosing")
        self.formats.set_locked(self.state != "choosing")
        if self.state != "done":
            self._pages.setCurrentWidget(self.options if self.state == "choosing" else self.running)

    # --- choosing --------------------------------------------------------------------------------------------------------

    def _on_choice_changed(self) -> None:
        self.options.set_merged_enabled("merged" in self.formats.chosen())
        self._check()
        if self._plans is None or self._plans.choice != self._choice():
            self._replan.start()

    def _choice(self) -> Choice:
        return self.options.choice(self.formats.folder())

    def _make_plans(self) -> None:
        if self._config is None or self._plan_task is not None:
            self._check()
            return
        run, config, choice = self._run, self._config, self._choice()

        def work(_cancelled: IsCancelled, _progress: ReportProgress) -> Plans:
            return make_plans(run, config, choice)

        self._plan_task = BackgroundTask(work, self)
        self._plan_task.succeeded.connect(self._on_planned)
        self._plan_task.crashed.connect(self.crashed)
        self._plan_task.finished.connect(self._on_plan_task_finished)
        self._plan_task.start()
        self._check()

    def _on_planned(self, plans: object) -> None:
        self._plans = cast("Plans", plans)
        self.formats.show_plans(self._plans)
        self._check()

    def _on_plan_task_finished(self) -> None:
        self._plan_task = None
        if self._plans is None or self._plans.choice != self._choice():
            self._replan.start()

    def _check(self) -> None:
        """Allow the start, or say what is in its way."""
        chosen = self.formats.chosen()
        plans = self._plans
        if self._config is None:
            self.export.set_reason(self.tr("The run's settings can't be read"))
            return
        if not chosen:
            self.export.set_reason(self.tr("Tick what to write"))
            self.options.show_problem("")
            return
        if plans is None:
            self.export.set_reason(self.tr("The size is being computed"))
            return
        errors = [error for to in chosen if (error := plans.error(to)) is not None]
        needed = sum(plans.num_bytes(to) or 0 for to in chosen)
        problem = f"{errors[0].title}. {errors[0].message} {errors[0].hint}" if errors else ""
        if not problem and needed > plans.free_bytes:
            problem = self.tr("There is not enough space for both. Write one of them, or choose a folder on another disk.")
        self.options.show_problem(problem)
        self.export.set_reason(errors[0].title if errors else self.tr("There is not enough space") if problem else "")

    # --- writing ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Write what is ticked, one after the other."""
        self._queue = list(self.formats.chosen())
        self.outcomes = []
        self._is_cancelling = False
        self.running.set_targets(self._queue)
        self.state = "writing"
        self.show_state()
        self._start_next()

    def _start_next(self) -> None:
        if not self._queue or self._is_cancelling:
            self.finish()
            return
        to = self._queue.pop(0)
        request = request_for(self._run, to, self._choice())
        try:
            folder = create_job(self._run, request).path
        except DesktopFtError as error:
            self._add(Outcome(to, request.out, error=error))
            return
        job = JobModel(folder, self)
        self._job, self._request = job, request
        for signal in (job.progress_changed, job.status_changed, job.messages_changed, job.result_changed):
            signal.connect(self._on_job_changed)
        self.running.show_job(to, job)
        job.start(self._environment)

    def _on_job_changed(self) -> None:
        job, request = self._job, self._request
        if job is None or request is None:
            return
        if job.is_live or job.status == "new":
            self.running.show_job(request.to, job)
            return
        self._job = None
        exported = job.exported[-1] if job.exported else None
        if job.status == "stopped" and exported is None:
            self._is_cancelling = True
            self.running.show_done(request.to, "2")
            self._start_next()
            return
        size = exported.num_bytes if exported is not None else 0
        scores = self.options.is_reward_model()
        self._add(
            Outcome(request.to, request.out, size, job.verified, tuple(job.warnings), job.error, job.error_details, is_reward_model=scores)
        )

    def _add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.running.show_done(outcome.to, "good" if outcome.error is None else "bad")
        self._start_next()

    def finish(self) -> None:
        """Show what came of it, or go back to the choice where nothing did."""
        self._plans = None
        if not self.outcomes or self._config is None:
            self.state = "choosing"
            self.show_state()
            self._make_plans()
            return
        self._show_result(self._config)

    def _show_result(self, config: RunConfig) -> None:
        if self._result is not None:
            self._pages.removeWidget(self._result)
            self._result.deleteLater()
        self._result = ResultPane(self.outcomes, config)
        self._pages.addWidget(self._result)
        self._pages.setCurrentWidget(self._result)
        self.state = "done"
        self.show_state()
        written = [outcome for outcome in self.outcomes if outcome.error is None]
        self.open_folder.set_reason("" if written else self.tr("Nothing was written"))
        self.done_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def result_pane(self) -> ResultPane | None:
        """The verdict, once there is one."""
        return self._result

    # --- leaving ---------------------------------------------------------------------------------------------------------

    def reject(self) -> None:
        """Esc and Cancel: while something is written, the question comes first."""
        if self.state != "writing":
            super().reject()
            return
        ask(
            self,
            self.tr("Cancel the export?"),
            self.tr("What is being written is removed again; exports that are whole already stay."),
            (self.tr("Cancel the export"), self.tr("Go on")),
            self.cancel_export,
        )

    def cancel_export(self) -> None:
        """End the present export and leave out the rest."""
        self._is_cancelling = True
        if self._job is not None:
            self._job.cancel()

    def closeEvent(self, event: QCloseEvent) -> None:
        """The window's cross is as Esc."""
        if self.state == "writing":
            event.ignore()
            self.reject()
            return
        super().closeEvent(event)

    # --- afterwards ------------------------------------------------------------------------------------------------------

    def _on_open_folder(self) -> None:
        written = [outcome.out for outcome in self.outcomes if outcome.error is None]
        if not written:
            return
        try:
            open_folder(written[0] if len(written) == 1 else written[0].parent)
        except DesktopFtError as error:
            self.error_raised.emit(error)

    def _on_save_report(self) -> None:
        dialog = QFileDialog(self, self.tr("Save the report"), str(self.formats.folder()))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("md")
        dialog.selectFile(self.tr("export-report.md"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.write_report(Path(path)))
        dialog.open()

    def write_report(self, path: Path) -> None:
        """Write the report as Markdown."""
        if self._config is None:
            return
        try:
            write_text(path, report_of(self.outcomes, self._config))
        except DesktopFtError as error:
            self.error_raised.emit(error)


def _config_of(run: RunDir) -> tuple[RunConfig | None, DesktopFtError | None]:
    try:
        return run.config(), None
    except DesktopFtError as error:
        return None, error
