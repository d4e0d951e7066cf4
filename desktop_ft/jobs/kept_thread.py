"""A QThread that stays referenced while it runs (Qt aborts the program when a running one is collected) and ends when told."""

from __future__ import annotations

import time
from typing import Final

from PySide6.QtCore import QObject, QThread

_started: Final[set[KeptThread]] = set()
"""Threads that run, and ended ones until the next start: an object must not lose its last reference in its own slot."""


class KeptThread(QThread):
    """The base of every thread of the window; `end_threads` ends them all.

    Args:
        parent: When it goes, the thread is told to end. Qt's own parent it is not: that would delete a running thread with it.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__()
        if parent is not None:
            parent.destroyed.connect(self.end_soon)

    def start(self, priority: QThread.Priority = QThread.Priority.InheritPriority) -> None:
        """Start and stay referenced until the end."""
        _started.difference_update([thread for thread in _started if thread.isFinished()])
        _started.add(self)
        super().start(priority)

    def end_soon(self) -> None:
        """Tell the thread to end; to be overridden by what can."""
        self.requestInterruption()


def running_threads() -> tuple[KeptThread, ...]:
    """Threads that were started and have not ended."""
    return tuple(thread for thread in _started if thread.isRunning())


def end_threads(seconds: float) -> bool:
    """Tell every thread to end and wait for them together; whether all ended in time."""
    deadline = time.monotonic() + seconds
    threads = tuple(_started)
    for thread in threads:
        thread.end_soon()
    ended = [thread for thread in threads if thread.wait(max(0, int((deadline - time.monotonic()) * 1000)))]
    _started.difference_update(ended)
    return len(ended) == len(threads)
