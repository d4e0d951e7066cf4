"""The cheapest set of changes that makes a run fit: tried on plans, which takes a tenth of a millisecond each, least painful first.

What leaves the result as it is comes first (micro-batch, checkpointing, where checkpoints wait), then what hardly changes it (8-bit
optimizer, LoRA without DoRA), then shorter examples and a base in 4 bit; among equals the faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.combinations import REWARDED, least_micro_batch
from desktop_ft.core.config.defaults import default_rate
from desktop_ft.core.device_check import BITSANDBYTES_DEVICES, OFFLOAD_DEVICES, PAGED_DEVICES
from desktop_ft.core.errors import ConfigError
from desktop_ft.core.memory.autos import Choices
from desktop_ft.core.memory.changes import changed_config
from desktop_ft.core.memory.objectives import rows_per_example
from desktop_ft.core.memory.plan import Plan
from desktop_ft.core.memory.situation import Situation
from desktop_ft.core.memory.suggestions import (
    OFFLOAD_SLOWDOWN,
    PAGED_SLOWDOWN,
    QLORA_SLOWDOWN,
    RECOMPUTATION_SLOWDOWN,
    SHORTEST_LENGTH,
    Suggestion,
    without_dora,
)

FULL_TO_LORA_SPEED: Final = 0.8
"""Four matrix products a weight instead of six, and a small optimizer step: derived."""
HALVED_BATCH_SLOWDOWN: Final = 1.1
"""Of half the rows at once: 6852 against 6055 tokens a second, LoRA 8B with 4 and 2 rows of 2048 tokens on an H100."""
MARGIN_SHARE: Final = 0.02
"""Of what is free, that a set of changes leaves besides the uncertainty."""


@dataclass(frozen=True)
class _Step:
    """One value of one setting: what it sets, in words, its pain, its slowdown, and what it does to the plan."""

    words: str = ""
    set: Mapping[str, object] | None = None
    pain: int = 0
    slowdown: float = 1.0
    plan: Mapping[str, object] | None = None


_AS_IT_IS: Final = _Step()


def cheapest_set(config: RunConfig, plan: Plan, choices: Choices, situation: Situation) -> Suggestion | None:
    """Two or more changes that together surely make the run fit; None where one is enough or nothing is.

    What it saves is left at 0 for the caller, who estimates the changed configuration.
    """
    bases = _bases(config, plan, choices, situation)
    axes = (
        _batches(config, choices),
        _recomputation(choices, situation),
        _optimizers(plan, choices, situation),
        _lengths(config, plan, situation),
    )
    tries = [(base, steps) for base in bases for steps in product(*axes)]
    tries.sort(key=lambda one: _price(one[0][0], one[1]))
    free = situation.device.free_bytes * (1 - MARGIN_SHARE)
    for (base, base_plan), steps in tries:
        changes = [step for step in (base, *steps) if step.set]
        if not changes:
            continue
        changed = base_plan
        for step in steps:
            changed = replace(changed, **(step.plan or {}))  # pyright: ignore[reportArgumentType] - each step names fields of Plan
        if situation.predict(changed).high_bytes <= free:
            return _together(changes) if len(changes) > 1 else None
    return None


def _together(changes: list[_Step]) -> Suggestion:
    values: dict[str, object] = {}
    slowdown = 1.0
    for step in changes:
        values |= step.set or {}
        slowdown *= step.slowdown
    words = ", ".join(step.words for step in changes)
    return Suggestion(values, words[0].upper() + words[1:], 0, slowdown, is_set=True)


def _price(base: _Step, steps: tuple[_Step, ...]) -> tuple[int, float]:
    slowdown = base.slowdown
    for step in steps:
        slowdown *= step.slowdown
    return base.pain + sum(step.pain for step in steps), slowdown


def _bases(config: RunConfig, plan: Plan, choices: Choices, situation: Situation) -> list[tuple[_Step, Plan]]:
    """The method as it is, without DoRA, and in 4 bit: what changes more than one number of the plan."""
    found = [(_AS_IT_IS, plan)]
    steps: list[_Step] = []
    if plan.use_dora:
        steps.append(_Step("plain LoRA", {"method.use_dora": False}, 1, without_dora(plan)))
    if plan.kind == "full":
        lora = {"method.kind": "lora", "method.use_dora": False, "training.learning_rate": default_rate("lora", config.objective.kind)}
        steps.append(_Step("LoRA", lora, 8, FULL_TO_LORA_SPEED))
        if situation.device.kind in BITSANDBYTES_DEVICES:
            steps.append(_Step("QLoRA", {**lora, "method.kind": "qlora"}, 10, FULL_TO_LORA_SPEED * QLORA_SLOWDOWN))
    if plan.kind == "lora" and situation.device.kind in BITSANDBYTES_DEVICES:
        speed = QLORA_SLOWDOWN * without_dora(plan)
        steps.append(_Step("the frozen model in 4 bit", {"method.kind": "qlora", "method.use_dora": False}, 4, speed))
    for step in steps:
        try:
            changed = changed_config(config, step.set or {})
        except ConfigError:
            continue
        found.append((step, situation.plan(changed, choices)))
    return found


def _batches(config: RunConfig, choices: Choices) -> list[_Step]:
    """Smaller divisors of the global batch, at most three of them."""
    micro, whole, rows = choices.micro_batch_size, config.training.global_batch_size, rows_per_example(config.objective.kind)
    if choices.packing:
        return [_AS_IT_IS]
    smaller = [size for size in range(micro - 1, least_micro_batch(config) - 1, -1) if whole % size == 0]
    found = [_AS_IT_IS]
    for size in dict.fromkeys([*smaller[:2], *smaller[-1:]]):
        slowdown = HALVED_BATCH_SLOWDOWN ** _halvings(micro, size)
        on_plan = {"micro_batch_size": size * rows, "accumulates": True}
        found.append(_Step(f"micro-batch {size}", {"training.micro_batch_size": size}, 0, slowdown, on_plan))
    return found


def _halvings(before: int, after: int) -> int:
    return max(1, (before // after).bit_length() - 1)


def _recomputation(choices: Choices, situation: Situation) -> list[_Step]:
    on = _Step(
        "checkpointing on",
        {"training.activation_checkpointing": True, "training.checkpoint_every_n_layers": 1},
        0,
        RECOMPUTATION_SLOWDOWN,
        {"checkpointing": True, "checkpoint_every": 1},
    )
    found = [_AS_IT_IS] if choices.activation_checkpointing else [_AS_IT_IS, on]
    if situation.device.kind in OFFLOAD_DEVICES:
        away = _Step(
            "checkpoints in main memory",
            {**(on.set or {}), "training.offload_checkpoints": True},
            0,
            OFFLOAD_SLOWDOWN * (1 if choices.activation_checkpointing else RECOMPUTATION_SLOWDOWN),
            {**(on.plan or {}), "offloads": True},
        )
        found.append(away)
    return found


def _optimizers(plan: Plan, choices: Choices, situation: Situation) -> list[_Step]:
    if situation.device.kind not in PAGED_DEVICES or not choices.optim.startswith("adamw_torch") or plan.updates == "kahan":
        return [_AS_IT_IS]
    small = _Step("optimizer in 8 bit", {"training.optim": "paged_adamw_8bit"}, 1, PAGED_SLOWDOWN, {"optim": "paged_adamw_8bit"})
    return [_AS_IT_IS, small]


def _lengths(config: RunConfig, plan: Plan, situation: Situation) -> list[_Step]:
    """Half and a quarter of the length; the more rows are cut, the worse."""
    if config.objective.kind in REWARDED or plan.is_packed:
        return [_AS_IT_IS]
    return [_AS_IT_IS, *_shorter(plan, situation)]


def _shorter(plan: Plan, situation: Situation) -> Iterator[_Step]:
    length = plan.sequence_length
    for limit in (1 << ((length - 1).bit_length() - 1), 1 << max(0, (length - 1).bit_length() - 2)):
        if SHORTEST_LENGTH <= limit < length:
            share = situation.lengths.share_over(limit) if situation.lengths else 1.0
            pain = 1 if share < 0.01 else 3 if share < 0.1 else 6
            yield _Step(
                f"examples of at most {limit:,} tokens", {"data.max_length": limit}, pain, limit / length, {"sequence_length": limit}
            )
