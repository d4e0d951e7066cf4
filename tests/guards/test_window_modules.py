"""What the real window loads when everything in it has been shown: nothing of what trains; and nothing in it flashes up as a window."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

from fine_imports import TORCH_STACK

from desktop_ft.core.runs import create_run
from desktop_ft.core.workspace import Workspace
from tests.conftest import ROOT
from tests.helpers.synthetic_run import config, events_of, write_log


class Visit(TypedDict):
    modules: list[str]
    pages: int
    tabs: int
    strays: list[str]
    is_active: bool


def test_the_window_with_everything_shown_has_loaded_no_torch_and_is_one_window(tmp_path: Path, desktop_ft_home: Path) -> None:
    run = create_run(Workspace(desktop_ft_home).new_run_dir("a run"), config())
    write_log(run, events_of("completed", 50))
    probe = tmp_path / "visit.jsonl"
    command = [sys.executable, "-m", "tests.helpers.window_driver", "visit", str(probe)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    assert probe.exists(), done.stderr
    visit: Visit = json.loads(probe.read_text(encoding="utf-8").splitlines()[-1])
    assert (visit["pages"], visit["tabs"]) == (5, 5)
    assert (visit["strays"], visit["is_active"]) == ([], True)
    assert {"desktop_ft.ui.main_window", "desktop_ft.ui.run_page", "pyqtgraph"} <= set(visit["modules"])
    assert [name for name in TORCH_STACK if name in visit["modules"]] == []
