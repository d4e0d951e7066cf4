"""Who is still running: a process named by id and start time, since ids are used again."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil

_START_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True)
class ProcessMark:
    """One process for good.

    Attributes:
        pid: Process id.
        started: Start time, seconds since the epoch.
    """

    pid: int
    started: float


def mark_of(pid: int) -> ProcessMark | None:
    """The mark of a process that runs now, or None."""
    try:
        return ProcessMark(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def is_alive(mark: ProcessMark) -> bool:
    """Whether this very process still runs; one that has ended and waits to be collected does not."""
    try:
        process = psutil.Process(mark.pid)
        same = abs(process.create_time() - mark.started) <= _START_TOLERANCE_SECONDS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


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
