"""Asks the GPU once a second, in a thread: a driver that hangs must not freeze the window.

While nobody looks and nothing of ours uses the card, it asks rarely and lets go of the driver in between: on a laptop an open driver, and
every question to it, keeps a sleeping GPU awake.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

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


RESTING_SECONDS: Final = 60.0
"""Time between readings while nobody looks."""


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
        self._is_ending = False
        self._is_resting = False
        self._woken = threading.Event()

    def end_soon(self) -> None:
        """End before the next reading; wait with `wait`."""
        self._is_ending = True
        self._woken.set()

    def set_resting(self, resting: bool) -> None:
        """Ask rarely, or as usual again, beginning at once."""
        if resting != self._is_resting:
            self._is_resting = resting
            self._woken.set()

    def run(self) -> None:
        """Qt's entry point."""
        source = self._make_source()
        try:
            while not self._is_ending:
                self._woken.clear()
                is_resting = self._is_resting
                self.reading_changed.emit(source.read())
                if is_resting:
                    source.close()
                if not self._is_ending:
                    self._woken.wait(RESTING_SECONDS if is_resting else self._interval_seconds)
        finally:
            source.close()
