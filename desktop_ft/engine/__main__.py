"""The engine's child: ``python -m desktop_ft.engine RUN_DIR`` trains (or resumes) a run or carries out a job; ``--wait`` starts warm.

This is the border: whatever happens inside ends here as events and an exit code. Exit code 0: completed or stopped; 1: failed.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Final

from desktop_ft.core.config.ignored import ignored_note
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail, EventWriter
from desktop_ft.core.events import FinishStatus, PhaseChanged, RunFinished, WarningRaised
from desktop_ft.core.processes import ProcessMark, mark_of
from desktop_ft.core.runs import RunDir, open_run, release_lock, take_lock
from desktop_ft.core.stages import has_stages
from desktop_ft.engine.quiet import quieten
from desktop_ft.engine.stopping import StopFlag, StopRequested, stop_on_signals

USAGE: Final = "usage: python -m desktop_ft.engine RUN_DIR | --wait"


def main(arguments: list[str]) -> int:
    """Run the engine; returns the exit code."""
    faulthandler.enable()
    if len(arguments) != 1:
        print(USAGE, file=sys.stderr)
        return 2
    quieten()
    if arguments[0] != "--wait":
        return work_in(Path(arguments[0]))
    folder = wait_for_folder()
    return 0 if folder is None else work_in(folder, started=time.time())


def wait_for_folder() -> Path | None:
    """Import everything, then take one folder from standard input and let go of it; None where the input ended first."""
    from desktop_ft.engine import train as warm

    assert warm
    line = sys.stdin.readline().strip()
    if not line:
        return None
    folder = Path(line)
    _detach(folder)
    return folder


def _detach(folder: Path) -> None:
    """No input any more, a process session of its own, and output into the folder's console.log, as if it was started there."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    if os.name == "posix" and os.getpgrp() != os.getpid():
        os.setsid()
    console = os.open(RunDir(folder).console_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(console, 1)
    os.dup2(console, 2)
    os.close(console)


def work_in(folder: Path, started: float | None = None) -> int:
    """Do what the folder asks for.

    Args:
        folder: A run's or a job's.
        started: When the folder was given to this process, seconds since the epoch; None: at its start.

    Returns:
        The exit code.
    """
    if (folder / "job.json").is_file():
        from desktop_ft.engine.jobs import run_job

        return run_job(folder)
    mark = mark_of(os.getpid())
    assert mark is not None
    try:
        run = open_run(folder)
        _refuse_complete(run)
        take_lock(run, mark)
    except DesktopFtError as error:
        return _say(error)
    try:
        return _train(run, mark, mark.started if started is None else started)
    except DesktopFtError as error:  # the event log itself cannot be written
        return _say(error)
    finally:
        release_lock(run)


def _say(error: DesktopFtError) -> int:
    print(f"{error.title}\n{error.message}\n{error.hint}", file=sys.stderr, flush=True)
    return 1


def _train(run: RunDir, mark: ProcessMark, started: float) -> int:
    """Train with everything told in the event log.

    Raises:
        DesktopFtError: The event log cannot be written.
    """
    events = EventWriter(run.events_file)
    stop = StopFlag()
    try:
        with stop_on_signals(stop):
            status, step = _attempt(run, events, stop, mark, started)
            events.write(RunFinished(status=status, step=step, seconds=max(0.0, time.time() - started)))
    finally:
        events.close()
    return 1 if status == "failed" else 0


def _attempt(run: RunDir, events: EventWriter, stop: StopFlag, mark: ProcessMark, started: float) -> tuple[FinishStatus, int]:
    events.write(PhaseChanged(phase="load", detail="Starting the engine"))
    from desktop_ft.engine.errors import Situation, error_event

    situation = Situation()
    try:
        from desktop_ft.engine.controls import ControlFolder
        from desktop_ft.engine.own_memory import MemoryMeter
        from desktop_ft.engine.staged import StagedRun
        from desktop_ft.engine.train import TrainingRun

        config, controls = run.config(), ControlFolder(run, events, started)
        ignored = ignored_note(config)
        if ignored:
            events.write(WarningRaised(code="settings_ignored", title="Some settings have no effect", message=ignored))
        if has_stages(config):
            outcome = StagedRun(run, config, events, stop, mark, controls, situation).train()
        else:
            outcome = TrainingRun(run, events, stop, mark, controls, situation, MemoryMeter()).train()
    except (StopRequested, KeyboardInterrupt):
        return "stopped", situation.step
    except Exception as error:  # noqa: BLE001 - the engine's one border: an untranslated exception is shown as our bug
        traceback.print_exc()
        events.write(error_event(error, situation))
        return "failed", situation.step
    return outcome.status, outcome.step


def _refuse_complete(run: RunDir) -> None:
    """A run that is complete stays as it is; its log gets no second ending."""
    finished = [event.status for event in EventTail(run.events_file).read_all() if isinstance(event, RunFinished)]
    if finished and finished[-1] == "completed":
        raise DesktopFtError(
            "run_is_complete",
            "This run is complete already",
            f"{run.path} was trained to its last step.",
            "Start a new run; with model.adapter set to this run's adapter it goes on from here.",
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
