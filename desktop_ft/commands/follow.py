"""Following a run or a job from the command line: events become a progress bar or JSON lines; Ctrl-C asks it to stop."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from desktop_ft.commands.console import EXIT_FAILED, err, note, show_error
from desktop_ft.core import events as ev
from desktop_ft.core.control import send_control
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import Event, encode_event
from desktop_ft.core.launcher import start_engine
from desktop_ft.core.processes import kill_tree, mark_of
from desktop_ft.core.runs import EngineDir

_POLL_SECONDS: Final = 0.1
_CONSOLE_TAIL_LINES: Final = 12
_CONSOLE_TAIL_BYTES: Final = 1 << 16
_EventT = TypeVar("_EventT", bound=Event)
Listener = Callable[[Event], None]


@dataclass
class Followed:
    """What came of a run or a job.

    Attributes:
        status: As in ``run_finished``; ``crashed`` where the child ended without one.
        events: Every event seen, in order.
        error: Why it failed or crashed; None where it did neither.
    """

    status: str = "crashed"
    events: list[Event] = field(default_factory=list[Event])
    error: DesktopFtError | None = None

    def last(self, kind: type[_EventT]) -> _EventT | None:
        """The latest event of a type."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)

    def all(self, kind: type[_EventT]) -> list[_EventT]:
        """Every event of a type, in order."""
        return [event for event in self.events if isinstance(event, kind)]


def run_engine(folder: EngineDir, listener: Listener, environment: Mapping[str, str] | None = None) -> Followed:
    """Start the engine on a folder and follow it to its end; only what it says from now on.

    The first Ctrl-C asks it to save and stop, the second one kills it.

    Raises:
        DesktopFtError: As `start_engine` and `EventTail.read`.
    """
    tail = EventTail(folder.events_file)
    for _ in tail.read_all():
        pass
    result = Followed()
    child = start_engine(folder, extra_environment=environment)
    with _interrupts(folder.path, child):
        while True:
            has_ended = _has_ended(child)
            for event in tail.read_all():
                result.events.append(event)
                listener(event)
            if has_ended:
                break
    finished = result.last(ev.RunFinished)
    if finished is not None:
        result.status = finished.status
    result.error = _error_of(folder, child.returncode, result)
    return result


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether the child is gone, after a pause in which it may end."""
    try:
        child.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


@contextmanager
def _interrupts(folder: Path, child: subprocess.Popen[bytes]) -> Generator[None]:
    """Ctrl-C goes to the engine as a request, not to us; the engine has a process session of its own and never sees the key."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    count = 0

    def on_interrupt(_number: int, _frame: object) -> None:
        nonlocal count
        count += 1
        if count == 1:
            note("Stopping after this step; a checkpoint is saved. Press Ctrl-C again to kill it.")
            send_control(folder, "stop")
            return
        mark = mark_of(child.pid)
        if mark is not None:
            kill_tree(mark)

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _error_of(folder: EngineDir, exit_code: int, result: Followed) -> DesktopFtError | None:
    if result.status in {"completed", "stopped"}:
        return None
    told = result.last(ev.ErrorRaised)
    if told is not None:
        return DesktopFtError(told.code, told.title, told.message, told.hint)
    tail = console_tail(folder.console_file)
    return DesktopFtError(
        "engine_crashed",
        "The engine ended without a word",
        f"It ended with status {exit_code}. Its last lines:\n{tail}" if tail else f"It ended with status {exit_code} and printed nothing.",
        f"What it printed is in {folder.console_file}. A run goes on from its last checkpoint with: desktop-ft resume",
    )


def console_tail(path: Path, num_lines: int = _CONSOLE_TAIL_LINES) -> str:
    """The last lines of a log, or an empty text."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _CONSOLE_TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-num_lines:])


def fail_where_failed(followed: Followed, *, as_json: bool) -> None:
    """Show why a run or a job failed, and leave with exit status 1; a job that was stopped has nothing to show either."""
    if followed.error is not None:
        show_error(followed.error, as_json=as_json)
        raise typer.Exit(EXIT_FAILED)


# --- what is shown meanwhile -------------------------------------------------------------------------------------------


def print_event(event: Event) -> None:
    """An event as it stands in the log."""
    sys.stdout.write(encode_event(event) + "\n")
    sys.stdout.flush()


@contextmanager
def listening(*, as_json: bool) -> Generator[Listener]:
    """JSON lines on standard output, or a progress bar on standard error."""
    if as_json:
        yield print_event
        return
    with _bar() as progress:
        yield _BarListener(progress)


@contextmanager
def waiting(*, as_json: bool) -> Generator[Listener]:
    """As `listening` for a command whose JSON is one object at its end."""
    if as_json:
        yield lambda _event: None
        return
    with _bar() as progress:
        yield _BarListener(progress)


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(compact=True),
    )
    return Progress(*columns, console=err, transient=True)


class _BarListener:
    """One bar over the run; everything else is a line above it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("Starting", total=1, note="")
        self._step, self._num_steps = 0, 1

    def __call__(self, event: Event) -> None:
        match event:
            case ev.RunStarted() if event.num_steps:
                self._step, self._num_steps = event.start_step, event.num_steps
                self._line(f"On {event.device}: {event.num_train_examples} examples to learn, {event.num_steps} steps")
            case ev.PhaseChanged():
                self._enter(event)
            case ev.Progress():
                self._progress.update(self._task, total=max(event.total, 1), completed=event.done)
            case ev.StepDone():
                self._step = event.step
                loss = "loss not finite" if event.loss is None else f"loss {event.loss:.3f}"
                self._show_steps(loss)
            case _:
                line = _line_of(event)
                if line:
                    self._line(line)

    def _enter(self, event: ev.PhaseChanged) -> None:
        if event.phase == "train":
            self._show_steps("")
        else:
            self._progress.update(self._task, description=event.detail or event.phase.capitalize(), total=1, completed=0, note="")

    def _show_steps(self, text: str) -> None:
        self._progress.update(self._task, description="Training", total=self._num_steps, completed=self._step, note=text)

    def _line(self, text: str) -> None:
        self._progress.console.print(text, markup=False)


def _line_of(event: Event) -> str:
    """What is said about an event beside the bar; empty for none."""
    match event:
        case ev.EvaluationDone():
            return f"step {event.step}: eval loss {'not finite' if event.loss is None else f'{event.loss:.4f}'}"
        case ev.WarningRaised():
            return f"Warning: {event.title}. {event.message} {event.hint}".rstrip()
        case ev.CheckpointSaved():
            return f"step {event.step}: checkpoint saved in {event.path}"
        case _:
            return ""
