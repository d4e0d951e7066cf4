"""Which evaluation was the best so far, so that its checkpoint is written and stays."""

from __future__ import annotations

import math

from desktop_ft.core.best_checkpoint import REWARD, BestCheckpoint, metric_of
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.events import EvaluationDone
from desktop_ft.engine.checkpoints import CheckpointStore


class BestKeeper:
    """Compares each evaluation with the best checkpoint.

    The model before training is no checkpoint and does not take part: where training only made it worse, the least bad step is kept.

    Args:
        store: Keeps the best one.
        objective: Tells what is compared.
    """

    def __init__(self, store: CheckpointStore, objective: ObjectiveName) -> None:
        self._store = store
        self._metric = metric_of(objective)

    def improves(self, evaluation: EvaluationDone) -> bool:
        """Whether this step is to be saved as the best so far; the store is told."""
        value = evaluation.metrics.get(REWARD) if self._metric == REWARD else evaluation.loss
        if evaluation.step == 0 or value is None or not math.isfinite(value):
            return False
        candidate = BestCheckpoint(evaluation.step, self._metric, float(value))
        if not candidate.is_better_than(self._store.best):
            return False
        self._store.mark_best(candidate)
        return True
