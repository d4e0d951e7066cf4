"""Following a run or a job from the command line: events become a progress bar or JSON lines; Ctrl-C asks it to stop."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from desktop_ft.commands.console import err, out, print_json
from desktop_ft.core import events as ev
from desktop_ft.core.control import send_control
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import Event, encode_event
from desktop_ft.core.processes import kill_tree, mark_of

_POLL_SECONDS: Final = 0.1
_CONSOLE_TAIL_LINES: Final = 12


@dataclass
class Followed:
    """What came of it.

    Attributes:
        status: As in ``run_finished``; ``crashed`` where the child ended without one.
        events: Every event seen, in order.
    """

    status: str = "crashed"
    events: list[Event] = field(default_factory=list[Event])

    def last(self, kind: type[Event]) -> Event | None:
        """The latest event of a type."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)


Listener = Callable[[Event], None]


def follow(folder: Path, child: subprocess.Popen[bytes], tail: EventTail, *, as_json: bool) -> Followed:
    """Follow a child until it ends.

    The first Ctrl-C asks it to save and stop, the second one kills it.
    """
    result = Followed()
    with _listener(as_json=as_json) as listen:
        interrupts = 0
        while True:
            try:
                ended = child.poll() is not None
                for event in tail.read_all():
                    result.events.append(event)
                    listen(event)
                if ended:
                    break
                time.sleep(_POLL_SECONDS)
            except KeyboardInterrupt:
                interrupts += 1
                _interrupt(folder, child, interrupts)
    finished = result.last(ev.RunFinished)
    if isinstance(finished, ev.RunFinished):
        result.status = finished.status
    _show_end(folder, child, result, as_json=as_json)
    return result


def _interrupt(folder: Path, child: subprocess.Popen[bytes], count: int) -> None:
    if count == 1:
        err.print("Stopping after this step; a checkpoint is saved. Press Ctrl-C again to kill it.")
        send_control(folder, "stop")
        return
    mark = mark_of(child.pid)
    if mark is not None:
        kill_tree(mark)


def _show_end(folder: Path, child: subprocess.Popen[bytes], result: Followed, *, as_json: bool) -> None:
    error = result.last(ev.ErrorRaised)
    if result.status in ("completed", "stopped") or as_json:
        return
    if isinstance(error, ev.ErrorRaised):
        err.print(f"[bold red]{error.title}[/]\n{error.message}\n[dim]{error.hint}[/]", markup=True)
        return
    err.print(f"[bold red]The engine ended without a word[/] (exit status {child.returncode}). Its last lines:")
    err.print(console_tail(folder / "console.log"), markup=False)


def console_tail(path: Path, num_lines: int = _CONSOLE_TAIL_LINES) -> str:
    """The last lines of a log, or an empty text."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 65536))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-num_lines:])


@contextmanager
def _listener(*, as_json: bool) -> Iterator[Listener]:
    if as_json:
        yield lambda event: print_json_line(event)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=out, transient=False) as progress:
        yield _BarListener(progress)


def print_json_line(event: Event) -> None:
    """An event as it stands in the log."""
    out.file.write(encode_event(event) + "\n")
    out.file.flush()


class _BarListener:
    """One bar over the run; everything else is a line above it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("Starting", total=1, note="")

    def __call__(self, event: Event) -> None:
        match event:
            case ev.RunStarted():
                self._progress.update(self._task, total=max(event.num_steps, 1), completed=event.start_step, description="Training")
                self._line(f"On {event.device}: {event.num_train_examples} examples, {event.num_steps} steps")
            case ev.PhaseChanged():
                self._progress.update(self._task, description=event.phase.capitalize())
            case ev.Progress():
                self._progress.update(self._task, total=max(event.total, 1), completed=event.done)
            case ev.StepDone():
                loss = "not finite" if event.loss is None else f"{event.loss:.3f}"
                self._progress.update(self._task, completed=event.step, description="Training", note=f"loss {loss}")
            case ev.EvaluationDone():
                self._line(f"step {event.step}: eval loss {'not finite' if event.loss is None else f'{event.loss:.4f}'}")
            case ev.WarningRaised():
                self._line(f"Warning: {event.title}. {event.message} {event.hint}".rstrip())
            case ev.CheckpointSaved():
                self._line(f"step {event.step}: checkpoint saved in {event.path}")
            case _:
                return

    def _line(self, text: str) -> None:
        self._progress.console.print(text, markup=False)


def print_result(values: dict[str, object], *, as_json: bool) -> None:
    """The last line of a command that streamed: an object with ``result``, or one line a value."""
    if as_json:
        print_json({"result": values})
        return
    for key, value in values.items():
        out.print(f"{key.replace('_', ' ')}: {value}", markup=False)
