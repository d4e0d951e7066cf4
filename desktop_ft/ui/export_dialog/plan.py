"""What the chosen exports need, and where they will go; sizes are read in a thread. No widgets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from desktop_ft.core.best_checkpoint import read_best
from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.schema import DtypeName
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.exports import ADAPTER_WEIGHTS, ExportPlan, free_bytes, plan_export
from desktop_ft.core.job import EXPORT_TARGETS, ExportRequest, ExportTarget
from desktop_ft.core.models import resolve_model
from desktop_ft.core.runs import RunDir
from desktop_ft.core.stages import checkpoints_of, stage_folder, training_of

TARGETS: tuple[ExportTarget, ...] = ("adapter", "merged")
assert set(TARGETS) == set(EXPORT_TARGETS)


@dataclass(frozen=True)
class Weights:
    """Weights that can be chosen.

    Attributes:
        step: Of the checkpoint; None: the final state.
        is_best: Whether it measured best on held-out examples.
        is_reward_model: Whether they score texts and write none.
    """

    step: int | None
    is_best: bool = False
    is_reward_model: bool = False


def weights_of(run: RunDir, config: RunConfig | None) -> list[Weights]:
    """The final state, then the checkpoints, the newest first; the last sound one stands for a run that has neither."""
    is_reward = config is not None and config.objective.kind == "reward"
    best, of_reward_stage = read_best(run), stage_folder(run, "reward")
    checkpoints = [
        Weights(found.step, best is not None and found.step == best.step, is_reward or training_of(run, found) == of_reward_stage)
        for found in reversed(checkpoints_of(run))
    ]
    has_final = (run.adapter / ADAPTER_WEIGHTS).is_file() or any(run.model.glob("*.safetensors"))
    return [*([Weights(None, is_reward_model=is_reward)] if has_final or not checkpoints else []), *checkpoints]


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
