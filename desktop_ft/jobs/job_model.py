"""The state of a job of the engine other than training (an export): same folder, same events, same worker."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, cast, get_args

from PySide6.QtCore import QObject, Signal, SignalInstance, Slot

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import (
    DryRunDone,
    ErrorRaised,
    Event,
    Exported,
    LrPoint,
    LrSuggested,
    Phase,
    PhaseChanged,
    ProbeMeasured,
    Progress,
    RunFinished,
    RunStarted,
    SampleDone,
    Verified,
    WarningRaised,
)
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.runs import RunDir, RunStatus
from desktop_ft.jobs.run_model import crash_error
from desktop_ft.jobs.training_worker import EngineEnd, TrainingWorker

Part = Literal["status", "progress", "result", "messages"]
_PARTS: Final = cast("tuple[Part, ...]", get_args(Part))
_CANCEL_GRACE_SECONDS: Final = 5.0


class JobModel(QObject):
    """One job's state.

    Attributes:
        folder: Where job.json, the event log and the console's output are.
        status: What became of it.
        phase: What it does now, with ``detail`` in a sentence; None before the first.
        done: How far the phase is, of ``total`` (0: unknown).
        verified: The comparison of the export with the trained model; None before it.
        exported: What is complete on disk; several where the job writes several.
        samples: Answers that were written or scored, in order.
        points: Learning rates that a sweep tried, the lowest first, and what it ``suggested``; None before its end.
        exact: The exact estimate; None before it.
        probed: What one worst-case step took; None before its end.
        warnings: As they came.
        error: What ended it; None where all is well.
        error_details: Traceback or console tail for "Details".
    """

    status_changed = Signal()
    progress_changed = Signal()
    result_changed = Signal()
    messages_changed = Signal()

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder = folder
        self.status: RunStatus = "new"
        self.phase: Phase | None = None
        self.detail = ""
        self.done = 0
        self.total = 0
        self.verified: Verified | None = None
        self.exported: list[Exported] = []
        self.samples: list[SampleDone] = []
        self.points: list[LrPoint] = []
        self.suggested: LrSuggested | None = None
        self.exact: DryRunDone | None = None
        self.probed: ProbeMeasured | None = None
        self.warnings: list[WarningRaised] = []
        self.error: DesktopFtError | None = None
        self.error_details = ""
        self._worker: TrainingWorker | None = None
        self._changed: set[Part] = set()

    @property
    def is_live(self) -> bool:
        """Whether the engine works on it now."""
        return self.status in {"starting", "running"}

    # --- the worker --------------------------------------------------------------------------------------------------

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the engine on the folder, with further variables in its environment."""
        self._set_status("starting")
        self._follow(launch=True, environment=environment)
        self._announce()

    def open(self) -> None:
        """Attach to a job that goes, or read one that has ended."""
        self._follow(launch=False)

    def cancel(self) -> None:
        """Ask the engine to end; it is killed after 5 s."""
        if self._worker is not None and self._worker.isRunning():
            self._worker.request_stop(_CANCEL_GRACE_SECONDS)

    def remove_folder(self) -> None:
        """Nobody needs what it wrote: the folder goes once nothing works in it, also when this object is gone by then."""
        if self._worker is not None:
            self._worker.remove_folder_at_end()
        if self._worker is None or not self._worker.isRunning():
            shutil.rmtree(self.folder, ignore_errors=True)

    def detach(self) -> None:
        """Stop watching; the engine goes on."""
        if self._worker is not None:
            self._worker.detach()

    def _follow(self, *, launch: bool, environment: Mapping[str, str] | None = None) -> None:
        assert self._worker is None, "a job is followed once"
        worker = TrainingWorker(RunDir(self.folder), launch=launch, environment=environment)
        worker.events_received.connect(self.fold)
        worker.engine_started.connect(self._on_engine_started)
        worker.engine_ended.connect(self._on_engine_ended)
        worker.failed.connect(self._on_failed)
        self._worker = worker
        worker.start()

    # --- folding -----------------------------------------------------------------------------------------------------

    @Slot(object)
    def fold(self, events: Iterable[Event]) -> None:
        """Take in a batch of events, then say once what changed."""
        for event in events:
            self._fold(event)
        self._announce()

    def _fold(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._set_status("running")
            case PhaseChanged():
                self._set_progress(event.phase, 0, 0, event.detail)
            case Progress():
                self._set_progress(event.phase, event.done, event.total, event.detail or self.detail)
            case Verified() | Exported() | LrPoint() | LrSuggested() | DryRunDone() | ProbeMeasured() | SampleDone():
                self._fold_result(event)
            case WarningRaised():
                self.warnings.append(event)
                self._changed.add("messages")
            case ErrorRaised():
                self._set_error(DesktopFtError(event.code, event.title, event.message, event.hint), event.traceback)
            case RunFinished():
                self._set_status(event.status)
            case _:
                pass

    def _fold_result(self, event: Verified | Exported | LrPoint | LrSuggested | DryRunDone | ProbeMeasured | SampleDone) -> None:
        match event:
            case Verified():
                self.verified = event
            case Exported():
                self.exported.append(event)
            case LrPoint():
                self.points.append(event)
            case LrSuggested():
                self.suggested = event
            case DryRunDone():
                self.exact = event
            case ProbeMeasured():
                self.probed = event
            case SampleDone():
                self.samples.append(event)
        self._changed.add("result")

    def _set_progress(self, phase: Phase, done: int, total: int, detail: str) -> None:
        self.phase, self.done, self.total, self.detail = phase, done, total, detail
        self._changed.add("progress")

    def _set_error(self, error: DesktopFtError, details: str) -> None:
        self.error, self.error_details = error, details
        self._changed.add("messages")

    def _set_status(self, status: RunStatus) -> None:
        if status != self.status:
            self.status = status
            self._changed.add("status")

    @Slot(object)
    def _on_engine_started(self, _mark: ProcessMark) -> None:
        if self.status != "running":
            self._set_status("starting")
        self._announce()

    @Slot(object)
    def _on_engine_ended(self, end: EngineEnd) -> None:
        if end.status in {"crashed", "failed"} and self.error is None:
            self._set_error(crash_error(end), end.console_tail)
        self._set_status(end.status)
        self._announce()

    @Slot(object)
    def _on_failed(self, error: DesktopFtError) -> None:
        self._set_error(error, "")
        self._set_status("failed")
        self._announce()

    def _announce(self) -> None:
        changed, self._changed = self._changed, set()
        for part in _PARTS:
            if part in changed:
                cast("SignalInstance", getattr(self, f"{part}_changed")).emit()
