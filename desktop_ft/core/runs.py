"""One run's folder: its files, its lock, its checkpoints and what became of it.

run.yaml        the configuration as written
resolved.yaml   every auto with its value and reason, written once by the engine
events.jsonl    what happened
console.log     what libraries printed
environment.json, lock.json, control/, checkpoints/step-000100/, adapter/ or model/, exports/, jobs/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from desktop_ft.core.config import RunConfig, load_config, save_config
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.exclusive import exclusive
from desktop_ft.core.files import write_json
from desktop_ft.core.processes import ProcessMark, is_alive

RunStatus = Literal["new", "starting", "running", "completed", "stopped", "failed", "crashed"]
MANIFEST_VERSION: Final = 1
_HASH_CHUNK_BYTES: Final = 1 << 20
_PID_LIMIT: Final = 1 << 31


@dataclass(frozen=True)
class EngineDir:
    """Names of what every folder has in which an engine works, be it a run's or a job's."""

    path: Path

    @property
    def events_file(self) -> Path:
        """The event log."""
        return self.path / "events.jsonl"

    @property
    def console_file(self) -> Path:
        """What the child printed."""
        return self.path / "console.log"

    @property
    def control(self) -> Path:
        """Requests to the engine, numbered."""
        return self.path / "control"

    @property
    def lock_file(self) -> Path:
        """The engine that works here."""
        return self.path / "lock.json"


@dataclass(frozen=True)
class RunDir(EngineDir):
    """Names of everything in a run's folder."""

    @property
    def config_file(self) -> Path:
        """The configuration as the person stated it."""
        return self.path / "run.yaml"

    @property
    def resolved_file(self) -> Path:
        """Every ``auto`` with its value and reason."""
        return self.path / "resolved.yaml"

    @property
    def environment_file(self) -> Path:
        """Versions, device, hashes of data, tokenizer and template."""
        return self.path / "environment.json"

    @property
    def checkpoints(self) -> Path:
        """To resume from."""
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        """The trained adapter (LoRA)."""
        return self.path / "adapter"

    @property
    def model(self) -> Path:
        """The trained model (full fine-tuning)."""
        return self.path / "model"

    @property
    def exports(self) -> Path:
        """Where exports go unless another folder is chosen."""
        return self.path / "exports"

    @property
    def jobs(self) -> Path:
        """Folders of jobs on this run, such as exports."""
        return self.path / "jobs"

    def checkpoint(self, step: int) -> Path:
        """The folder of one checkpoint."""
        return self.checkpoints / f"step-{step:06d}"

    def config(self) -> RunConfig:
        """The configuration, validated.

        Raises:
            DesktopFtError: As `load_config`.
        """
        return load_config(self.config_file)


def create_run(folder: Path, config: RunConfig) -> RunDir:
    """Put a configuration into an empty run folder.

    Raises:
        DesktopFtError: ``run_exists`` where the folder has a run already.
    """
    run = RunDir(folder)
    if run.config_file.exists() or run.events_file.exists():
        raise DesktopFtError(
            "run_exists",
            "This folder has a run already",
            f"{folder} holds a run.",
            "Choose another folder, or resume it: desktop-ft resume",
        )
    save_config(config, run.config_file)
    return run


def open_run(folder: Path) -> RunDir:
    """The run in a folder.

    Raises:
        DesktopFtError: ``run_missing``.
    """
    run = RunDir(folder.absolute())
    if not run.config_file.is_file():
        raise DesktopFtError(
            "run_missing", "There is no run here", f"{folder} has no run.yaml.", "List your runs with: desktop-ft runs list"
        )
    return run


# --- the lock --------------------------------------------------------------------------------------------------------


def read_lock(run: EngineDir) -> ProcessMark | None:
    """Who last took the lock, alive or not."""
    try:
        value = cast("object", json.loads(run.lock_file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict):
        return None
    fields = cast("dict[str, object]", value)
    pid, started, since_boot = fields.get("pid"), fields.get("started"), fields.get("since_boot")
    if type(pid) is int and 0 < pid < _PID_LIMIT and isinstance(started, int | float):
        return ProcessMark(pid, float(started), float(since_boot) if isinstance(since_boot, int | float) else None)
    return None


def live_engine(run: EngineDir) -> ProcessMark | None:
    """The engine that works in this folder now, or None."""
    mark = read_lock(run)
    return mark if mark is not None and is_alive(mark) else None


def take_lock(run: EngineDir, mark: ProcessMark) -> None:
    """Become the one engine of this folder.

    Raises:
        DesktopFtError: ``run_is_running`` where another engine works here; ``disk_full`` or ``file_not_writable``.
    """
    with exclusive(run.path / ".lock"):
        _take_lock(run, mark)


def _take_lock(run: EngineDir, mark: ProcessMark) -> None:
    other = live_engine(run)
    if other is not None and other.pid != mark.pid:
        raise DesktopFtError(
            "run_is_running",
            "This run is going already",
            f"Process {other.pid} works in {run.path}.",
            "Watch it in the window, or stop it first: desktop-ft stop",
        )
    write_json(run.lock_file, {"v": 1, "pid": mark.pid, "started": mark.started, "since_boot": mark.since_boot})


def release_lock(run: EngineDir) -> None:
    """Leave the folder to the next engine."""
    run.lock_file.unlink(missing_ok=True)


# --- checkpoints -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose manifest exists, which is written last."""

    step: int
    path: Path


def write_manifest(folder: Path, step: int) -> int:
    """Seal a checkpoint folder: sizes and SHA-256 of all its files. Returns its bytes."""
    manifest = folder / "manifest.json"
    content = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != manifest]
    files = {path.relative_to(folder).as_posix(): _file_entry(path) for path in content}
    write_json(manifest, {"v": MANIFEST_VERSION, "step": step, "files": files})
    return sum(cast("int", entry["bytes"]) for entry in files.values())


def _file_entry(path: Path) -> dict[str, object]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def list_checkpoints(run: RunDir) -> list[Checkpoint]:
    """Sealed checkpoints, oldest first; their content is not read."""
    found = [Checkpoint(step, path) for path in run.checkpoints.glob("step-*") if (step := _sealed_step(path)) is not None]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def _sealed_step(folder: Path) -> int | None:
    manifest = _read_manifest(folder)
    step = None if manifest is None else manifest.get("step")
    return step if isinstance(step, int) else None


def _read_manifest(folder: Path) -> dict[str, object] | None:
    try:
        value = cast("object", json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def damage_of(checkpoint: Checkpoint, *, read_content: bool = True) -> str | None:
    """What is wrong with a checkpoint's files against its manifest, in words; None where all is well.

    Args:
        checkpoint: What to look at.
        read_content: Compare hashes too (seconds for each gigabyte); otherwise names and sizes only.
    """
    manifest = _read_manifest(checkpoint.path) or {}
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        return "its manifest lists no files"
    found = (_damage_of_file(checkpoint.path, name, entry, read_content) for name, entry in cast("dict[str, object]", files).items())
    return next(filter(None, found), None)


def _damage_of_file(folder: Path, name: str, entry: object, read_content: bool) -> str | None:
    path = folder / name
    expected = cast("dict[str, object]", entry) if isinstance(entry, dict) else {}
    try:
        is_same = path.stat().st_size == expected.get("bytes") and (not read_content or sha256_of(path) == expected.get("sha256"))
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} can't be read: {error.strerror or error}"
    return None if is_same else f"{name} is not what was saved"


def sound_checkpoints(run: RunDir) -> Iterator[Checkpoint]:
    """Checkpoints whose files match their manifest, newest first; hashes are computed as one asks for more."""
    return (checkpoint for checkpoint in reversed(list_checkpoints(run)) if damage_of(checkpoint) is None)
