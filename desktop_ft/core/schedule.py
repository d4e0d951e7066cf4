"""How many optimizer steps a run takes, for every objective exactly as its trainer counts them. Must not import Qt or torch."""

from __future__ import annotations

import math

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.combinations import GROUPED, num_generations
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.stages import has_stages, last_stage_config, reward_config


def steps_per_epoch(config: RunConfig, num_examples: int) -> int:
    """Optimizer steps of one pass over the training examples, at least 1; of ``rlhf`` those of the policy.

    sft to reward: examples over the global batch; the last batch may be smaller.

    grpo, rloo: ``global_batch_size`` counts sampled answers, so a step takes that many over ``num_generations`` prompts. A rest that
    fills no step is left out, and each batch of answers is learnt from ``num_iterations`` times (TRL 1.16, ``RepeatSampler``).

    ppo: a rollout has ``num_mini_batches`` global batches of prompts and is passed over ``num_ppo_epochs`` times; the last one of the run
    is filled up.
    """
    config = last_stage_config(config)
    whole = config.training.global_batch_size
    match config.objective.kind:
        case "grpo" | "rloo":
            return max(1, num_examples // prompts_per_step(config) * _num_iterations(config))
        case "ppo":
            return max(1, math.ceil(num_examples / _rollout_size(config))) * _steps_per_rollout(config)
        case _:
            return math.ceil(num_examples / whole)


def num_steps(config: RunConfig, num_examples: int) -> int:
    """Optimizer steps of the whole run, of ``rlhf`` of both stages."""
    if has_stages(config):
        return num_steps(reward_config(config), num_examples) + num_steps(last_stage_config(config), num_examples)
    training = config.training
    if training.max_steps is not None:
        return training.max_steps
    if config.objective.kind == "ppo":
        rollouts = math.ceil(training.num_train_epochs * num_examples / _rollout_size(config))
        return max(1, rollouts) * _steps_per_rollout(config)
    return max(1, math.ceil(training.num_train_epochs * steps_per_epoch(config, num_examples)))


def prompts_per_step(config: RunConfig) -> int:
    """Different prompts that an optimizer step learns from: those of its sampled answers, else its examples."""
    return config.training.global_batch_size // num_generations(config)


def check_enough_examples(config: RunConfig, num_examples: int) -> None:
    """There are prompts for one step at least; TRL leaves out what fills none, and would train nothing without a word.

    Raises:
        DesktopFtError: ``too_few_prompts``.
    """
    config = last_stage_config(config)
    kind, needed, group = config.objective.kind, prompts_per_step(config), num_generations(config)
    if kind not in GROUPED or num_examples >= needed:
        return
    raise DesktopFtError(
        "too_few_prompts",
        "There are too few prompts for one step",
        f"{kind} learns from {needed} prompts a step ({config.training.global_batch_size} sampled answers, {group} to each prompt); "
        f"the data has {num_examples}.",
        f"Set training.global_batch_size to {num_examples * group}, or add prompts." if num_examples else "Choose a file with prompts.",
    )


def _num_iterations(config: RunConfig) -> int:
    objective = config.objective
    return objective.grpo.num_iterations if objective.kind == "grpo" else objective.rloo.num_iterations


def _rollout_size(config: RunConfig) -> int:
    return config.training.global_batch_size * config.objective.ppo.num_mini_batches


def _steps_per_rollout(config: RunConfig) -> int:
    return config.objective.ppo.num_mini_batches * config.objective.ppo.num_ppo_epochs
