"""The thread that owns one run: starts or finds the engine, follows its event log, hands over batches of typed events.

The tensors live in the engine's process. When the window closes, the thread ends and the engine goes on. Must not import
widgets or anything that loads torch.
"""

from __future__ import annotations

import contextlib
import queue
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from PySide6.QtCore import QObject, Signal, Slot

from desktop_ft.core.control import ControlKind, send_control
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail, EventWriter
from desktop_ft.core.events import Event, RunFinished, RunStarted, StepDone, WarningRaised
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.runs import RunDir, damage_of, read_lock, release_lock
from desktop_ft.core.stages import checkpoints_of
from desktop_ft.jobs.engine_process import EngineProcess, exit_words, find_engine, launch_engine
from desktop_ft.jobs.kept_thread import KeptThread

EndStatus = Literal["completed", "stopped", "failed", "crashed"]

BATCH_SECONDS: Final = 0.1
"""Least time between two batches, and how often a quiet log is looked at."""
DEFAULT_GRACE_SECONDS: Final = 120.0
"""How long a stop may take (a checkpoint is written) before the engine is killed."""
_CONSOLE_TAIL_BYTES: Final = 16 << 10
_HASH_AT_MOST_BYTES: Final = 512 << 20
_CLOCK_TOLERANCE_SECONDS: Final = 1.0


@dataclass(frozen=True)
class EngineEnd:
    """How an engine ended.

    Attributes:
        status: As the run's last event says; ``crashed`` where it ended without one.
        exit_code: Negative: the number of a signal. None where the engine was not this program's child.
        reason: The end in words, such as ``it crashed inside a native library (SIGSEGV)``; empty where it ended in order.
        console_tail: The last 16 KiB that it printed; empty where it ended in order.
        last_checkpoint_step: Newest checkpoint that can be resumed from, or None.
        was_seen: Whether the engine ended while the worker watched; False for a replay.
    """

    status: EndStatus
    exit_code: int | None = None
    reason: str = ""
    console_tail: str = ""
    last_checkpoint_step: int | None = None
    was_seen: bool = True


@dataclass(frozen=True)
class _Request:
    kind: ControlKind
    values: Mapping[str, object]


class TrainingWorker(KeptThread):
    """Follows one run (or another job of the engine: its folder has the same files) to its end.

    All signals are emitted in `run`, so that slots run in the thread of their object. After `engine_ended` or `failed` the
    thread ends.

    Args:
        run: The folder.
        launch: Start the engine (where none works there yet); False: attach to a live one, or replay what is there.
        after: A worker of this run that has ended (or was detached); this one reads on where that one stopped, so that a model is not
            told everything twice.
        environment: Further variables for an engine that is started, such as which GPU it sees.
        parent: When it goes, the thread is told to end.
    """

    events_received = Signal(object)
    """``tuple[Event, ...]``, at most 10 a second."""
    engine_started = Signal(object)
    """`ProcessMark`; what was in the log before has been handed over by then."""
    engine_ended = Signal(object)
    """`EngineEnd`, after the last events."""
    failed = Signal(object)
    """`DesktopFtError`; the run cannot be followed any further."""
    request_failed = Signal(object)
    """`DesktopFtError`: a request could not be written; the run is followed on."""

    def __init__(
        self,
        run: RunDir,
        *,
        launch: bool,
        after: TrainingWorker | None = None,
        environment: Mapping[str, str] | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.run_dir = run
        self._tail = EventTail(run.events_file)
        self._launch = launch
        self._environment = dict(environment or {})
        self._wake = threading.Event()
        self._detached = threading.Event()
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._stop_deadline: float | None = None
        self._num_unread = 0
        self._engine: EngineProcess | None = None
        self._finished: RunFinished | None = None
        self._started: RunStarted | None = None
        self._was_killed = False
        self._removes_folder = threading.Event()
        self._last_step = 0
        self._last_batch = 0.0
        self._unsent: list[Event] = []
        if after is not None:
            self._take_over(after)
        self.events_received.connect(self._on_batch_delivered)

    def _take_over(self, earlier: TrainingWorker) -> None:
        assert not earlier.isRunning(), "two workers would read one log"
        self._tail, self._unsent = earlier._tail, earlier._unsent  # its own class
        self._started, self._finished, self._last_step = earlier._started, earlier._finished, earlier._last_step

    # --- for other threads -------------------------------------------------------------------------------------------

    def request(self, kind: ControlKind, values: Mapping[str, object] | None = None) -> None:
        """Ask the engine for something; it answers with a `ControlDone` event."""
        self._requests.put(_Request(kind, dict(values or {})))
        self._wake.set()

    def request_stop(self, grace_seconds: float = DEFAULT_GRACE_SECONDS) -> None:
        """Ask the engine to save and end; after the grace it is killed. Asking again can only shorten the grace."""
        deadline = time.monotonic() + grace_seconds
        self._stop_deadline = deadline if self._stop_deadline is None else min(deadline, self._stop_deadline)
        self.request("stop")

    def remove_folder_at_end(self) -> None:
        """Nobody needs the folder any more: it goes once the engine is gone, unless the thread is detached before."""
        self._removes_folder.set()

    def detach(self) -> None:
        """End the thread and never the engine; wait for it with `wait`."""
        self._detached.set()
        self._wake.set()

    def end_soon(self) -> None:
        """As `detach`."""
        self.detach()

    @Slot(object)
    def _on_batch_delivered(self, _events: object) -> None:
        """Runs in the owner's thread: while it is busy, the log is not read further and nothing piles up."""
        self._num_unread -= 1
        self._wake.set()

    # --- the thread --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Qt's entry point."""
        try:
            self._take_up()
            self._follow()
        except DesktopFtError as error:
            self.failed.emit(error)
        if self._removes_folder.is_set() and not self._detached.is_set() and find_engine(self.run_dir) is None:
            shutil.rmtree(self.run_dir.path, ignore_errors=True)

    def _take_up(self) -> None:
        """Find or start the engine; hand over what the log held before it."""
        size = _size_of(self.run_dir.events_file)
        self._engine = find_engine(self.run_dir)
        is_new = self._engine is None and self._launch
        if is_new:
            self._engine = launch_engine(self.run_dir, self._environment)
        self._replay(size)
        if self._engine is not None and not self._detached.is_set():
            self._forget_earlier_end(self._engine.mark, is_new=is_new)
            self.engine_started.emit(self._engine.mark)

    def _replay(self, size: int) -> None:
        while not self._detached.is_set() and self._tail.position < size:
            before = self._tail.position
            self._pass_on(self._read_batch(size))
            if self._tail.position == before:
                return

    def _forget_earlier_end(self, mark: ProcessMark, *, is_new: bool) -> None:
        """The log may end with the last event of an engine before this one."""
        finished = self._finished
        if is_new or (finished is not None and finished.time < mark.started - _CLOCK_TOLERANCE_SECONDS):
            self._finished = None

    def _follow(self) -> None:
        while not self._detached.is_set():
            self._wake.clear()
            # Looked at before the log is read: whatever the engine wrote before its end is in the log by then.
            has_ended = self._engine is None or self._engine.has_ended()
            self._serve_requests(has_ended=has_ended)
            is_drained = self._pump()
            if has_ended and is_drained and not self._is_succeeded():
                self._end()
                return
            if is_drained:
                self._wake.wait(BATCH_SECONDS)

    def _is_succeeded(self) -> bool:
        """Whether our child ended because another program's engine took the folder first; that one is followed then."""
        other = find_engine(self.run_dir)
        if other is None or (self._engine is not None and other.mark.pid == self._engine.mark.pid):
            return False
        self._engine = other
        self.engine_started.emit(other.mark)
        return True

    # --- events ------------------------------------------------------------------------------------------------------

    def _pump(self) -> bool:
        """Hand over what is new, at most one batch; whether the end of the log was reached."""
        if not self.run_dir.path.is_dir():
            raise _folder_gone(self.run_dir.path)
        batch = self._read_batch()
        is_drained = self._tail.position >= _size_of(self.run_dir.events_file)
        self._pass_on(batch)
        return is_drained

    def _read_batch(self, end: int | None = None) -> list[Event]:
        """At most 1 MiB of the log (some 5000 events), once the owner has taken in the batch before.

        Reading and taking in both need the interpreter's lock: side by side, each would make the other late.
        """
        self._wait_for_room()
        return [] if self._detached.is_set() else self._note(self._tail.read(end))

    def _note(self, events: list[Event]) -> list[Event]:
        for event in events:
            if isinstance(event, RunStarted):
                self._started, self._finished = event, None
            elif isinstance(event, RunFinished):
                self._finished = event
            elif isinstance(event, StepDone):
                self._last_step = event.step
        return events

    def _pass_on(self, events: list[Event]) -> None:
        """Emit one batch once its time has come and the owner has read the earlier ones."""
        self._unsent += events
        if not self._unsent:
            return
        self._wait_for_room(self._last_batch + BATCH_SECONDS)
        if not self._detached.is_set():
            self._emit_unsent()

    def _wait_for_room(self, due: float = 0.0) -> None:
        """Wait until the owner has taken in what was emitted, and at least until ``due`` (monotonic); requests are served meanwhile."""
        while not self._detached.is_set():
            seconds = due - time.monotonic()
            if seconds <= 0 and self._num_unread == 0:
                return
            self._wake.wait(max(seconds, 0.02))
            self._wake.clear()
            self._serve_requests(has_ended=self._engine is None)

    def _emit_unsent(self) -> None:
        batch, self._unsent = tuple(self._unsent), []
        self._num_unread += 1
        self._last_batch = time.monotonic()
        self.events_received.emit(batch)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _serve_requests(self, *, has_ended: bool) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                request = self._requests.get_nowait()
                if not has_ended:
                    self._send(request)
        if self._stop_deadline is not None and time.monotonic() >= self._stop_deadline and not has_ended:
            self._kill()

    def _send(self, request: _Request) -> None:
        try:
            send_control(self.run_dir.path, request.kind, request.values)
        except DesktopFtError as error:
            self.request_failed.emit(error)

    def _kill(self) -> None:
        """End an engine that did not end when asked, and write down that this was no crash."""
        assert self._engine is not None
        self._stop_deadline = None
        self._was_killed = True
        self._engine.kill()
        try:
            self._record_kill()
            release_lock(self.run_dir)
        except DesktopFtError as error:
            self.request_failed.emit(error)

    def _record_kill(self) -> None:
        """The engine is gone and wrote no last event; whoever killed it does."""
        self._note(list(EventTail(self.run_dir.events_file).read_all()))
        if self._finished is not None:
            return
        seconds = 0.0 if self._started is None else max(0.0, time.time() - self._started.time)
        writer = EventWriter(self.run_dir.events_file)
        try:
            writer.write(_killed_warning())
            writer.write(RunFinished(status="stopped", step=self._last_step, seconds=seconds))
        finally:
            writer.close()

    # --- the end -----------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        if self._engine is None and not self._was_ever_started():
            return
        status = self._end_status()
        exit_code = None if self._engine is None else self._engine.exit_code
        is_crash = status == "crashed"
        self.engine_ended.emit(
            EngineEnd(
                status=status,
                exit_code=exit_code,
                reason=exit_words(exit_code) if is_crash else "",
                console_tail=console_tail(self.run_dir) if is_crash else "",
                last_checkpoint_step=last_sound_step(self.run_dir),
                was_seen=self._engine is not None,
            )
        )

    def _end_status(self) -> EndStatus:
        if self._was_killed:
            return "stopped"
        if self._finished is None:
            return "crashed"
        lock = read_lock(self.run_dir)
        if self._engine is None and lock is not None and lock.started > self._finished.time + _CLOCK_TOLERANCE_SECONDS:
            return "crashed"  # A later engine took the lock and died before it wrote a line.
        return self._finished.status

    def _was_ever_started(self) -> bool:
        run = self.run_dir
        return self._started is not None or self._finished is not None or read_lock(run) is not None or _size_of(run.console_file) > 0


def console_tail(run: RunDir, num_bytes: int = _CONSOLE_TAIL_BYTES) -> str:
    """The end of what the engine printed, from the start of a line; empty where there is nothing."""
    try:
        with run.console_file.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - num_bytes))
            data = file.read(num_bytes)
    except OSError:
        return ""
    text = data.decode("utf-8", errors="replace")
    return text.partition("\n")[2] if size > num_bytes and "\n" in text else text


def last_sound_step(run: RunDir) -> int | None:
    """Step of the newest checkpoint that can be resumed from; content is compared up to 512 MiB, beyond that sizes."""
    for checkpoint in reversed(checkpoints_of(run)):
        num_bytes = sum(_size_of(path) for path in checkpoint.path.rglob("*"))
        if damage_of(checkpoint, read_content=num_bytes <= _HASH_AT_MOST_BYTES) is None:
            return checkpoint.step
    return None


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _folder_gone(path: Path) -> DesktopFtError:
    return DesktopFtError(
        "run_folder_gone",
        "The run's folder is gone",
        f"{path} was moved or deleted while it was being watched.",
        "Put the folder back, or close this run.",
    )


def _killed_warning() -> WarningRaised:
    return WarningRaised(
        code="engine_killed",
        title="The run did not stop when asked",
        message="It was ended without saving; what it did since its last checkpoint is lost.",
        hint="Resume it to go on from the last checkpoint.",
    )
