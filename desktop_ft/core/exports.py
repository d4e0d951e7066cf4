"""What an export needs before it starts, and what a run has exported so far. No weights are loaded here."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from desktop_ft.core.config.schema import DtypeName
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import Exported, Verified
from desktop_ft.core.job import ExportRequest, ExportTarget, list_jobs, read_job
from desktop_ft.core.model_files import read_weights
from desktop_ft.core.publish import check_target
from desktop_ft.core.runs import Checkpoint, RunDir, damage_of
from desktop_ft.core.stages import FOLDERS, checkpoints_of, stage_folder, steps_before, training_of

WeightDtype = Literal["bfloat16", "float16", "float32"]
DTYPE_BYTES: Final[dict[WeightDtype, int]] = {"bfloat16": 2, "float16": 2, "float32": 4}
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
_MARGIN: Final = 1.02
_EXTRA_BYTES: Final = 64 << 20
"""Tokenizer files, card and the file system's own."""


@dataclass(frozen=True)
class Trained:
    """Trained weights of a run.

    Attributes:
        folder: ``adapter/`` or ``model/``, or a checkpoint with the same files.
        is_adapter: Whether they belong on top of the base model.
        checkpoint: Step of the checkpoint, by the run's own count; None for the final state.
        run: Whose settings they were trained with: the run itself, or one of its stages.
    """

    folder: Path
    is_adapter: bool
    checkpoint: int | None
    run: RunDir


@dataclass(frozen=True)
class ExportPlan:
    """What will be written.

    Attributes:
        trained: Where the weights come from.
        dtype: Number format of the weights to write.
        num_bytes: About how much will be written.
        free_bytes: What the disk of the target has left.
    """

    trained: Trained
    dtype: WeightDtype
    num_bytes: int
    free_bytes: int


def plan_export(run: RunDir, request: ExportRequest, base: Path) -> ExportPlan:
    """Check everything that can be checked before an hour of work.

    Args:
        run: The run.
        request: What is wanted.
        base: Folder of the run's base model.

    Raises:
        DesktopFtError: ``export_exists``, ``export_nothing_trained``, ``export_no_adapter``, ``checkpoint_missing``,
            ``checkpoint_damaged``, ``disk_too_small``, ``model_no_weights``.
    """
    check_target(request.out, overwrite=request.overwrite)
    trained = find_trained(run, request.checkpoint)
    if request.to == "adapter" and not trained.is_adapter:
        raise DesktopFtError(
            "export_no_adapter",
            "This run has no adapter",
            "It changed every weight (full fine-tuning), so there is no small adapter to take away.",
            "Export the merged model instead.",
        )
    stored = stored_dtype(base)
    dtype = export_dtype(request.dtype, stored, is_adapter=trained.is_adapter)
    plan = ExportPlan(trained, dtype, _bytes_to_write(request.to, trained, base, dtype), free_bytes(request.out))
    if plan.free_bytes < plan.num_bytes:
        raise _too_small(plan, request.out)
    return plan


def export_dtype(asked: DtypeName, stored: WeightDtype, *, is_adapter: bool) -> WeightDtype:
    """The format of merged weights: as asked, else as the base model is stored; full fine-tuning is always 16 bit unless asked."""
    if asked != "auto":
        return asked
    return "bfloat16" if stored == "float32" and not is_adapter else stored


def stored_dtype(folder: Path) -> WeightDtype:
    """The format of most weights in a folder; whatever is none of ours counts as float32.

    Raises:
        DesktopFtError: As `read_weights`.
    """
    name = read_weights(folder).dtype
    for dtype in DTYPE_BYTES:
        if dtype == name:
            return dtype
    return "float32"


def _bytes_to_write(to: ExportTarget, trained: Trained, base: Path, dtype: WeightDtype) -> int:
    if to == "adapter":
        size = (trained.folder / ADAPTER_WEIGHTS).stat().st_size
    else:
        size = read_weights(base if trained.is_adapter else trained.folder).num_parameters * DTYPE_BYTES[dtype]
    return math.ceil(size * _MARGIN) + _EXTRA_BYTES


def free_bytes(target: Path) -> int:
    """Free space where the target will be; folders that do not exist yet are looked past."""
    folder = target.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _too_small(plan: ExportPlan, out: Path) -> DesktopFtError:
    need, free = plan.num_bytes / 2**30, plan.free_bytes / 2**30
    return DesktopFtError(
        "disk_too_small",
        "There is not enough space for this export",
        f"It needs {need:.2f} GiB; the disk of {out} has {free:.2f} GiB left.",
        "Free some space, choose a folder on another disk, or export the adapter alone.",
    )


# --- what there is to export ----------------------------------------------------------------------------------------------


def find_trained(run: RunDir, checkpoint: int | None = None) -> Trained:
    """The final state of a run, or one checkpoint; for a run that was stopped or crashed, its last sound checkpoint.

    Of a run of stages the last checkpoint is one of the last stage, which is what the run is for; those before are had by their step.

    Raises:
        DesktopFtError: ``export_nothing_trained``, ``checkpoint_missing`` or ``checkpoint_damaged``.
    """
    if checkpoint is not None:
        return _of_checkpoint(run, _sound(run, checkpoint))
    if (run.adapter / ADAPTER_WEIGHTS).is_file():
        return Trained(run.adapter, True, None, run)
    if any(run.model.glob("*.safetensors")):
        return Trained(run.model, False, None, run)
    last = next((found for found in reversed(last_checkpoints(run)) if damage_of(found) is None), None)
    if last is None:
        raise _nothing_trained(run)
    return _of_checkpoint(run, last)


def last_checkpoints(run: RunDir) -> list[Checkpoint]:
    """The checkpoints of what the run is for, oldest first: of a run of stages those of its last one."""
    known = checkpoints_of(run)
    if not steps_before(run):
        return known
    *_, last = FOLDERS
    return [found for found in known if training_of(run, found) == stage_folder(run, last)]


def _nothing_trained(run: RunDir) -> DesktopFtError:
    before = checkpoints_of(run)
    if before:
        return DesktopFtError(
            "export_nothing_trained",
            "The policy has not been trained yet",
            f"The run '{run.path.name}' has checkpoints of its reward model alone.",
            f"Let it train until a checkpoint of its policy, or name one of the reward model's, such as step {before[-1].step}.",
        )
    return DesktopFtError(
        "export_nothing_trained",
        "Nothing has been trained yet",
        f"The run '{run.path.name}' has neither a finished result nor a sound checkpoint.",
        "Let it train until its first checkpoint, or press Save checkpoint while it runs, then export again.",
    )


def _of_checkpoint(run: RunDir, checkpoint: Checkpoint) -> Trained:
    is_adapter = (checkpoint.path / ADAPTER_WEIGHTS).is_file()
    return Trained(checkpoint.path, is_adapter, checkpoint.step, training_of(run, checkpoint))


def _sound(run: RunDir, step: int) -> Checkpoint:
    known = checkpoints_of(run)
    found = next((checkpoint for checkpoint in known if checkpoint.step == step), None)
    if found is None:
        steps = ", ".join(str(checkpoint.step) for checkpoint in known) or "none"
        raise DesktopFtError(
            "checkpoint_missing",
            "There is no such checkpoint",
            f"The run has no checkpoint of step {step}. It has: {steps}.",
            "Pick one of those.",
        )
    damage = damage_of(found)
    if damage is not None:
        raise DesktopFtError(
            "checkpoint_damaged", "This checkpoint is damaged", f"Checkpoint of step {step}: {damage}.", "Pick an older checkpoint."
        )
    return found


def default_out(run: RunDir, to: ExportTarget, checkpoint: int | None = None) -> Path:
    """A free folder below the run's ``exports/``, such as ``merged``, ``merged-step-000100`` or ``merged-2``."""
    name = to if checkpoint is None else f"{to}-step-{checkpoint:06d}"
    candidates: Iterator[Path] = (run.exports / (name if number == 1 else f"{name}-{number}") for number in range(1, 10_000))
    return next(path for path in candidates if not path.exists())


# --- what was exported ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExportRecord:
    """One export that was finished.

    Attributes:
        path: Where it was put.
        num_bytes: Its size then.
        time: When it was complete, seconds since the epoch, UTC.
        is_there: Whether the folder still exists.
        verified: How it compared with the trained model; None for an adapter, which is the trained thing itself.
    """

    to: ExportTarget
    path: Path
    num_bytes: int
    time: float
    is_there: bool
    verified: Verified | None


def list_exports(run: RunDir) -> list[ExportRecord]:
    """Every export of the run that was finished, oldest first, wherever it was put."""
    found = (_record(job.path, job.events_file) for job in list_jobs(run, ExportRequest.kind))
    return [record for record in found if record is not None]


def _record(job: Path, events_file: Path) -> ExportRecord | None:
    try:
        request = read_job(job)
        events = list(EventTail(events_file).read_all())
    except DesktopFtError:
        return None
    exported = next((event for event in reversed(events) if isinstance(event, Exported)), None)
    if exported is None:
        return None
    verified = next((event for event in reversed(events) if isinstance(event, Verified)), None)
    path = Path(exported.path)
    to = cast("ExportRequest", request).to
    return ExportRecord(to, path, exported.num_bytes, exported.time, path.is_dir(), verified)
