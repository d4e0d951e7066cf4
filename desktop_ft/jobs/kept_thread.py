"""A QThread that stays referenced while it runs (Qt aborts the program when a running one is collected) and ends when told."""

from __future__ import annotations

import time
from typing import Final

from PySide6.QtCore import QObject, QThread, Slot

_running: Final[set[KeptThread]] = set()


class KeptThread(QThread):
    """The base of every thread of the window; `end_threads` ends them all."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.finished.connect(self._on_thread_finished)

    def start(self, priority: QThread.Priority = QThread.Priority.InheritPriority) -> None:
        """Start and stay referenced until the end."""
        _running.add(self)
        super().start(priority)

    def end_soon(self) -> None:
        """Tell the thread to end; to be overridden by what can."""
        self.requestInterruption()

    @Slot()
    def _on_thread_finished(self) -> None:
        self.wait()
        _running.discard(self)


def running_threads() -> tuple[KeptThread, ...]:
    """Threads that were started and have not ended."""
    return tuple(thread for thread in _running if thread.isRunning())


def end_threads(seconds: float) -> bool:
    """Tell every thread to end and wait for them together; whether all ended in time."""
    deadline = time.monotonic() + seconds
    threads = tuple(_running)
    for thread in threads:
        thread.end_soon()
    ended = [thread for thread in threads if thread.wait(max(0, int((deadline - time.monotonic()) * 1000)))]
    _running.difference_update(ended)
    return len(ended) == len(threads)
