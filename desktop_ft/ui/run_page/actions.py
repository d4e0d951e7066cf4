"""What can be done with a run: one `QAction` each, so that buttons, menus and shortcuts are always the same thing.

The window may put them into its menu bar; their shortcuts work while the page is visible.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from desktop_ft.core.continuing import continuations
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.retry import apply_retry
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.jobs.runs_service import RunsService
from desktop_ft.ui.folders import open_folder
from desktop_ft.ui.kit.icons import icon
from desktop_ft.ui.kit.text import format_number
from desktop_ft.ui.objective_words import objective_title
from desktop_ft.ui.questions import ask
from desktop_ft.ui.run_page.words import LIVE_STAGES, Stage


class RunActions(QObject):
    """The actions of the run that the page shows.

    Attributes:
        pause: Pause while it goes, else resume; Ctrl+P.
        stop: Stop and keep, after a question; Ctrl+. (period).
        export: Take the result away.
        save: Write a checkpoint now.
        sample: Answer the sample prompts now.
        open_folder: Show the run's folder.
        copy_command: The command line that does the same.
        discard: End it at once and move it to the trash, after a question.
        go_on: A menu of the objectives that can go on from what was trained.
    """

    export_requested = Signal(object)
    """`RunDir`."""
    error_raised = Signal(object)
    """`DesktopFtError`."""
    continue_requested = Signal(object, str)
    """`RunDir`, and the objective of the run that goes on from it."""
    discarded = Signal()

    def __init__(self, service: RunsService, page: QWidget) -> None:
        super().__init__(page)
        self._service = service
        self._page = page
        self._model: RunModel | None = None
        self._stage: Stage = "new"
        self._paused: set[object] = set()
        self.pause = self._new(self.tr("&Pause"), self._on_pause, "Ctrl+P")
        self.stop = self._new(self.tr("&Stop and keep"), self._on_stop, "Ctrl+.")
        self.export = self._new(self.tr("&Export…"), self._on_export)
        self.save = self._new(self.tr("Save a &checkpoint now"), self._on_save, icon_name="save")
        self.sample = self._new(self.tr("&Write samples now"), self._on_sample, icon_name="message-square")
        self.open_folder = self._new(self.tr("Open the &folder"), self._on_open_folder, icon_name="folder-open")
        self.copy_command = self._new(self.tr("Copy the co&mmand"), self._on_copy_command, icon_name="terminal")
        self.discard = self._new(self.tr("&Discard…"), self._on_discard, icon_name="trash-2")
        self.go_on = QMenu(self.tr("&Go on with"), page)

    def _new(self, text: str, on_triggered: Callable[[], object], shortcut: str = "", icon_name: str = "") -> QAction:
        action = QAction(text, self._page)
        if shortcut:
            action.setShortcut(QKeySequence(shortcut))
        if icon_name:
            action.setIcon(icon(icon_name))
        action.triggered.connect(on_triggered)
        self._page.addAction(action)
        return action

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that engines get besides, such as which card to use."""
        return self._service.environment

    def retry_smaller(self) -> None:
        """Go on after a full memory with half the micro-batch; the change is written down before the engine starts."""
        if self._model is None:
            return
        try:
            apply_retry(self._model.run)
        except DesktopFtError as error:
            self.error_raised.emit(error)
            return
        self._service.resume(self._model.run.path)

    def was_paused(self) -> bool:
        """Whether the run shown was stopped with Pause while this page lived."""
        return self._model is not None and self._model.run.path in self._paused

    def set_run(self, model: RunModel) -> None:
        """Act on another run."""
        self._model = model
        self.go_on.clear()
        for objective in continuations(model.config) if model.config is not None else ():
            action = self.go_on.addAction(objective_title(objective))
            action.triggered.connect(lambda _checked=False, name=objective: self._on_go_on(name))

    def show_stage(self, stage: Stage) -> None:
        """Allow what makes sense now."""
        self._stage = stage
        is_live = stage in LIVE_STAGES
        is_going = is_live and stage != "stopping"
        words = {"new": self.tr("Sta&rt"), "failed": self._again_words()}
        self.pause.setText(self.tr("&Pause") if is_live else words.get(stage, self.tr("&Resume")))
        self.pause.setEnabled(is_going or stage in {"new", "paused", "stopped", "failed", "crashed"})
        self.stop.setEnabled(is_going)
        for action in (self.save, self.sample):
            action.setEnabled(is_going and stage != "starting")
        self.export.setEnabled(not is_live and self._has_something())
        self.go_on.setEnabled(self.export.isEnabled())
        self.discard.setText(self.tr("Stop and &discard…") if is_live else self.tr("&Discard…"))
        self.discard.setEnabled(stage != "stopping")
        self._give_reasons(stage)

    def _give_reasons(self, stage: Stage) -> None:
        """Why something can't be done now, for tooltips."""
        reasons: dict[Stage, str] = {
            "starting": self.tr("The model is not loaded yet"),
            "stopping": self.tr("A checkpoint is being saved, then the run stops"),
        }
        reason = reasons.get(stage, "" if stage in LIVE_STAGES else self.tr("The run is not going"))
        for action in (self.pause, self.stop, self.save, self.sample, self.discard):
            action.setWhatsThis(reason)
        self.export.setWhatsThis(self.tr("There is no checkpoint yet"))

    def _again_words(self) -> str:
        has_checkpoint = self._model is not None and self._model.last_checkpoint_step is not None
        return self.tr("&Resume") if has_checkpoint else self.tr("T&ry again")

    def _has_something(self) -> bool:
        model = self._model
        return model is not None and (model.status == "completed" or model.last_checkpoint_step is not None)

    # --- what they do ----------------------------------------------------------------------------------------------------

    def _on_pause(self) -> None:
        model = self._model
        if model is None:
            return
        if self._stage in LIVE_STAGES:
            self._paused.add(model.run.path)
            self._service.stop(model.run.path)
        else:
            self._paused.discard(model.run.path)
            self._service.resume(model.run.path)

    def _on_stop(self) -> None:
        model = self._model
        if model is None:
            return
        step = self.tr("A checkpoint of step {0} is saved first.").format(format_number(model.step))
        ask(
            self._page,
            self.tr("Stop this run and keep what it has learnt?"),
            self.tr("{0} You can export it as it is, or resume it later.").format(step),
            (self.tr("Stop and keep"), self.tr("Go on training")),
            lambda: self._stop(model),
        )

    def _stop(self, model: RunModel) -> None:
        self._paused.discard(model.run.path)
        if model.is_live:
            self._service.stop(model.run.path)

    def _on_export(self) -> None:
        if self._model is not None:
            self.export_requested.emit(self._model.run)

    def _on_go_on(self, objective: str) -> None:
        if self._model is not None:
            self.continue_requested.emit(self._model.run, objective)

    def _on_save(self) -> None:
        if self._model is not None:
            self._service.request(self._model.run.path, "save")

    def _on_sample(self) -> None:
        if self._model is not None:
            self._service.request(self._model.run.path, "sample")

    def _on_open_folder(self) -> None:
        if self._model is None:
            return
        try:
            open_folder(self._model.run.path)
        except DesktopFtError as error:
            self.error_raised.emit(error)

    def _on_copy_command(self) -> None:
        if self._model is not None:
            QGuiApplication.clipboard().setText(self.command())

    def command(self) -> str:
        """The command line that trains the same, or goes on with this run where it has ended early."""
        assert self._model is not None
        if self._model.can_resume:
            return shlex.join(["desktop-ft", "resume", str(self._model.run.path)])
        return shlex.join(["desktop-ft", "train", str(self._model.run.config_file)])

    def _on_discard(self) -> None:
        model = self._model
        if model is None:
            return
        undo = self.tr("The run moves to the trash; the list of runs offers to bring it back.")
        text = self.tr("It ends at once, without saving. {0}").format(undo) if model.is_live else undo
        ask(
            self._page,
            self.tr("Discard this run?"),
            text,
            (self.tr("Discard"), self.tr("Keep it")),
            lambda: self._discard(model),
        )

    def _discard(self, model: RunModel) -> None:
        self._service.stop_and_discard(model.run.path)
        self.discarded.emit()
