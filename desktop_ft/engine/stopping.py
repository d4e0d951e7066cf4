"""Being asked to stop: by a request in the control folder, by the terminal, or by the system."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class StopRequested(Exception):  # noqa: N818 - not an error
    """Raised where there is no step to finish first."""


class StopFlag:
    """Set once and for all; training looks at it between micro-batches."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def is_set(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    def set(self) -> None:
        """Ask for the stop."""
        self._event.set()


@contextmanager
def stop_on_signals(stop: StopFlag) -> Generator[None]:
    """Turn SIGTERM, Ctrl+C and Ctrl+Break into the flag; a second one ends at once."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set:
            raise KeyboardInterrupt
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGBREAK] if hasattr(signal, "SIGBREAK") else [])]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
