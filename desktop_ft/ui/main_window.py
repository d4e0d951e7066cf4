"""The window: menu, navigation, pages, and how they hand things to each other. Pages and jobs do the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from PySide6.QtCore import QByteArray, QEvent, Qt, Signal
from PySide6.QtGui import QAction, QCloseEvent, QHideEvent, QKeySequence, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QCheckBox, QFileDialog, QHBoxLayout, QMainWindow, QMessageBox, QWidget

from desktop_ft.core.config import Draft, RunConfig
from desktop_ft.core.config.objectives import OBJECTIVES
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.gpu import environment_for
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.runs import RunDir, live_engine
from desktop_ft.core.settings import Preferences, ThemeChoice, load_preferences, save_preferences
from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs.background import IsCancelled, ReportProgress, TaskSlot
from desktop_ft.jobs.continuing import continued_draft
from desktop_ft.jobs.machine_model import MachineModel
from desktop_ft.jobs.runs_service import RunsService
from desktop_ft.ui.crash import CrashRoad
from desktop_ft.ui.gpu_card import GpuCard
from desktop_ft.ui.kit.messages import MessageAction, MessageStrip
from desktop_ft.ui.kit.text import format_number
from desktop_ft.ui.kit.theme import theme_manager
from desktop_ft.ui.main_menu import MainMenu
from desktop_ft.ui.pages import Pages
from desktop_ft.ui.questions import ask
from desktop_ft.ui.sidebar import Place, Sidebar

if TYPE_CHECKING:
    from desktop_ft.jobs.run_model import RunModel
    from desktop_ft.ui.memory_alarm import MemoryAlarm
    from desktop_ft.ui.runs_place import RunsPlace
    from desktop_ft.ui.settings_page import SettingsPage
    from desktop_ft.ui.wizard_place import WizardPlace

COMPACT_BELOW_PIXELS: Final = 1120
FIRST_SIZE: Final = (1280, 800)


class MainWindow(QMainWindow):
    """The program's one window.

    Args:
        workspace: Where runs and preferences are.
        machine: What the computer has for training; made from the driver unless given.
    """

    task_crashed = Signal(object)
    """Traceback (str) of an exception that nobody expected in a task of the window's own."""

    def __init__(self, workspace: Workspace, machine: MachineModel | None = None) -> None:
        super().__init__()
        self.workspace = workspace
        self.preferences = load_preferences(workspace.settings_file)
        self.service = RunsService(workspace, self)
        self.machine = machine or MachineModel(self._own_processes, parent=self)
        self.setWindowTitle(self.tr("Desktop FT"))
        self.crashes = CrashRoad(self)
        self._asks_at_close = True
        self._has_told_crashes = False
        self._next_draft: Draft | None = None
        self._continuing = TaskSlot(self, self.task_crashed)
        self.task_crashed.connect(self.show_crash)
        self._card = GpuCard(self.machine)
        self.machine.choose(self.preferences.gpu)
        self._alarm: MemoryAlarm | None = None
        self._places = self._new_places()
        self._sidebar = Sidebar(self._places, self._card)
        self._pages = Pages({"new": self._new_wizard, "runs": self._new_runs, "settings": self._new_settings})
        self._lay_out()
        self.menu = MainMenu(self)
        self._connect()
        theme_manager().set_mode(self.preferences.theme)
        self._restore_geometry()

    # --- building ----------------------------------------------------------------------------------------------------

    def _new_places(self) -> tuple[Place, ...]:
        return (
            Place("new", self.tr("New run"), "plus", "Ctrl+1"),
            Place("runs", self.tr("Runs"), "chart-line", "Ctrl+2"),
            Place("settings", self.tr("Settings"), "settings", "Ctrl+3"),
        )

    def _lay_out(self) -> None:
        body = QWidget()
        layout = QHBoxLayout(body)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._sidebar)
        layout.addWidget(self._pages, 1)
        self.setCentralWidget(body)
        self.setMinimumSize(720, 480)

    def _connect(self) -> None:
        self._sidebar.place_chosen.connect(self._on_place_chosen)
        self.service.failed.connect(self.show_error)
        self.service.crashed.connect(self.show_crash)
        self.service.run_deleted.connect(self._on_run_deleted)
        self.service.runs_changed.connect(self._tell_crashes)
        self.machine.changed.connect(self._on_machine_changed)
        for number, place in enumerate(self._places, start=1):
            self._shortcut(f"Ctrl+{number}", lambda key=place.key: self.go_to(key))
        self._shortcut("F6", self._next_region)
        self._shortcut("Escape", lambda: self.strip.close_newest())

    def _shortcut(self, keys: str, run: Callable[[], object]) -> None:
        action = QAction(self)
        action.setShortcut(QKeySequence(keys))
        action.triggered.connect(lambda: run())
        self.addAction(action)

    def _new_wizard(self) -> QWidget:
        from desktop_ft.ui.wizard_place import WizardPlace

        draft, self._next_draft = self._next_draft, None
        place = WizardPlace(self.machine, self.preferences, draft)
        place.start_requested.connect(self._on_start_requested)
        place.cancelled.connect(self._on_wizard_cancelled)
        place.error_raised.connect(self.show_error)
        place.crashed.connect(self.show_crash)
        place.prediction_changed.connect(self._on_prediction_changed)
        place.folder_used.connect(self._on_model_folder_used)
        return place

    def _new_runs(self) -> QWidget:
        from desktop_ft.ui.runs_place import RunsPlace

        place = RunsPlace(self.service, self.machine)
        place.notice_raised.connect(lambda words: self.strip.show_message(words, key="notice"))
        place.run_shown.connect(self._on_run_shown)
        place.continue_requested.connect(self._on_continue_requested)
        place.new_run_requested.connect(lambda: self.go_to("new"))
        place.error_raised.connect(self.show_error)
        place.crashed.connect(self.show_crash)
        return place

    def _new_settings(self) -> QWidget:
        from desktop_ft.ui.settings_page import SettingsPage

        page = SettingsPage(self.workspace, self.preferences, self.machine)
        page.preferences_changed.connect(self.set_preferences)
        page.error_raised.connect(self.show_error)
        page.measurements_forgotten.connect(self._on_measurements_forgotten)
        return page

    # --- going about -------------------------------------------------------------------------------------------------

    @property
    def strip(self) -> MessageStrip:
        """Where messages are shown."""
        return self._pages.strip

    @property
    def wizard(self) -> WizardPlace:
        """The place where runs are set up."""
        return cast("WizardPlace", self._pages.page("new"))

    @property
    def runs(self) -> RunsPlace:
        """The place where runs are watched."""
        return cast("RunsPlace", self._pages.page("runs"))

    @property
    def settings(self) -> SettingsPage:
        """The page of the program's settings."""
        return cast("SettingsPage", self._pages.page("settings"))

    def is_at(self, key: str) -> bool:
        """Whether a place is in front."""
        made = self._pages.made(key)
        return made is not None and self._pages.current() is made

    def start(self) -> None:
        """After the first paint: ask the driver, find runs that still go, show the first place."""
        self.machine.start()
        self._watch_memory()
        live = self.service.attach_live()
        self.service.refresh()
        self.service.remove_leftovers()
        if live:
            self._welcome_back(live)
        else:
            self.go_to("new")

    def go_to(self, key: str) -> None:
        """Show a place and put the keyboard into it."""
        self._show_place(key)
        self._focus_place()

    def _show_place(self, key: str) -> None:
        self._pages.show_page(key)
        self._sidebar.set_current(key)
        self._on_prediction_changed()
        self.menu.refresh()

    def show_run(self, model: RunModel) -> None:
        """Show one run's page."""
        self.go_to("runs")
        self.runs.show_run(model)

    def _on_run_shown(self, model: object) -> None:
        self.strip.dismiss(_crash_key(cast("RunModel", model).run))
        self.menu.refresh()

    def open_run_folder(self) -> None:
        """Let the person choose a run's folder anywhere."""
        chosen = QFileDialog.getExistingDirectory(self, self.tr("Open a run's folder"), str(self.workspace.runs))
        model = self.service.open(Path(chosen)) if chosen else None
        if model is not None:
            self.show_run(model)

    def current_run(self) -> RunModel | None:
        """The run whose page is in front, or None."""
        return self.runs.current_run() if self.is_at("runs") else None

    def _on_place_chosen(self, key: object) -> None:
        """Runs chosen again, while a run is in front, is the way back to all of them."""
        if key == "runs" and self.current_run() is not None:
            self.runs.show_table()
        self._show_place(str(key))

    def _on_start_requested(self, config: object) -> None:
        model = self.service.start(cast("RunConfig", config))
        if model is not None:
            self.show_run(model)
            self._forget_wizard()

    def _on_continue_requested(self, run: object, objective: str) -> None:
        """Find and check what the run trained, which reads its base; then the wizard opens on it."""
        folder = cast("RunDir", run)
        kind = OBJECTIVES[[str(name) for name in OBJECTIVES].index(objective)]
        self.strip.show_message(self.tr("Checking what the run has learnt"), folder.path.name, "info", key="continue")

        def work(_cancelled: IsCancelled, _progress: ReportProgress) -> object:
            return continued_draft(folder, kind)

        self._continuing.start(work, self._on_continued, self._on_continue_failed)

    def _on_continued(self, draft: object) -> None:
        """What is being set up gives way; where the person has put work into it, they are asked."""
        self.strip.dismiss("continue")
        if self._pages.made("new") is None or not self.wizard.model.has_changes:
            self._set_up(draft)
            return
        ask(
            self,
            self.tr("Replace the run that you are setting up?"),
            self.tr(
                "“{0}” has changes and was not started. Going on from this run takes its place. To keep it, save it on its Review page."
            ).format(self.wizard.model.draft.get("name")),
            (self.tr("Replace it"), self.tr("Keep it")),
            lambda: self._set_up(draft),
        )

    def _set_up(self, draft: object) -> None:
        """Open the wizard on a draft."""
        if self._pages.made("new") is not None:
            self.wizard.close_down()
        self._next_draft = cast("Draft", draft)
        self._pages.replace("new")
        self.go_to("new")
        text = self.tr("It starts from what the run has learnt; the rest is set up as ever.")
        self.strip.show_message(str(self.wizard.model.draft.get("name")), text, "info", key="continued")

    def _on_continue_failed(self, error: object) -> None:
        self.strip.dismiss("continue")
        self.show_error(error)

    def _on_wizard_cancelled(self) -> None:
        self.go_to("runs")
        self._forget_wizard()

    def _forget_wizard(self) -> None:
        """The next run is set up from the start."""
        self.wizard.close_down()
        self._pages.replace("new")

    def _on_prediction_changed(self) -> None:
        """The card shows the run being set up only while it is seen."""
        self._card.set_predicted(self.wizard.predicted_bytes if self.is_at("new") else 0)

    def _watch_memory(self) -> None:
        from desktop_ft.ui.memory_alarm import MemoryAlarm  # with numpy, which the first paint does not wait for

        self._alarm = MemoryAlarm(self.machine, self.service, self.strip, self)
        self._alarm.show_requested.connect(lambda model: self.show_run(cast("RunModel", model)))
        self._alarm.crashed.connect(self.show_crash)

    def changeEvent(self, event: QEvent) -> None:
        """Minimised, the window need not know the card's every second."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.WindowStateChange:
            self._tell_watched()

    def showEvent(self, event: QShowEvent) -> None:
        """Seen again."""
        super().showEvent(event)
        self._tell_watched()

    def hideEvent(self, event: QHideEvent) -> None:
        """Not seen any more."""
        super().hideEvent(event)
        self._tell_watched()

    def _tell_watched(self) -> None:
        self.machine.set_watched(self.isVisible() and not self.isMinimized())

    def _on_machine_changed(self) -> None:
        """Engines see the card that predictions were made for; where there is none, they look for themselves."""
        device = self.machine.device
        self.service.environment = environment_for(device) if device.kind == "cuda" else {}

    def _welcome_back(self, live: tuple[RunModel, ...]) -> None:
        self.show_run(live[0])
        for model in live[1:]:
            text = self.tr("It went on while the window was closed.")
            action = MessageAction(self.tr("Show"), lambda model=model: self.show_run(model))
            self.strip.show_message(self.tr("{0} is training.").format(_name_of(model)), text, "info", action=action)

    def _tell_crashes(self) -> None:
        """At the program's start: runs whose engine went away without a word, each told of once."""
        if self._has_told_crashes:
            return
        self._has_told_crashes = True
        told = self.preferences.told_crashes
        crashed = [summary for summary in self.service.runs() if summary.status == "crashed"]
        for summary in [summary for summary in crashed if summary.run.path.name not in told]:
            where = self.tr("Its engine went away at step {0} of {1}.").format(
                format_number(summary.step), format_number(summary.num_steps)
            )
            text = where if summary.num_steps else self.tr("Its engine went away before the first step.")
            action = MessageAction(self.tr("Resume"), lambda run=summary.run: self._resume_crashed(run))
            self.strip.show_message(self.tr("{0} crashed.").format(summary.name), text, "warn", action=action, key=_crash_key(summary.run))
        names = tuple(summary.run.path.name for summary in crashed)
        if names != told:
            self.set_preferences(replace(self.preferences, told_crashes=names))

    def _resume_crashed(self, run: RunDir) -> None:
        model = self.service.resume(run.path)
        if model is not None:
            self.show_run(model)

    def _on_run_deleted(self, path: object) -> None:
        folder = cast("Path", path)
        undo = MessageAction(self.tr("Undo"), lambda: self._undo_delete(folder))
        self.strip.show_message(self.tr("{0} was deleted.").format(folder.name), "", "info", action=undo, key="deleted")

    def _undo_delete(self, folder: Path) -> None:
        if self.service.undo_delete(folder):
            self.strip.dismiss("deleted")

    def _focus_place(self) -> None:
        place = cast("WizardPlace | RunsPlace | SettingsPage | None", self._pages.current())
        if place is not None:
            place.take_focus()

    def _next_region(self) -> None:
        """F6: navigation, then the page, then back."""
        if self._sidebar.isAncestorOf(QApplication.focusWidget() or self):
            self._focus_place()
        else:
            self._sidebar.focus_current()

    # --- messages ----------------------------------------------------------------------------------------------------

    def show_error(self, error: object) -> None:
        """The one road of errors."""
        self.strip.show_error(cast("DesktopFtError", error))

    def show_crash(self, report: object) -> None:
        """An exception of a task that nobody expected."""
        self.crashes.show_report(report)

    # --- preferences and the end -------------------------------------------------------------------------------------

    def set_preferences(self, preferences: object) -> None:
        """Take over and store what the person chose."""
        self.preferences = cast("Preferences", preferences)
        theme_manager().set_mode(self.preferences.theme)
        self.machine.choose(self.preferences.gpu)
        if self._pages.made("new") is not None:
            self.wizard.set_folders(self.preferences)
        if self._pages.made("settings") is not None:
            self.settings.set_preferences(self.preferences)
        try:
            save_preferences(self.preferences, self.workspace.settings_file)
        except DesktopFtError as error:
            self.show_error(error)

    def _on_measurements_forgotten(self) -> None:
        if self._pages.made("new") is not None:
            self.wizard.model.take_measurements()

    def _on_model_folder_used(self, folder: str) -> None:
        self.set_preferences(self.preferences.with_model_folder(folder))

    def choose_theme(self, theme: ThemeChoice) -> None:
        """Follow the system, or always light or dark."""
        self.set_preferences(replace(self.preferences, theme=theme))

    def close_at_once(self) -> None:
        """Close without a question: the system asks the program to end. Runs go on."""
        self._asks_at_close = False
        self.close()

    def _restore_geometry(self) -> None:
        """As at the last close, else a good size; never larger than the screen."""
        stored = QByteArray.fromBase64(self.preferences.window_geometry.encode("ascii", "ignore"))
        if not stored.isEmpty() and self.restoreGeometry(stored):
            return
        free = self.screen().availableSize()
        self.resize(min(FIRST_SIZE[0], free.width()), min(FIRST_SIZE[1], free.height()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A narrow window has a rail instead of the navigation's words."""
        super().resizeEvent(event)
        self._sidebar.set_compact(compact=event.size().width() < COMPACT_BELOW_PIXELS)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Runs go on; say so once. Threads end; nothing of a run is lost."""
        if self._asks_at_close and self.preferences.explain_close and self._live_runs():
            event.ignore()
            self._explain_close()
            return
        geometry = self.saveGeometry().toBase64().data()
        self.set_preferences(replace(self.preferences, window_geometry=bytes(geometry).decode("ascii")))
        if self._pages.made("new") is not None:
            self.wizard.close_down()
        self._continuing.drop()
        if self._alarm is not None:
            self._alarm.close_down()
            self._alarm = None
        self.service.shutdown()
        event.accept()

    def _explain_close(self) -> None:
        box = QMessageBox(self)
        box.setWindowTitle(self.tr("A run is training"))
        box.setText(self.tr("The run goes on without the window."))
        box.setInformativeText(self.tr("Start Desktop FT again to watch it, or stop it first if you want it to end."))
        close = box.addButton(self.tr("&Close the window"), QMessageBox.ButtonRole.AcceptRole)
        stay = box.addButton(self.tr("&Stay"), QMessageBox.ButtonRole.RejectRole)
        again = QCheckBox(self.tr("Say this &again next time"))
        again.setChecked(True)
        box.setCheckBox(again)
        box.setDefaultButton(close)
        box.setEscapeButton(stay)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.buttonClicked.connect(lambda clicked: self._on_close_explained(closes=clicked is close, again=again.isChecked()))
        box.open()

    def _on_close_explained(self, *, closes: bool, again: bool) -> None:
        if not closes:
            return
        self.preferences = replace(self.preferences, explain_close=again)
        self.close_at_once()

    def _live_runs(self) -> list[RunDir]:
        return [summary.run for summary in self.service.runs() if summary.is_live]

    def _own_processes(self) -> frozenset[int]:
        marks: list[ProcessMark | None] = [live_engine(run) for run in self._live_runs()]
        return frozenset(mark.pid for mark in marks if mark is not None)


def _name_of(model: RunModel) -> str:
    return model.run.path.name if model.config is None else model.config.name


def _crash_key(run: RunDir) -> str:
    return f"crashed:{run.path.name}"
