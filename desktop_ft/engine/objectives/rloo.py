"""REINFORCE leave-one-out: TRL's RLOOTrainer on prompts, with the run's rewards."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from desktop_ft.engine.objectives.online import OnlineTrainer, make_online, online_arguments
from desktop_ft.engine.objectives.parts import Parts
from desktop_ft.engine.rewards import Rewards, make_rewards
from desktop_ft.engine.trainer import RunTrainer


class RlooTraining(OnlineTrainer, RLOOTrainer):
    """TRL's trainer as a run of ours."""


def make(parts: Parts) -> RunTrainer:
    """The trainer of an RLOO run."""
    rewards = make_rewards(parts)
    return make_online(cast("Callable[..., RunTrainer]", RlooTraining), parts, arguments(parts, rewards), rewards)


def arguments(parts: Parts, rewards: Rewards) -> RLOOConfig:
    """TRL's arguments."""
    rloo = parts.config.objective.rloo
    return RLOOConfig(
        **online_arguments(parts, rloo.num_generations, rewards),
        num_iterations=rloo.num_iterations,
        beta=rloo.beta,
        epsilon=rloo.epsilon,
        normalize_advantages=rloo.normalize_advantages,
    )
