"""Asks the GPU once a second, in a thread: a driver that hangs must not freeze the window."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from PySide6.QtCore import QObject, Signal

from desktop_ft.jobs.kept_thread import KeptThread


class GpuSource(Protocol):
    """What is asked, such as `desktop_ft.core.gpu.GpuReader`; its own errors are part of a reading."""

    def read(self) -> object:
        """One reading."""
        ...

    def close(self) -> None:
        """Let go of the driver."""
        ...


class GpuMonitor(KeptThread):
    """Emits a reading at once and then at every interval.

    Args:
        make_source: Called in the thread (the first call into a driver can take seconds).
        interval_seconds: Time between readings.
        parent: When it goes, the thread is told to end.
    """

    reading_changed = Signal(object)
    """What the source's ``read`` returned."""

    def __init__(self, make_source: Callable[[], GpuSource], interval_seconds: float = 1.0, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._make_source = make_source
        self._interval_seconds = interval_seconds
        self._ending = threading.Event()

    def end_soon(self) -> None:
        """End before the next reading; wait with `wait`."""
        self._ending.set()

    def run(self) -> None:
        """Qt's entry point."""
        source = self._make_source()
        try:
            while not self._ending.is_set():
                self.reading_changed.emit(source.read())
                self._ending.wait(self._interval_seconds)
        finally:
            source.close()
