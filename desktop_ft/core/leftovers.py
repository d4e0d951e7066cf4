"""Folders of jobs that belong to no run (a sweep of learning rates, scores, answers). Whoever asked for one removes it, unless killed.

Must not import Qt.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from desktop_ft.core.job import JobDir, is_job
from desktop_ft.core.runs import live_engine
from desktop_ft.core.workspace import Workspace

QUIET_SECONDS: Final = 3600.0
"""A job that nobody works on and whose files have not changed for so long is nobody's: a starting one has no engine for a moment, and an
ended one is being read."""


def remove_leftovers(workspace: Workspace, now: float | None = None) -> list[Path]:
    """Remove what jobs without a run left behind; what cannot be removed stays for the next time.

    Args:
        workspace: The person's folder.
        now: Seconds since the epoch; the clock's unless given.

    Returns:
        What is gone.
    """
    moment = time.time() if now is None else now
    found = [folder for folder in _jobs(workspace.home / "jobs") if live_engine(JobDir(folder)) is None]
    old = [folder for folder in found if moment - _newest(folder) > QUIET_SECONDS]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder for folder in old if not folder.exists()]


def _jobs(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("*")) if path.is_dir() and is_job(path))


def _newest(folder: Path) -> float:
    """When something in it changed last; a file that goes meanwhile counts as now."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:
        return time.time()
