"""All runs of the workspace: the list, starting, opening, stopping, deleting; one worker and one model a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from desktop_ft.core.config import RunConfig
from desktop_ft.core.control import ControlKind
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.leftovers import remove_leftovers
from desktop_ft.core.run_summary import RunSummary, run_folders, summarize_run
from desktop_ft.core.runs import RunDir, create_run, live_engine, open_run
from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs.background import BackgroundTask, IsCancelled, ReportProgress
from desktop_ft.jobs.engine_process import collect_children
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.run_trash import RunTrash
from desktop_ft.jobs.training_worker import DEFAULT_GRACE_SECONDS, EngineEnd, TrainingWorker

if TYPE_CHECKING:
    from desktop_ft.jobs.run_model import RunModel

_RESCAN_MILLISECONDS: Final = 2000
_SHUTDOWN_SECONDS: Final = 2.0
_MAX_ENDED_MODELS: Final = 16

_Stamp = tuple[object, ...]


class RunsService(QObject):
    """Owns the workspace's runs.

    Every call returns at once. What goes wrong comes as a `DesktopFtError` through `failed`, and a call that should have given a
    model gives None then.

    Args:
        workspace: Where the runs are.
        parent: Qt's owner.

    Attributes:
        environment: Further variables for every engine that is started, such as which GPU it sees.
    """

    runs_changed = Signal()
    """`runs` gives something else now."""
    run_opened = Signal(object)
    """`RunModel`, new in this service."""
    run_deleted = Signal(object)
    """Path of the folder that was moved to the trash; `undo_delete` takes it."""
    failed = Signal(object)
    """`DesktopFtError`."""
    crashed = Signal(object)
    """Traceback (str) of an exception that nobody expected, for the crash dialog."""

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.workspace = workspace
        self.environment: dict[str, str] = {}
        self._trash = RunTrash(workspace)
        self._summaries: tuple[RunSummary, ...] = ()
        self._cache: dict[Path, tuple[_Stamp, RunSummary]] = {}
        self._models: dict[Path, RunModel] = {}
        self._workers: dict[Path, TrainingWorker] = {}
        self._discarding: set[Path] = set()
        self._scan: BackgroundTask | None = None
        self._is_scan_due = False
        self._is_shut_down = False
        self._timer = QTimer(self)
        self._timer.setInterval(_RESCAN_MILLISECONDS)
        self._timer.timeout.connect(self.refresh)

    # --- the list ----------------------------------------------------------------------------------------------------

    def runs(self) -> tuple[RunSummary, ...]:
        """As of the last scan, newest first; empty before the first (see `refresh`)."""
        return self._summaries

    @Slot()
    def refresh(self) -> None:
        """Scan the runs in a thread; `runs_changed` comes if anything changed. Goes on by itself while a run is live."""
        if self._is_shut_down:
            return
        if self._scan is not None:
            self._is_scan_due = True
            return
        self._scan = BackgroundTask(self._scan_runs, self)
        self._scan.succeeded.connect(self._on_scanned)
        self._scan.failed.connect(self.failed)
        self._scan.crashed.connect(self.crashed)
        self._scan.finished.connect(self._on_scan_finished)
        self._scan.start()

    def _scan_runs(self, cancelled: IsCancelled, _progress: ReportProgress) -> tuple[RunSummary, ...]:
        """Runs in the scan's thread; the cache is touched by one scan at a time."""
        cache: dict[Path, tuple[_Stamp, RunSummary]] = {}
        for run in run_folders(self.workspace.runs):
            if cancelled():
                break
            stamp = _stamp_of(run)
            known = self._cache.get(run.path)
            cache[run.path] = known if known is not None and known[0] == stamp else (stamp, summarize_run(run))
        self._cache = cache
        return tuple(summary for _, summary in cache.values())

    @Slot(object)
    def _on_scanned(self, result: object) -> None:
        if self._is_shut_down:
            return
        summaries = cast("tuple[RunSummary, ...]", result)
        is_any_live = any(summary.is_live for summary in summaries)
        if is_any_live and not self._timer.isActive():
            self._timer.start()
        elif not is_any_live:
            self._timer.stop()
        for summary in summaries:
            if summary.is_live and summary.run.path in self._models:
                self._follow_if_live(self._models[summary.run.path])
        if summaries != self._summaries:
            self._summaries = summaries
            self.runs_changed.emit()

    @Slot()
    def _on_scan_finished(self) -> None:
        if self._scan is not None:
            self._scan.wait()
        self._scan = None
        if self._is_scan_due:
            self._is_scan_due = False
            self.refresh()

    # --- opening and starting ----------------------------------------------------------------------------------------

    def start(self, config: RunConfig) -> RunModel | None:
        """Create a run's folder and start the engine in it."""
        try:
            run = create_run(self.workspace.new_run_dir(config.name), config)
        except DesktopFtError as error:
            self.failed.emit(error)
            return None
        return self._launch(run)

    def open(self, run_dir: Path) -> RunModel | None:
        """The model of a run, one for all who ask: followed where it is live, else replayed."""
        path = run_dir.absolute()
        if path in self._models:
            self._follow_if_live(self._models[path])
            return self._models[path]
        try:
            run = open_run(path)
        except DesktopFtError as error:
            self.failed.emit(error)
            return None
        model = self._make_model(run)
        self._follow(model, launch=False)
        return model

    def resume(self, run_dir: Path) -> RunModel | None:
        """Go on from the newest checkpoint; a run that goes already is just opened."""
        model = self.open(run_dir)
        if model is None or self.is_live(run_dir):
            return model
        return self._launch(model.run)

    def attach_live(self) -> tuple[RunModel, ...]:
        """Open every run whose engine still goes, at the start of the program."""
        try:
            live = [run for run in run_folders(self.workspace.runs) if live_engine(run) is not None]
        except DesktopFtError as error:
            self.failed.emit(error)
            return ()
        opened = [self.open(run.path) for run in live]
        return tuple(model for model in opened if model is not None)

    def opened(self) -> tuple[RunModel, ...]:
        """Every model that is kept, in the order in which they were opened."""
        return tuple(self._models.values())

    def is_live(self, run_dir: Path) -> bool:
        """Whether an engine works on this run or is being started for it."""
        path = run_dir.absolute()
        worker = self._workers.get(path)
        model = self._models.get(path)
        is_starting = worker is not None and worker.isRunning() and model is not None and model.is_live
        return is_starting or live_engine(RunDir(path)) is not None

    def _launch(self, run: RunDir) -> RunModel:
        model = self._models.get(run.path) or self._make_model(run)
        model.expect_engine()
        self._follow(model, launch=True)
        return model

    def _make_model(self, run: RunDir) -> RunModel:
        from desktop_ft.jobs.run_model import RunModel  # with numpy, which the first paint does not wait for

        model = RunModel(run, _config_of(run), parent=self)
        model.status_changed.connect(self.refresh)
        self._drop_ended_models()
        self._models[run.path] = model
        self.run_opened.emit(model)
        return model

    def _follow(self, model: RunModel, *, launch: bool) -> None:
        """Give the model a worker; one that still replays is let go first and the new one reads on where it stopped."""
        path = model.run.path
        earlier = self._workers.pop(path, None)
        if earlier is not None:
            earlier.detach()
            earlier.wait()
        worker = TrainingWorker(model.run, launch=launch, after=earlier, environment=self.environment)
        model.follow(worker)
        worker.failed.connect(self.failed)
        worker.request_failed.connect(self.failed)
        worker.engine_ended.connect(self._on_engine_ended)
        self._workers[path] = worker
        worker.start()

    def _follow_if_live(self, model: RunModel) -> None:
        """Another program, such as the command line, may have resumed a run whose end was seen here."""
        worker = self._workers.get(model.run.path)
        if (worker is None or worker.isFinished()) and live_engine(model.run) is not None:
            self._follow(model, launch=False)

    def _drop_ended_models(self) -> None:
        """Keep the newest ended models only; pages may hold on to the others."""
        ended = [path for path in self._models if not (path in self._workers and self._workers[path].isRunning())]
        for path in ended[: max(0, len(ended) - _MAX_ENDED_MODELS + 1)]:
            del self._models[path]
            self._workers.pop(path, None)

    @Slot(object)
    def _on_engine_ended(self, _end: EngineEnd) -> None:
        collect_children()
        for path in [path for path in self._discarding if live_engine(RunDir(path)) is None]:
            self._discarding.discard(path)
            self.delete(path)
        self.refresh()

    # --- requests ----------------------------------------------------------------------------------------------------

    def request(self, run_dir: Path, kind: ControlKind, values: dict[str, object] | None = None) -> None:
        """Ask a live run's engine for something: ``save``, ``sample``, ``set``; the model's `request_answered` follows."""
        worker = self._live_worker(run_dir)
        if worker is not None:
            worker.request(kind, values)

    def stop(self, run_dir: Path, grace_seconds: float = DEFAULT_GRACE_SECONDS) -> None:
        """Let the engine save and end; after the grace it is killed."""
        worker = self._live_worker(run_dir)
        if worker is not None:
            self._models[run_dir.absolute()].mark_stopping()
            worker.request_stop(grace_seconds)

    def stop_and_discard(self, run_dir: Path) -> None:
        """End the engine at once and move the run to the trash."""
        if not self.is_live(run_dir):
            self.delete(run_dir)
            return
        self._discarding.add(run_dir.absolute())
        self.stop(run_dir, grace_seconds=0.0)

    def _live_worker(self, run_dir: Path) -> TrainingWorker | None:
        model = self.open(run_dir)
        if model is None:
            return None
        path = model.run.path
        if self.is_live(path):
            return self._workers[path]
        self.failed.emit(
            DesktopFtError(
                "run_not_running", "This run is not going", f"No engine works in {path}.", "Resume the run first, if it has not ended."
            )
        )
        return None

    # --- deleting ----------------------------------------------------------------------------------------------------

    def delete(self, run_dir: Path) -> None:
        """Move a run to the workspace's trash; a live one is refused."""
        path = run_dir.absolute()
        if live_engine(RunDir(path)) is not None:
            self.failed.emit(
                DesktopFtError(
                    "run_is_running", "This run is still going", f"An engine works in {path}.", "Stop it first, or choose Discard."
                )
            )
            return
        self._let_go(path)
        try:
            self._trash.put(path)
        except DesktopFtError as error:
            self.failed.emit(error)
            return
        self.run_deleted.emit(path)
        self.refresh()

    def undo_delete(self, run_dir: Path) -> bool:
        """Bring a deleted run back to where it was."""
        try:
            self._trash.restore(run_dir.absolute())
        except DesktopFtError as error:
            self.failed.emit(error)
            return False
        self.refresh()
        return True

    def deleted_runs(self) -> tuple[Path, ...]:
        """Folders that lie in the trash."""
        return self._trash.folders()

    def remove_leftovers(self) -> None:
        """Remove what jobs left behind that were killed or lost their window, in a thread."""
        task = BackgroundTask(lambda _cancelled, _progress: remove_leftovers(self.workspace), self)
        task.crashed.connect(self.crashed)
        task.start()

    def empty_trash(self) -> BackgroundTask:
        """Delete for good what lies in the trash, in a thread."""
        task = BackgroundTask(self._trash.empty)
        task.failed.connect(self.failed)
        task.crashed.connect(self.crashed)
        task.start()
        return task

    def _let_go(self, path: Path) -> None:
        worker = self._workers.pop(path, None)
        if worker is not None:
            worker.detach()
            worker.wait()
        self._models.pop(path, None)

    # --- the end -----------------------------------------------------------------------------------------------------

    def shutdown(self) -> bool:
        """Let go of every run (the engines go on) and end all threads; whether that took less than 2 s."""
        self._is_shut_down = True
        self._timer.stop()
        deadline = time.monotonic() + _SHUTDOWN_SECONDS
        workers: Sequence[TrainingWorker] = tuple(self._workers.values())
        for worker in workers:
            worker.detach()
        if self._scan is not None:
            self._scan.cancel()
        return end_threads(max(0.0, deadline - time.monotonic()))


def _config_of(run: RunDir) -> RunConfig | None:
    try:
        return run.config()
    except DesktopFtError:
        return None


def _stamp_of(run: RunDir) -> _Stamp:
    """What must be the same for a summary to hold still."""
    files = (run.events_file, run.config_file, run.lock_file, run.console_file)
    return (*(_file_stamp(file) for file in files), live_engine(run))


def _file_stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
