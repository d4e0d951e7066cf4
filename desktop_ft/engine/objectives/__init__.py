"""One room for each objective: which of TRL's trainers teaches it, from which rows, with which arguments."""

from __future__ import annotations

from desktop_ft.engine.objectives.parts import Parts, Training
from desktop_ft.engine.trainer import RunTrainer


def make_training(parts: Parts) -> Training:
    """The trainer of the run's objective, with the start and the optimizer of the run's method."""
    training = _trainer_of(parts)
    if isinstance(training, RunTrainer):
        training.train_as(parts.config, parts.start, parts.data.train)
    return training


def _trainer_of(parts: Parts) -> Training:
    match parts.config.objective.kind:
        case "sft" | "pretrain":
            from desktop_ft.engine.objectives import sft

            return sft.make(parts)
        case "dpo":
            from desktop_ft.engine.objectives import dpo

            return dpo.make(parts)
        case "orpo":
            from desktop_ft.engine.objectives import orpo

            return orpo.make(parts)
        case "kto":
            from desktop_ft.engine.objectives import kto

            return kto.make(parts)
        case "reward":
            from desktop_ft.engine.objectives import reward

            return reward.make(parts)
        case "grpo":
            from desktop_ft.engine.objectives import grpo

            return grpo.make(parts)
        case "rloo":
            from desktop_ft.engine.objectives import rloo

            return rloo.make(parts)
        case "ppo":
            from desktop_ft.engine.objectives import ppo

            return ppo.make(parts)
        case kind:
            raise AssertionError(kind)
