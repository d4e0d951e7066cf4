"""Who is still running: a process named by id and start time, since ids are used again."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_START_TOLERANCE_SECONDS = 1.0
_TICK_TOLERANCE_SECONDS = 0.005


@dataclass(frozen=True)
class ProcessMark:
    """One process for good.

    Attributes:
        pid: Process id.
        started: Start time, seconds since the epoch. On Linux it moves when the system's clock is set.
        since_boot: Start time, seconds since the system's start, which never moves; None where the platform does not say.
    """

    pid: int
    started: float
    since_boot: float | None = None


def mark_of(pid: int) -> ProcessMark | None:
    """The mark of a process that runs now, or None."""
    try:
        return ProcessMark(pid, psutil.Process(pid).create_time(), _since_boot(pid))
    except psutil.Error:
        return None


def _since_boot(pid: int) -> float | None:
    """Field 22 of proc(5)'s stat, counted behind the name, which may hold spaces."""
    if sys.platform != "linux":
        return None
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
    return ticks / os.sysconf("SC_CLK_TCK")


def is_alive(mark: ProcessMark) -> bool:
    """Whether this very process still runs; one that has ended and waits to be collected does not."""
    try:
        process = psutil.Process(mark.pid)
        return _is_same(mark, process) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _is_same(mark: ProcessMark, process: psutil.Process) -> bool:
    since_boot = None if mark.since_boot is None else _since_boot(mark.pid)
    if mark.since_boot is not None and since_boot is not None:
        return abs(since_boot - mark.since_boot) <= _TICK_TOLERANCE_SECONDS
    return abs(process.create_time() - mark.started) <= _START_TOLERANCE_SECONDS


def kill_tree(mark: ProcessMark) -> None:
    """End this process and its children at once; one that is gone already is fine."""
    if not is_alive(mark):
        return
    try:
        process = psutil.Process(mark.pid)
        family = [*process.children(recursive=True), process]
    except psutil.Error:
        return
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
