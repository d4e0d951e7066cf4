"""What an objective adds to a step: more rows, other models, another head, sampled answers. Read in the code of TRL 1.16 and of ours."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.combinations import REWARDED
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.memory.parameters import head_weights, optimizer_bytes, trained_parameters
from desktop_ft.core.memory.plan import Plan, Rollout

PAIRS: Final[frozenset[ObjectiveName]] = frozenset({"dpo", "orpo", "reward"})
"""Objectives whose every example is two rows: the chosen and the rejected answer."""
REWARD_WEIGHT_BYTES: Final = 2
"""A reward model beside the trained one is loaded in 16 bit."""


def rows_per_example(objective: ObjectiveName) -> int:
    """Rows of a forward pass that one example makes."""
    return 2 if objective in PAIRS else 1


def sequence_length(config: RunConfig, longest_example: int | None) -> int:
    """Tokens of the longest row that training will see; where answers are sampled, the longest prompt with the longest answer.

    Args:
        config: The run.
        longest_example: Tokens of the longest training row, where known: of a pair the longer answer with its prompt.
    """
    longest = max(1, min(config.data.max_length, longest_example or config.data.max_length))
    return longest + config.objective.rollout.max_completion_length if config.objective.kind in REWARDED else longest


def with_objective(plan: Plan, config: RunConfig) -> Plan:
    """The plan of the bare model with what the run's objective adds; ``rlhf`` is planned as its two stages.

    Args:
        plan: Of supervised fine-tuning on as many rows.
        config: The run.
    """
    match config.objective.kind:
        case "sft" | "pretrain":
            return plan
        case "dpo":
            measured = plan.kind == "lora"
            plan = replace(plan, is_derived=not measured)
            return plan if config.objective.dpo.precompute_ref_log_probs else _with_reference(plan, config, waits=True)
        case "kto":
            return _with_reference(replace(plan, is_derived=True), config, waits=True)
        case "orpo":
            return replace(plan, head="logits", is_derived=True)
        case "reward":
            fewer = head_weights(plan.shape, "score")
            return replace(plan, head="score", num_parameters=plan.num_parameters - fewer, is_derived=True)
        case "grpo" | "rloo":
            return _grouped(plan, config)
        case "ppo":
            return _ppo(plan, config)
        case "rlhf":
            raise AssertionError("plan its stages")


def _with_reference(plan: Plan, config: RunConfig, *, waits: bool) -> Plan:
    """The model as it started: the base with the adapter off, a frozen copy of an adapter that the run goes on from, or a second model."""
    if plan.kind == "full":
        return replace(plan, has_reference=waits, auxiliary_bytes=plan.auxiliary_bytes + plan.num_parameters * plan.weight_bytes)
    kept = 1 if config.model.adapter is not None else 0
    return replace(plan, has_reference=waits, num_kept_adapters=plan.num_kept_adapters + kept)


def _grouped(plan: Plan, config: RunConfig) -> Plan:
    """TRL samples the answers of a whole step at once, and asks the reference before the policy learns; no activations wait then."""
    objective = config.objective
    beta = objective.grpo.beta if objective.kind == "grpo" else objective.rloo.beta
    completion = objective.rollout.max_completion_length
    rollout = Rollout(config.training.global_batch_size, max(1, plan.sequence_length - completion), completion)
    plan = replace(plan, rollout=rollout, is_derived=True)
    if objective.rewards.model is not None:
        plan = replace(plan, auxiliary_bytes=plan.auxiliary_bytes + _reward_model_bytes(plan))
    return _with_reference(plan, config, waits=False) if beta > 0 else plan


def _ppo(plan: Plan, config: RunConfig) -> Plan:
    """Policy and value function are both trained, one after the other; the reference and the reward model only look.

    With adapters all stand on one base. Answers are sampled in batches that need no more than a row's backward pass.
    """
    has_reward_model = config.objective.rewards.model is not None
    plan = _with_reference(replace(plan, is_derived=True), config, waits=False)
    if plan.kind != "full":
        kept = plan.num_kept_adapters + (1 if has_reward_model else 0)
        return replace(plan, num_trained_adapters=2, num_kept_adapters=kept, saved_parameters=2 * plan.saved_parameters)
    weights = plan.weight_bytes
    trained = trained_parameters(plan) - head_weights(plan.shape, "score")
    value = (plan.num_parameters - head_weights(plan.shape, "score")) * weights
    value += trained * weights + optimizer_bytes(plan, trained, weights)
    return replace(plan, auxiliary_bytes=plan.auxiliary_bytes + value + (_reward_model_bytes(plan) if has_reward_model else 0))


def _reward_model_bytes(plan: Plan) -> int:
    """A reward model of its own: taken to be of the trained model's size, without an output layer."""
    return (plan.num_parameters - head_weights(plan.shape, "score")) * REWARD_WEIGHT_BYTES
