"""Starting the engine as a child that outlives the window.

The child gets a process session of its own, writes to files only, and is never waited for by a pipe: closing the program,
or killing it, leaves the run going.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from desktop_ft.core.control import retire_controls
from desktop_ft.core.files import write_error
from desktop_ft.core.runs import EngineDir, live_engine

ENGINE_MODULE: Final = "desktop_ft.engine"
ENGINE_VARIABLE: Final = "DESKTOP_FT_ENGINE"
"""Name of another module to run as the engine (the scripted engine of the tests)."""


def engine_command(run_dir: Path) -> list[str]:
    """What to run for a folder that holds run.yaml or job.json."""
    return [sys.executable, "-X", "faulthandler", "-m", os.environ.get(ENGINE_VARIABLE, ENGINE_MODULE), str(run_dir)]


def engine_environment(*, allow_hub: bool = False) -> dict[str, str]:
    """The environment of a child: no telemetry, and no Hub unless the person asked for it."""
    # Idle threads of torch sleep rather than spin: with anything else at work on the cores, spinning made steps up to 12 times slower.
    patient = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    quiet = {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    offline = {} if allow_hub else {"HF_HUB_OFFLINE": "1"}
    return {**os.environ, **patient, **quiet, **offline}


def start_engine(run: EngineDir, *, allow_hub: bool = False, extra_environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start the engine on a run's (or a job's) folder; what it prints goes to console.log.

    Requests that an earlier engine never obeyed are put away first: a stop meant for it must not end this one.

    Raises:
        DesktopFtError: ``file_not_writable`` or ``disk_full`` where the log cannot be opened.
    """
    if live_engine(run) is None:
        retire_controls(run.path)
    environment = {**engine_environment(allow_hub=allow_hub), **(extra_environment or {})}
    return start_detached(engine_command(run.path), run.console_file, environment)


def start_detached(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a child in its own session with its output appended to a file and no input."""
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=os.name == "posix",
                creationflags=_windows_flags(),
            )
    except OSError as error:
        raise write_error(log, error) from error


def _windows_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0
