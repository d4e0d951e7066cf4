"""What the chosen exports need, and where they will go; sizes are read in a thread. No widgets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.schema import DtypeName
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.exports import ExportPlan, free_bytes, plan_export
from desktop_ft.core.job import EXPORT_TARGETS, ExportRequest, ExportTarget
from desktop_ft.core.models import resolve_model
from desktop_ft.core.runs import RunDir

TARGETS: tuple[ExportTarget, ...] = ("adapter", "merged")
assert set(TARGETS) == set(EXPORT_TARGETS)


@dataclass(frozen=True)
class Choice:
    """What the person chose.

    Attributes:
        folder: Below it each export gets a folder of its own.
        checkpoint: Step of the checkpoint to export; None: the final state, else the last sound checkpoint.
        dtype: Number format of merged weights.
    """

    folder: Path
    checkpoint: int | None = None
    dtype: DtypeName = "auto"


@dataclass(frozen=True)
class Plans:
    """What each export would write, or why it can't be written."""

    choice: Choice
    found: dict[ExportTarget, ExportPlan | DesktopFtError]
    free_bytes: int

    def num_bytes(self, to: ExportTarget) -> int | None:
        """About how much it writes; None where it can't be written."""
        plan = self.found[to]
        return None if isinstance(plan, DesktopFtError) else plan.num_bytes

    def error(self, to: ExportTarget) -> DesktopFtError | None:
        """Why it can't be written."""
        plan = self.found[to]
        return plan if isinstance(plan, DesktopFtError) else None


def free_target(folder: Path, to: ExportTarget) -> Path:
    """A folder below ``folder`` that is not there yet: ``merged``, then ``merged-2`` and so on."""
    names = (folder / (to if number == 1 else f"{to}-{number}") for number in range(1, 10_000))
    return next(path for path in names if not path.exists())


def request_for(run: RunDir, to: ExportTarget, choice: Choice) -> ExportRequest:
    """The request of one export."""
    return ExportRequest(run.path, to, free_target(choice.folder, to), checkpoint=choice.checkpoint, dtype=choice.dtype)


def make_plans(run: RunDir, config: RunConfig, choice: Choice) -> Plans:
    """Check every export against the run and the disk; may read checkpoints to the end, so call it in a thread."""
    return Plans(choice, {to: _plan(run, config, to, choice) for to in TARGETS}, free_bytes(choice.folder))


def _plan(run: RunDir, config: RunConfig, to: ExportTarget, choice: Choice) -> ExportPlan | DesktopFtError:
    try:
        base = resolve_model(config.model.source, config.model.revision)
        return plan_export(run, request_for(run, to, choice), base)
    except DesktopFtError as error:
        return error
