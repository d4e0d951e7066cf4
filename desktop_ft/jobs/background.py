"""One piece of work in a thread of its own: cancellable, with progress, its errors on one road."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QObject, Signal, SignalInstance, Slot

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.jobs.kept_thread import KeptThread

_PROGRESS_SECONDS: Final = 0.1

IsCancelled = Callable[[], bool]
ReportProgress = Callable[[int, int, str], None]
Work = Callable[[IsCancelled, ReportProgress], object]


@dataclass(frozen=True)
class TaskProgress:
    """How far the work is, in its own unit; ``total`` 0: unknown."""

    done: int
    total: int
    detail: str = ""


class BackgroundTask(KeptThread):
    """Runs ``work(cancelled, progress)`` once. Start it with `start`; it stays referenced until its end.

    After `cancel` neither `succeeded` nor `failed` comes.

    Args:
        work: Looks at ``cancelled()`` often enough to end within a moment, and may report ``progress(done, total, detail)``.
        parent: When it goes, the work is cancelled.
    """

    succeeded = Signal(object)
    """What the work returned."""
    failed = Signal(object)
    """`DesktopFtError`."""
    crashed = Signal(object)
    """Traceback (str) of an exception that nobody expected."""
    progress_changed = Signal(object)
    """`TaskProgress`, at most 10 a second, and the last."""

    _ended = Signal(object, object)
    """Result and error, to this object's own thread: a result that waits there while `cancel` is called must not come either."""

    def __init__(self, work: Work, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._ended.connect(self._on_ended)
        self._work = work
        self._cancelled = threading.Event()
        self._last_progress = 0.0

    def cancel(self) -> None:
        """Ask the work to end; it looks at ``cancelled()``."""
        self._cancelled.set()

    def end_soon(self) -> None:
        """As `cancel`."""
        self.cancel()

    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def run(self) -> None:
        """Qt's entry point."""
        try:
            result = self._work(self.is_cancelled, self._report)
        except DesktopFtError as error:
            self._ended.emit(None, error)
        except Exception:  # noqa: BLE001 # the border to the crash dialog: a thread must not die in silence
            self.crashed.emit(traceback.format_exc())
        else:
            self._ended.emit(result, None)

    @Slot(object, object)
    def _on_ended(self, result: object, error: object) -> None:
        if self.is_cancelled():
            return
        if error is not None:
            self.failed.emit(error)
        else:
            self.succeeded.emit(result)

    def _report(self, done: int, total: int, detail: str) -> None:
        now = time.monotonic()
        if now - self._last_progress >= _PROGRESS_SECONDS or (total and done >= total):
            self._last_progress = now
            self.progress_changed.emit(TaskProgress(done, total, detail))


class TaskSlot:
    """Room for one task at a time: a new one takes the place of the last, whose result no longer comes.

    Args:
        owner: The tasks' parent.
        crashed: Emitted with the traceback of an exception that nobody expected.
    """

    def __init__(self, owner: QObject, crashed: SignalInstance) -> None:
        self._owner = owner
        self._crashed = crashed
        self._task: BackgroundTask | None = None

    @property
    def is_busy(self) -> bool:
        """Whether its task still works."""
        return self._task is not None

    def start(self, work: Work, succeeded: Callable[[object], None], failed: Callable[[object], None]) -> None:
        """Do this work in place of what was there; the slot is free before the result is handed on."""
        self.drop()
        self._task = BackgroundTask(work, self._owner)
        self._task.succeeded.connect(lambda result: self._hand_on(succeeded, result))
        self._task.failed.connect(lambda error: self._hand_on(failed, error))
        self._task.crashed.connect(self._crashed)
        self._task.start()

    def drop(self) -> None:
        """Cancel what is there."""
        if self._task is not None:
            self._task.cancel()
        self._task = None

    def _hand_on(self, receive: Callable[[object], None], what: object) -> None:
        """Of a task that was dropped nothing comes, so that this is the one that is there."""
        self._task = None
        receive(what)
