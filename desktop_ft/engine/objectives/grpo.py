"""Group relative policy optimization: TRL's GRPOTrainer on prompts, with the run's rewards."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from desktop_ft.engine.objectives.online import OnlineTrainer, make_online, online_arguments
from desktop_ft.engine.objectives.parts import Parts
from desktop_ft.engine.rewards import Rewards, make_rewards
from desktop_ft.engine.trainer import RunTrainer


class GrpoTraining(OnlineTrainer, GRPOTrainer):
    """TRL's trainer as a run of ours."""


def make(parts: Parts) -> RunTrainer:
    """The trainer of a GRPO run."""
    rewards = make_rewards(parts)
    return make_online(cast("Callable[..., RunTrainer]", GrpoTraining), parts, arguments(parts, rewards), rewards)


def arguments(parts: Parts, rewards: Rewards) -> GRPOConfig:
    """TRL's arguments."""
    grpo = parts.config.objective.grpo
    return GRPOConfig(
        **online_arguments(parts, grpo.num_generations, rewards),
        num_iterations=grpo.num_iterations,
        beta=grpo.beta,
        epsilon=grpo.epsilon,
        loss_type=grpo.loss_type,
        scale_rewards=grpo.scale_rewards,
    )
