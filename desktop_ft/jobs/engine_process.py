"""A running engine as one handle: the window's own child, or one that was found through the lock. No Qt."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Final

from desktop_ft.core.launcher import start_engine
from desktop_ft.core.processes import ProcessMark, is_alive, kill_tree, mark_of
from desktop_ft.core.runs import RunDir, live_engine

_COLLECT_SECONDS: Final = 5.0
_WINDOWS_ACCESS_VIOLATION: Final = 0xC0000005

_SIGNAL_WORDS: Final = {
    "SIGKILL": "the system or another program ended it (SIGKILL), as happens when main memory runs out",
    "SIGSEGV": "it crashed inside a native library (SIGSEGV)",
    "SIGABRT": "a native library gave up (SIGABRT)",
    "SIGBUS": "it lost access to a file or to memory (SIGBUS), as happens when a disk is full or gone",
    "SIGILL": "it used an instruction that this processor lacks (SIGILL)",
    "SIGFPE": "it crashed in an arithmetic operation (SIGFPE)",
    "SIGTERM": "it was asked to end (SIGTERM)",
    "SIGINT": "it was interrupted (SIGINT)",
    "SIGHUP": "its session was closed (SIGHUP)",
}

_children_lock = threading.Lock()
_children: dict[int, subprocess.Popen[bytes]] = {}
"""Our children that were not collected yet: a later handle on the same process finds its exit code here."""


class EngineProcess:
    """One engine that works in a folder, whoever started it."""

    def __init__(self, mark: ProcessMark, child: subprocess.Popen[bytes] | None = None) -> None:
        self.mark = mark
        self._child = child

    @property
    def exit_code(self) -> int | None:
        """What our own child ended with; negative: a signal. None while it goes, and for another program's child."""
        return None if self._child is None else self._child.returncode

    def has_ended(self) -> bool:
        """Whether the process is gone; our own child is collected here."""
        if self._child is None:
            return not is_alive(self.mark)
        if self._child.poll() is None:
            return False
        _forget(self._child)
        return True

    def kill(self) -> None:
        """End it and its children at once; returns once it is gone, after 5 s in any case."""
        kill_tree(self.mark)
        deadline = time.monotonic() + _COLLECT_SECONDS
        while not self.has_ended() and time.monotonic() < deadline:
            time.sleep(0.01)


def launch_engine(run: RunDir, environment: Mapping[str, str] | None = None) -> EngineProcess:
    """Start the engine in a folder, with further variables in its environment.

    Raises:
        DesktopFtError: As `start_engine`.
    """
    child = start_engine(run, extra_environment=environment)
    with _children_lock:
        _children[child.pid] = child
    # A child that ended already has no mark; its time does not matter then.
    return EngineProcess(mark_of(child.pid) or ProcessMark(child.pid, 0.0), child)


def find_engine(run: RunDir) -> EngineProcess | None:
    """The engine that works in a folder now, or None."""
    mark = live_engine(run)
    if mark is None:
        return None
    with _children_lock:
        return EngineProcess(mark, _children.get(mark.pid))


def collect_children() -> None:
    """Collect children that ended after their thread let go of them."""
    with _children_lock:
        for pid in [pid for pid, child in _children.items() if child.poll() is not None]:
            del _children[pid]


def _forget(child: subprocess.Popen[bytes]) -> None:
    with _children_lock:
        _children.pop(child.pid, None)


def exit_words(exit_code: int | None) -> str:
    """How a process ended, as a clause that goes on after 'The engine is gone:'."""
    if exit_code is None:
        return "it ended without a word"
    if exit_code & 0xFFFFFFFF == _WINDOWS_ACCESS_VIOLATION:
        return "it crashed inside a native library (access violation)"
    if exit_code >= 0:
        return f"it ended with exit code {exit_code}"
    name = _signal_name(-exit_code)
    return _SIGNAL_WORDS.get(name, f"it was ended by {name}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
