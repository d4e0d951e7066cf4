"""Making a whole folder appear at once: written beside the target under another name, synced, then renamed.

A kill at any moment leaves either the finished target or a ``.partial-`` folder that no one takes for it. The next export beside it
removes what dead processes left.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import sync_folder, write_error
from desktop_ft.core.processes import ProcessMark, is_alive, mark_of

_READABLE: Final = 0o644
PARTIAL: Final = ".partial-"
REPLACED: Final = ".replaced-"
_NAME: Final = re.compile(r"\.(partial|replaced)-(\d+)-(\d+)-[^-]+-(.+)")


@contextmanager
def partial_folder(target: Path) -> Generator[Path]:
    """An empty folder beside the target, for what will become it; gone again when the block ends, published or not.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent)
        folder = Path(tempfile.mkdtemp(prefix=_prefix(PARTIAL), suffix=f"-{target.name}", dir=target.parent))
        folder.chmod(0o755)
    except OSError as error:
        raise write_error(target, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(partial: Path, target: Path, *, overwrite: bool) -> None:
    """Sync every file, then give the folder its name.

    Args:
        partial: From `partial_folder`.
        target: Free, an empty folder, or with ``overwrite`` a folder to replace.
        overwrite: Whether a folder with content may be replaced; the old one stays until the new one is whole.

    Raises:
        DesktopFtError: ``export_exists``, ``disk_full`` or ``file_not_writable``.
    """
    check_target(target, overwrite=overwrite)
    try:
        _sync_tree(partial)
        _swap(partial, target)
        sync_folder(target.parent)
    except OSError as error:
        raise write_error(target, error) from error


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a target that holds something.

    Raises:
        DesktopFtError: ``export_exists``.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise _exists(target, "is a file, not a folder", "Choose another folder.")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise _exists(target, "has files in it already", "Choose another folder, or allow it to be replaced.")


def _exists(target: Path, how: str, hint: str) -> DesktopFtError:
    return DesktopFtError("export_exists", "There is something at this place already", f"{target} {how}.", hint)


def remove_leftovers(parent: Path) -> None:
    """Remove what exports of dead processes left in a folder; a replaced folder whose successor never came is put back."""
    for path in list(parent.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match is None or not path.is_dir() or is_alive(ProcessMark(int(match[2]), float(match[3]))):
            continue
        target = parent / match[4]
        if match[1] == "replaced" and not target.exists():
            path.replace(target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _prefix(kind: str) -> str:
    mark = mark_of(os.getpid())
    assert mark is not None
    return f"{kind}{mark.pid}-{round(mark.started)}-"


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        else:
            path.chmod(_READABLE)  # safetensors writes files that only their owner may read
            with path.open("r+b") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


def _swap(partial: Path, target: Path) -> None:
    if not target.exists():
        partial.replace(target)
        return
    if not any(target.iterdir()):
        target.rmdir()
        partial.replace(target)
        return
    old = Path(tempfile.mkdtemp(prefix=_prefix(REPLACED), suffix=f"-{target.name}", dir=target.parent))
    old.rmdir()
    target.replace(old)
    partial.replace(target)
    shutil.rmtree(old, ignore_errors=True)
