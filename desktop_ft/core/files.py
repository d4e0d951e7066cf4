"""Writing files so that a crash at any moment leaves the old content or the new, never half of one."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from desktop_ft.core.errors import DesktopFtError

_NO_SPACE = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary name beside the target, sync, then rename over it.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``; the old file, if any, is untouched.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise write_error(path, error) from error


def write_text(path: Path, text: str) -> None:
    """As `write_atomic`, UTF-8 with line feeds as line ends."""
    write_atomic(path, text.encode("utf-8"))


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """As `write_atomic`: indented JSON; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sync_folder(folder: Path) -> None:
    """Make renames in the folder durable where the platform can (Windows has no such call)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_error(path: Path, error: OSError) -> DesktopFtError:
    """The error to show for a failed write: a full disk is told apart from everything else."""
    if error.errno in _NO_SPACE:
        return DesktopFtError(
            "disk_full",
            "The disk is full",
            f"There was no space left to write {path}.",
            "Free some space on this disk, or choose another folder in Settings, then try again. Nothing that was saved before is lost.",
        )
    return DesktopFtError(
        "file_not_writable",
        "A file could not be written",
        f"Writing {path} failed: {error.strerror or error}.",
        "Check that the folder exists and that you may write to it.",
    )
