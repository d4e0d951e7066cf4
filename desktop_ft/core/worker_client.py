"""Ask the killable child (`worker`) to do one thing, and give up on it when told to. No Qt, no torch."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import psutil

from desktop_ft.core.errors import DesktopFtError

Progress = Callable[[int, int], None]

_POLL_SECONDS = 0.05
_STDERR_TAIL_CHARACTERS = 2000
_ROOT = Path(__file__).resolve().parents[2]


def run_task(
    task: str,
    payload: Mapping[str, object],
    timeout_seconds: float,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Run one task in a child of its own and wait for it; call this from a thread that may wait.

    Args:
        task: A name in `worker.TASKS`.
        payload: JSON values.
        timeout_seconds: Longest time that the child may take, its start (about 0.2 s) included.
        cancelled: Asked every 50 ms; True kills the child and the processes that it started.
        progress: Called with (rows done, rows in all) as a task that counts goes on.

    Returns:
        What the task gives.

    Raises:
        DesktopFtError: The task's own, or ``worker_timeout``, ``worker_cancelled``, ``worker_crashed``.
    """
    if progress is not None:
        with tempfile.TemporaryDirectory(prefix="desktop-ft-", ignore_cleanup_errors=True) as folder:
            told = Path(folder) / "progress"

            def look() -> bool:
                _tell(told, progress)
                return cancelled()

            return run_task(task, {**payload, "progress_file": str(told)}, timeout_seconds, look)
    request = json.dumps({"task": task, "payload": dict(payload)}, allow_nan=False).encode("utf-8")
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "desktop_ft.core.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    try:
        output, errors = _wait(child, request, time.monotonic() + timeout_seconds, timeout_seconds, cancelled)
    finally:
        if child.poll() is None:
            _kill(child)
            child.communicate()
    return _result(child.returncode, output, errors)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child and what it started: those hold its pipes open."""
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(child.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
    child.kill()


def _tell(path: Path, progress: Progress) -> None:
    try:
        done, total = path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return  # not yet, or half written
    progress(int(done), int(total))


def _wait(
    child: subprocess.Popen[bytes], request: bytes, deadline: float, timeout_seconds: float, cancelled: Callable[[], bool]
) -> tuple[bytes, bytes]:
    to_send: bytes | None = request
    while True:
        try:
            return child.communicate(to_send, timeout=_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            to_send = None
        if cancelled():
            raise DesktopFtError("worker_cancelled", "Stopped", "Looking into the data was stopped.", "Start it again when you like.")
        if time.monotonic() >= deadline:
            raise DesktopFtError(
                "worker_timeout",
                "Looking into the data takes too long",
                f"It was stopped after {timeout_seconds:g} seconds.",
                "A chat template may loop without end, or the file is very large: try another model, or fewer rows.",
            )


def _result(return_code: int, output: bytes, errors: bytes) -> dict[str, object]:
    try:
        answer = cast("dict[str, object]", json.loads(output))
    except ValueError as error:
        tail = errors.decode("utf-8", "replace").strip()[-_STDERR_TAIL_CHARACTERS:]
        last = tail.splitlines()[-1] if tail else "it left no message"
        raise DesktopFtError(
            "worker_crashed",
            "The data worker ended unexpectedly",
            f"It ended with status {return_code}: {last}",
            "Try a smaller file. If it happens again, report it with the file's format and the model's name.",
        ) from error
    if "error" in answer:
        fields = cast("Mapping[str, str]", answer["error"])
        raise DesktopFtError(fields["code"], fields["title"], fields["message"], fields["hint"])
    return cast("dict[str, object]", answer["ok"])


def _environment() -> dict[str, str]:
    """The child finds this very package, and nothing in the current folder (``-P``)."""
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(_ROOT), *([inherited] if inherited else [])])
    return {**os.environ, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false", "PYTHONUTF8": "1"}
