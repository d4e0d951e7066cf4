"""One room for each objective: which of TRL's trainers teaches it, from which rows, with which arguments."""

from __future__ import annotations

from desktop_ft.engine.objectives.parts import Parts, Training
from desktop_ft.engine.trainer import RunTrainer


def make_training(parts: Parts) -> Training:
    """The trainer of the run's objective, with the run's optimizer."""
    training = _trainer_of(parts)
    if isinstance(training, RunTrainer):
        training.train_as(parts.config)
    return training


def _trainer_of(parts: Parts) -> Training:
    match parts.config.objective.kind:
        case "sft" | "pretrain":
            from desktop_ft.engine.objectives import sft

            return sft.make(parts)
        case kind:
            raise AssertionError(kind)
