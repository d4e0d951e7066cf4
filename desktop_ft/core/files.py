"""Writing files so that a crash at any moment leaves the old content or the new, never half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

from desktop_ft.core.errors import DesktopFtError

_NUM_WINDOWS_TRIES: Final = 20
_WINDOWS_PAUSE_SECONDS: Final = 0.025
_NO_SPACE = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary name beside the target, sync, then rename over it.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``; the old file, if any, is untouched.
    """
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error
    sync_folder(path.parent)


def _replace(source: Path, target: Path) -> None:
    """Rename over the target; Windows refuses for as long as another program has it open, which readers do for moments."""
    for _ in range(_NUM_WINDOWS_TRIES if os.name == "nt" else 0):
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(_WINDOWS_PAUSE_SECONDS)
        else:
            return
    source.replace(target)


@contextlib.contextmanager
def atomic_file(path: Path) -> Generator[Path]:
    """As `write_atomic` for what is written bit by bit: a temporary file beside the target, which takes its name when the block ends well.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``; the old file, if any, is untouched.
    """
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        _replace(temporary, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """As `write_atomic`, UTF-8 with line feeds as line ends."""
    write_atomic(path, text.encode("utf-8"))


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """As `write_atomic`: indented JSON; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sync_folder(folder: Path) -> None:
    """Make renames in the folder durable where the platform and the file system can; the files are whole either way."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
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
