"""What killed jobs left behind goes; what lives, is young or is no job stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

from desktop_ft.core.job import LrFindRequest, ScoreRequest, create_job_in
from desktop_ft.core.leftovers import QUIET_SECONDS, remove_leftovers
from desktop_ft.core.processes import mark_of
from desktop_ft.core.runs import take_lock
from desktop_ft.core.workspace import Workspace


def test_only_old_jobs_without_an_engine_are_removed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    jobs = tmp_path / "jobs"
    dead = create_job_in(jobs, LrFindRequest(1e-5, 1e-3, 4, 4))
    scored = create_job_in(jobs, ScoreRequest(tmp_path, "a", ("b",)))
    live = create_job_in(jobs, LrFindRequest(1e-5, 1e-3, 4, 4))
    mark = mark_of(os.getpid())
    assert mark is not None
    take_lock(live, mark)
    (jobs / "mine").mkdir()
    assert remove_leftovers(workspace) == [], "they are young"
    later = time.time() + QUIET_SECONDS + 1
    assert remove_leftovers(workspace, later) == [dead.path, scored.path]
    assert sorted(path.name for path in jobs.iterdir()) == ["lr_find-0002", "mine"]


def test_where_there_are_no_jobs_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert remove_leftovers(Workspace(tmp_path / "nowhere")) == []
