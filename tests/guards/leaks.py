"""Finds what a test left running: threads, child processes, Qt's threads, timers and windows. Must not import Qt itself."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import psutil

Item = TypeVar("Item")

GRACE_SECONDS = 3.0
# The timer with which pytest-timeout watches the test itself.
IGNORED_THREADS = ("pytest_timeout",)
# Python's own helper for shared memory; it lives as long as the interpreter.
IGNORED_COMMANDS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def live_threads() -> set[threading.Thread]:
    """The threads that would keep the interpreter from ending."""
    return {thread for thread in threading.enumerate() if not thread.daemon and not thread.name.startswith(IGNORED_THREADS)}


def live_processes(home: Path) -> set[psutil.Process]:
    """Children of this process, and processes that left it but work in the same Desktop FT home."""
    children = psutil.Process().children(recursive=True)
    strays = [process for process in psutil.process_iter() if process.pid != os.getpid() and _works_in(process, home)]
    return {process for process in (*children, *strays) if _is_running(process) and not _is_ignored(process)}


def outlasting(look: Callable[[], Iterable[Item]], before: Iterable[Item], grace_seconds: float = GRACE_SECONDS) -> list[Item]:
    """What ``look`` still finds, beyond what was there before, after a time in which it may end by itself."""
    known = list(before)
    pause = threading.Event()
    deadline = time.monotonic() + grace_seconds
    while True:
        left = [item for item in look() if item not in known]
        if not left or time.monotonic() > deadline:
            return left
        left.clear()  # what is looked for must not be kept alive by the search
        pause.wait(0.02)


def kill(processes: Iterable[psutil.Process]) -> None:
    """Ends processes so that the next test starts clean."""
    doomed = list(processes)
    for process in doomed:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(doomed, timeout=GRACE_SECONDS)


def describe(process: psutil.Process) -> str:
    """A process as a failed test names it."""
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return f"{process.pid} (gone meanwhile)"


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _is_ignored(process: psutil.Process) -> bool:
    return any(command in describe(process) for command in IGNORED_COMMANDS)


def _works_in(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get("DESKTOP_FT_HOME") == str(home)
    except (psutil.Error, OSError):
        return False
