"""Which of a run's checkpoints measured best on held-out examples: ``checkpoints/best.json``, written when that checkpoint is sealed."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.files import write_json
from desktop_ft.core.runs import RunDir, list_checkpoints
from desktop_ft.core.stages import FOLDERS, stage_folder, steps_before

BEST_VERSION: Final = 1
LOSS: Final = "loss"
REWARD: Final = "reward"


@dataclass(frozen=True)
class BestCheckpoint:
    """The checkpoint with the lowest loss on held-out examples or, where answers are rewarded, the highest reward.

    Attributes:
        step: Its step.
        metric: ``loss`` or ``reward``.
        value: What was measured.
    """

    step: int
    metric: str
    value: float

    def is_better_than(self, other: BestCheckpoint | None) -> bool:
        """Whether this one beats another; of another metric (another stage of the run) the newer counts."""
        if other is None or other.metric != self.metric:
            return True
        return self.value > other.value if self.metric == REWARD else self.value < other.value


def metric_of(objective: ObjectiveName) -> str:
    """What the checkpoints of an objective are compared by."""
    return REWARD if objective in {"grpo", "rloo", "ppo"} else LOSS


def best_file(run: RunDir) -> Path:
    """Where the best checkpoint is recorded."""
    return run.checkpoints / "best.json"


def write_best(run: RunDir, best: BestCheckpoint) -> None:
    """Record the best checkpoint.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``.
    """
    write_json(best_file(run), {"v": BEST_VERSION, "step": best.step, "metric": best.metric, "value": best.value})


def read_best(run: RunDir) -> BestCheckpoint | None:
    """The best checkpoint, by the run's own count of steps; None where none is known, or it is no longer there.

    Of a run of stages it is the best of the last stage, which is what the run is for.
    """
    stages = steps_before(run)
    if not stages:
        return _read(run)
    *_, last = FOLDERS
    best = _read(stage_folder(run, last)) if last in stages else None
    return None if best is None else dataclasses.replace(best, step=best.step + stages[last])


def _read(run: RunDir) -> BestCheckpoint | None:
    try:
        value = cast("object", json.loads(best_file(run).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    step, metric, measured = fields.get("step"), fields.get("metric"), fields.get("value")
    if type(step) is not int or not isinstance(metric, str) or not isinstance(measured, int | float) or not math.isfinite(measured):
        return None
    is_there = any(checkpoint.step == step for checkpoint in list_checkpoints(run))
    return BestCheckpoint(step, metric, float(measured)) if is_there else None
