"""Before a run: how much disk it needs and, where the speed is known, how long it takes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.memory import Choices, make_plan
from desktop_ft.core.memory.parameters import adapter_state_bytes, optimizer_bytes, trained_adapter_bytes, trained_parameters
from desktop_ft.core.models import ModelInfo

SMALL_FILES_BYTES: Final = 32 << 20
"""Tokenizer, configuration, event log and random states of a folder, where the model's own files cannot be looked at."""
_GIB: Final = 1 << 30


@dataclass(frozen=True)
class DiskForecast:
    """Bytes on disk.

    Attributes:
        checkpoint_bytes: One checkpoint: trained weights and the optimizer's states.
        checkpoints_bytes: All that are kept at once, with the best one and the one that is written before the oldest goes.
        result_bytes: The adapter, or the trained model.
        merged_bytes: A merged 16-bit export.
    """

    checkpoint_bytes: int
    checkpoints_bytes: int
    result_bytes: int
    merged_bytes: int

    @property
    def run_bytes(self) -> int:
        """What the run's folder needs at its largest."""
        return self.checkpoints_bytes + self.result_bytes


def forecast_disk(config: RunConfig, model: ModelInfo, device: DeviceFacts, choices: Choices) -> DiskForecast:
    """How much a run will write.

    Raises:
        DesktopFtError: ``model_architecture_unknown``.
    """
    plan = make_plan(config, model, device, choices)
    small = _small_files_bytes(model)
    if config.method.kind == "full":
        result = plan.num_parameters * plan.weight_bytes + small
        checkpoint = result + optimizer_bytes(plan, trained_parameters(plan), plan.weight_bytes)
    else:
        result = trained_adapter_bytes(plan) + small
        checkpoint = result + adapter_state_bytes(plan)
    return DiskForecast(
        checkpoint_bytes=checkpoint,
        checkpoints_bytes=(config.output.save_total_limit + 1 + config.output.keep_best) * checkpoint,
        result_bytes=result,
        merged_bytes=2 * plan.num_parameters + small,
    )


def _small_files_bytes(model: ModelInfo) -> int:
    """What goes beside the weights: everything in the model's folder but them."""
    if not model.weight_files:
        return SMALL_FILES_BYTES
    weights = set(model.weight_files)
    return sum(path.stat().st_size for path in model.path.iterdir() if path.is_file() and path not in weights)


def check_disk(path: Path, needed_bytes: int) -> None:
    """There is room for this many bytes where the path is or will be.

    Raises:
        DesktopFtError: ``disk_too_small``.
    """
    folder = path.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise DesktopFtError(
            "disk_too_small",
            "There is not enough room on the disk",
            f"{needed_bytes / _GIB:.1f} GiB are needed at {folder}; {free / _GIB:.1f} GiB are free.",
            "Free some space, choose another folder, or keep fewer checkpoints (output.save_total_limit).",
        )


def forecast_seconds(num_steps: int, seconds_per_step: float, num_evaluations: int = 0, seconds_per_evaluation: float = 0.0) -> float:
    """Time of a whole run once the time of a step is known, from a probe or from an earlier run."""
    return num_steps * seconds_per_step + num_evaluations * seconds_per_evaluation


def time_left(
    num_steps: int, recent_seconds: list[float], done_steps: int, seconds_per_evaluation: float = 0.0, num_evaluations_left: int = 0
) -> float | None:
    """Seconds until the end by the median of the latest steps; None until three are done."""
    if len(recent_seconds) < 3:
        return None
    middle = sorted(recent_seconds)[len(recent_seconds) // 2]
    return max(0, num_steps - done_steps) * middle + num_evaluations_left * seconds_per_evaluation
