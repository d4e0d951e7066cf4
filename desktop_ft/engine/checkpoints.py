"""Checkpoints that count only when they are whole: written under another name, sealed with a manifest, then renamed."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from desktop_ft.core.best_checkpoint import BestCheckpoint, read_best, write_best
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import CheckpointSaved, WarningRaised
from desktop_ft.core.files import sync_folder, write_error
from desktop_ft.core.runs import Checkpoint, RunDir, damage_of, list_checkpoints, write_manifest

_FULL_DISK_NUMBERS: Final = frozenset({39, 112} if os.name == "nt" else {errno.ENOSPC, errno.EDQUOT})
_FULL_BELOW_BYTES: Final = 16 << 20
"""A failed write with less than this left is put down to the full disk: safetensors and torch do not pass errno on."""


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        run: The run's folder.
        events: Where a sealed checkpoint is told.
        keep: How many to keep; the oldest goes when a new one is sealed. The best one stays besides.
    """

    def __init__(self, run: RunDir, events: EventWriter, keep: int) -> None:
        self._run = run
        self._events = events
        self._keep = keep
        self._candidate: BestCheckpoint | None = None

    @property
    def best(self) -> BestCheckpoint | None:
        """The best checkpoint so far, or the one that is about to be."""
        return self._candidate or read_best(self._run)

    def mark_best(self, candidate: BestCheckpoint) -> None:
        """This step measured better than every checkpoint: once it is sealed, it is the one that stays."""
        self._candidate = candidate
        if self.has(candidate.step):
            self._settle_best(candidate.step)

    def _settle_best(self, step: int) -> bool:
        """Record the candidate where it is this step; otherwise it was never saved and counts no more."""
        candidate, self._candidate = self._candidate, None
        if candidate is None or candidate.step != step:
            return False
        write_best(self._run, candidate)
        return True

    @property
    def unsealed(self) -> Path:
        """Where a checkpoint is written before it counts."""
        return self._run.checkpoints / ".unsealed"

    def clear_unsealed(self) -> None:
        """Remove what an interrupted save left, and make the folder."""
        shutil.rmtree(self.unsealed, ignore_errors=True)
        try:
            self.unsealed.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(self.unsealed, error) from error

    def has(self, step: int) -> bool:
        """Whether this step is sealed already."""
        return any(checkpoint.step == step for checkpoint in list_checkpoints(self._run))

    def seal(self, folder: Path, step: int) -> None:
        """Make a written folder the checkpoint of a step and remove those that are too many.

        Raises:
            DesktopFtError: ``disk_full`` or ``file_not_writable``; the checkpoints before are untouched.
        """
        target = self._run.checkpoint(step)
        with writing(folder):
            sync_files(folder)
            num_bytes = write_manifest(folder, step)
            if target.exists():
                shutil.rmtree(target)
            folder.rename(target)
            sync_folder(self._run.checkpoints)
        is_best = self._settle_best(step)
        path = target.relative_to(self._run.path).as_posix()
        self._events.write(CheckpointSaved(step=step, path=path, num_bytes=num_bytes, is_best=is_best))
        self._remove_old()

    def _remove_old(self) -> None:
        best = read_best(self._run)
        for checkpoint in list_checkpoints(self._run)[: -self._keep]:
            if best is None or checkpoint.step != best.step:
                _remove(checkpoint)

    def newest_sound(self) -> Checkpoint | None:
        """Where to go on; damaged checkpoints after it are said and removed, so that their steps are saved again."""
        for checkpoint in reversed(list_checkpoints(self._run)):
            damage = damage_of(checkpoint)
            if damage is None:
                return checkpoint
            self._events.write(
                WarningRaised(
                    code="checkpoint_damaged",
                    title="A checkpoint is damaged",
                    message=f"The checkpoint of step {checkpoint.step} is left out: {damage}.",
                    hint="The run goes on from the one before.",
                )
            )
            _remove(checkpoint)
        return None


def _remove(checkpoint: Checkpoint) -> None:
    """The manifest goes first: a folder that is half removed must not pass for a checkpoint."""
    (checkpoint.path / "manifest.json").unlink(missing_ok=True)
    shutil.rmtree(checkpoint.path, ignore_errors=True)


@contextmanager
def writing(folder: Path) -> Generator[None]:
    """Turn any failure to write into the error to show, and leave nothing half-written under this name.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``.
    """
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        full = _is_full(folder)
        shutil.rmtree(folder, ignore_errors=True)
        raise (_disk_full(folder) if full else write_error(folder, error)) from error
    except (RuntimeError, SafetensorError) as error:
        full = _is_full(folder) or _says_full(error)
        shutil.rmtree(folder, ignore_errors=True)
        if full:
            raise _disk_full(folder) from error
        raise


def _says_full(error: Exception) -> bool:
    """Whether the system's error number in safetensors' message means a full disk; seen: "I/O error: ... (os error 28)"."""
    match = re.search(r"\(os error (\d+)\)", str(error))
    return match is not None and int(match[1]) in _FULL_DISK_NUMBERS


def _is_full(folder: Path) -> bool:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free < _FULL_BELOW_BYTES


def _disk_full(folder: Path) -> DesktopFtError:
    return write_error(folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def sync_files(folder: Path) -> None:
    """Make the content of every file durable before its manifest claims it."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


@contextmanager
def whole_folder(target: Path) -> Generator[Path]:
    """A folder to write into that takes the target's name once it is complete; an older target is replaced.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``.
    """
    temporary = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    with writing(temporary):
        temporary.mkdir(parents=True)
        yield temporary
        sync_files(temporary)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
        sync_folder(target.parent)
