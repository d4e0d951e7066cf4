"""Objectives with the settings around them: what they ask of the batch, and what contradicts and is refused before the start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.config.schema import RunConfig
from desktop_ft.core.errors import Problem
from desktop_ft.core.rewards.check import rule_problems

SMOOTHING_LOSSES: Final = ("robust", "exo_pair", "aot", "aot_unpaired")
"""Losses of TRL 1.16 that use ``label_smoothing`` (trl/trainer/dpo_trainer.py, ``_compute_loss``)."""
LEAST_KTO_BATCH: Final = 2
"""KTO estimates its KL term from the micro-batch's other answers; TRL refuses one of 1."""
GROUPED: Final = frozenset({"grpo", "rloo"})
"""Policies that compare several answers to one prompt."""
REWARDED: Final = frozenset({"grpo", "rloo", "ppo"})
"""Objectives that need something to score an answer by."""


def policy_of(config: RunConfig) -> ObjectiveName:
    """What trains the policy: the objective itself, or that of the second stage of RLHF."""
    return config.objective.rlhf.policy if config.objective.kind == "rlhf" else config.objective.kind


def num_generations(config: RunConfig) -> int:
    """Answers that are sampled to each prompt of a step; 1 where they are not compared with each other."""
    match policy_of(config):
        case "grpo":
            return config.objective.grpo.num_generations
        case "rloo":
            return config.objective.rloo.num_generations
        case _:
            return 1


def least_micro_batch(config: RunConfig) -> int:
    """The smallest micro-batch that the objective's trainer takes."""
    return LEAST_KTO_BATCH if config.objective.kind == "kto" and config.objective.kto.loss_type == "kto" else 1


def objective_problems(config: RunConfig) -> Iterator[Problem]:
    """Settings that are fine alone and contradict the objective."""
    kind, packing = config.objective.kind, config.data.packing
    if packing is True and kind not in ("sft", "pretrain"):
        yield Problem("data.packing", f"whole answers, which {kind} compares or samples, cannot be packed.", "Set it to auto or false.")
    match kind:
        case "dpo":
            yield from _dpo_problems(config)
        case "kto":
            yield from _kto_problems(config)
        case "grpo" | "rloo" | "ppo" | "rlhf":
            yield from _online_problems(config)
        case _:
            return


def _dpo_problems(config: RunConfig) -> Iterator[Problem]:
    dpo, path = config.objective.dpo, "objective.dpo.label_smoothing"
    if dpo.label_smoothing > 0 and dpo.loss_type not in SMOOTHING_LOSSES:
        message = f"the loss {dpo.loss_type} does not use it; {', '.join(SMOOTHING_LOSSES)} do."
        yield Problem(path, message, "Set it to 0, or objective.dpo.loss_type to robust.")
    if dpo.label_smoothing == 0 and dpo.loss_type == "exo_pair":
        yield Problem(path, "the loss exo_pair needs a share above 0.", "Set it to 0.001, as its paper recommends (arXiv 2402.00856).")


def _kto_problems(config: RunConfig) -> Iterator[Problem]:
    least, micro, whole = least_micro_batch(config), config.training.micro_batch_size, config.training.global_batch_size
    if whole < least:
        why = "kto estimates its KL term from the other answers of a micro-batch."
        yield Problem("training.global_batch_size", why, f"Set it to {least} or more.")
    elif micro != "auto" and micro < least:
        why = "kto estimates its KL term from the other answers of a micro-batch; one of 1 has none."
        yield Problem("training.micro_batch_size", why, f"Set it to {least} or more, or to auto.")


def _online_problems(config: RunConfig) -> Iterator[Problem]:
    kind, rewards = config.objective.kind, config.objective.rewards
    if kind in REWARDED and rewards.model is None and not rewards.rules:
        yield Problem(
            "objective.rewards.model",
            f"nothing says what makes an answer good, and {kind} raises a reward.",
            "Name a reward model, or add a rule to objective.rewards.rules.",
        )
    if kind == "rlhf" and rewards.model is not None:
        yield Problem(
            "objective.rewards.model",
            "rlhf trains its own reward model from the pairs.",
            f"Set it to null; or set objective.kind to {config.objective.rlhf.policy} to use this one.",
        )
    yield from rule_problems(rewards.rules)
    yield from _group_problems(config)
    ppo = config.objective.ppo
    if policy_of(config) == "ppo" and ppo.target_kl is not None and ppo.kl_coef == 0:
        hint = "Set it above 0, such as 0.05, or objective.ppo.target_kl to null."
        yield Problem("objective.ppo.kl_coef", "it is adapted by factors (target_kl is set), and 0 stays 0.", hint)


def _group_problems(config: RunConfig) -> Iterator[Problem]:
    group, whole = num_generations(config), config.training.global_batch_size
    if whole % group == 0:
        return
    below, above = whole - whole % group, whole - whole % group + group
    nearest = f"{below} or {above}" if below else str(above)
    yield Problem(
        "training.global_batch_size",
        f"{policy_of(config)} samples {group} answers to each prompt, and {whole} sampled answers a step are no multiple of that.",
        f"Set it to {nearest}, or objective.{policy_of(config)}.num_generations to a divisor of {whole}.",
    )
