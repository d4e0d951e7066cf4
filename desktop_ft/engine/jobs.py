"""One child's work on a job's folder: take the lock, carry the request out, and say how it ended."""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import Event, FinishStatus, Phase, PhaseChanged, Progress, RunFinished, RunStarted
from desktop_ft.core.job import DryRunRequest, ExportRequest, JobDir, JobRequest, LrFindRequest, ProbeRequest, ScoreRequest, read_job
from desktop_ft.core.processes import ProcessMark, mark_of
from desktop_ft.core.runs import release_lock, take_lock
from desktop_ft.engine.errors import Situation, error_event
from desktop_ft.engine.stopping import StopFlag, StopRequested, stop_on_signals

if TYPE_CHECKING:
    from desktop_ft.engine.controls import ControlFolder


class JobWork:
    """What a job may do besides its work: say how far it is, and notice that it should stop.

    Args:
        events: The job's log.
        stop: Also set by a signal.
        controls: The job's requests.
        situation: Kept up to date for the translation of errors.
    """

    def __init__(self, events: EventWriter, stop: StopFlag, controls: ControlFolder, situation: Situation) -> None:
        self._events = events
        self._stop = stop
        self._controls = controls
        self._situation = situation

    @property
    def events(self) -> EventWriter:
        """The job's log, for rooms that write to it themselves."""
        return self._events

    @property
    def stop(self) -> StopFlag:
        """Set when the job is to stop."""
        return self._stop

    @property
    def controls(self) -> ControlFolder:
        """Requests to the job."""
        return self._controls

    @property
    def situation(self) -> Situation:
        """What the job is doing, for the translation of errors."""
        return self._situation

    def emit(self, event: Event) -> None:
        """Append an event to the log."""
        self._events.write(event)

    def enter(self, phase: Phase, detail: str) -> None:
        """Begin something else, or leave before it.

        Raises:
            StopRequested: Where the person asked for it.
        """
        self._situation.phase = phase
        self.check_stop()
        self.emit(PhaseChanged(phase=phase, detail=detail))

    def progress(self, done: int, total: int, detail: str = "") -> None:
        """Say how far the current phase is, or leave.

        Raises:
            StopRequested: Where the person asked for it.
        """
        self.check_stop()
        self.emit(Progress(phase=self._situation.phase, done=done, total=total, detail=detail))

    def check_stop(self) -> None:
        """Leave where the person asked for it.

        Raises:
            StopRequested: Where the person asked for it.
        """
        if self.is_stopping():
            raise StopRequested

    def is_stopping(self) -> bool:
        """Whether the person asked to stop; every other request is refused."""
        for request in self._controls.new():
            if request.kind == "stop":
                self._stop.set()
                self._controls.answer(request)
            else:
                self._controls.answer(request, accepted=False, message="A job can only be stopped.")
        return self._stop.is_set


def run_job(folder: Path) -> int:
    """Carry out the request in a folder.

    Returns:
        Exit status: 0 done or stopped as asked, 1 failed.
    """
    job = JobDir(folder.absolute())
    mark = mark_of(os.getpid())
    assert mark is not None
    try:
        request = read_job(job.path)
        take_lock(job, mark)
    except DesktopFtError as error:
        return _say(error)
    try:
        return _logged(job, request, mark)
    except DesktopFtError as error:  # the event log itself cannot be written
        return _say(error)
    finally:
        release_lock(job)


def _say(error: DesktopFtError) -> int:
    print(f"{error.title}\n{error.message}\n{error.hint}", file=sys.stderr, flush=True)
    return 1


def _logged(job: JobDir, request: JobRequest, mark: ProcessMark) -> int:
    events = EventWriter(job.events_file)
    try:
        return 1 if _carry_out(job, request, events, mark) == "failed" else 0
    finally:
        events.close()


def _carry_out(job: JobDir, request: JobRequest, events: EventWriter, mark: ProcessMark) -> FinishStatus:
    started = time.monotonic()
    situation, stop = Situation(), StopFlag()
    status: FinishStatus = "completed"
    with stop_on_signals(stop):
        try:
            _work(job, request, events, mark, stop, situation)
        except (StopRequested, KeyboardInterrupt):
            status = "stopped"
        except Exception as error:  # noqa: BLE001 # the border where libraries' errors become ours
            status = "failed"
            traceback.print_exc()
            events.write(error_event(error, situation))
    events.write(RunFinished(status=status, seconds=time.monotonic() - started))
    return status


def _work(job: JobDir, request: JobRequest, events: EventWriter, mark: ProcessMark, stop: StopFlag, situation: Situation) -> None:
    """Torch and the libraries are imported here, after the first event: the window shows a sign of life at once."""
    from desktop_ft.engine.controls import ControlFolder
    from desktop_ft.engine.quiet import quieten, quieten_libraries

    events.write(PhaseChanged(phase="load", detail="Starting"))
    quieten()
    from desktop_ft.engine.device import detect_device
    from desktop_ft.engine.own_memory import MemoryMeter

    quieten_libraries()
    meter = MemoryMeter()
    device = detect_device()
    events.write(RunStarted(pid=mark.pid, num_steps=0, device=device.name, device_bytes=device.total_bytes))
    work = JobWork(events, stop, ControlFolder(job, events, mark.started), situation)
    if isinstance(request, ExportRequest):
        from desktop_ft.engine.export import export

        export(request, work, device)
    elif isinstance(request, ScoreRequest):
        from desktop_ft.engine.score import score

        score(request, work, device)
    elif isinstance(request, LrFindRequest):
        from desktop_ft.engine.lr_find import find_rate

        find_rate(job, request, work, mark)
    elif isinstance(request, ProbeRequest):
        from desktop_ft.engine.probe import probe

        probe(job, request, work, mark, meter)
    elif isinstance(request, DryRunRequest):
        from desktop_ft.engine.dry_run.job import estimate_exactly

        estimate_exactly(job, request, work)
    else:
        from desktop_ft.engine.generate import generate

        generate(request, work, device)
