"""The memory estimate of a configuration: parts, total with its uncertainty, verdict, cheapest changes, and what three levers do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from desktop_ft.core.config import RunConfig, set_value, validate
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import ConfigError
from desktop_ft.core.memory.autos import Choices, choose, make_plan, sequence_length
from desktop_ft.core.memory.plan import Plan
from desktop_ft.core.memory.terms import MemoryTerm, Verdict, predict, verdict
from desktop_ft.core.models import ModelInfo

WORTH_SAYING_BYTES = 16 << 20
"""A change that saves less is not suggested."""
SHORTEST_LENGTH = 256
"""Examples are not advised to be cut below this."""
RECOMPUTATION_SLOWDOWN = 1.33
"""A step with every block recomputed costs a forward pass more: 4 of 3 (six against four products for LoRA is 1.5 at worst)."""
DORA_SPEED = 0.47
"""DoRA against LoRA, 8B on an H100 with stock PEFT: 2840 against 6055 tokens a second."""


@dataclass(frozen=True)
class Suggestion:
    """A change of settings that lowers the memory.

    Attributes:
        set: Dotted paths and their new values, for `Draft.with_values`.
        title: What it does, in a few words.
        saves_bytes: By how much the estimate falls.
        slowdown: Time of a step afterwards over before; 1.0 for none, below 1 where it is faster too.
    """

    set: Mapping[str, object]
    title: str
    saves_bytes: int
    slowdown: float


@dataclass(frozen=True)
class Lever:
    """What one change would do to the total, for the panel: ``num_bytes`` below 0 saves."""

    title: str
    set: Mapping[str, object]
    num_bytes: int


@dataclass(frozen=True)
class MemoryEstimate:
    """What a run will need at its peak.

    Attributes:
        terms: Every part, in a fixed order, those of 0 bytes too.
        total_bytes: What nvidia-smi will show for the process; resident memory on a CPU.
        low_bytes: The peak is hardly below this.
        high_bytes: The peak is hardly above this.
        free_bytes: What the device has free for this run.
        verdict: ``fits`` where high_bytes is free, ``tight`` where total_bytes is.
        phase: The moment of a step that needs most, such as ``block`` or ``optimizer``.
        suggestions: What lowers it, the cheapest in time and quality first; empty where it fits.
        levers: Three settings turned the other way, with what each would do to the total.
        choices: The settings it was computed with.
    """

    terms: tuple[MemoryTerm, ...]
    total_bytes: int
    low_bytes: int
    high_bytes: int
    free_bytes: int
    verdict: Verdict
    phase: str
    suggestions: tuple[Suggestion, ...]
    levers: tuple[Lever, ...]
    choices: Choices

    def to_json(self) -> dict[str, object]:
        """As ``desktop-ft estimate --json`` prints it."""
        return {
            "total_bytes": self.total_bytes,
            "low_bytes": self.low_bytes,
            "high_bytes": self.high_bytes,
            "terms": {term.key: term.num_bytes for term in self.terms},
            "device_free_bytes": self.free_bytes,
            "verdict": self.verdict,
            "suggestions": [
                {"set": dict(item.set), "title": item.title, "saves_bytes": item.saves_bytes, "slowdown": round(item.slowdown, 3)}
                for item in self.suggestions
            ],
            "resolved": {
                "model.dtype": self.choices.dtype,
                "model.attention": self.choices.attention,
                "data.packing": self.choices.packing,
                "training.micro_batch_size": self.choices.micro_batch_size,
                "training.activation_checkpointing": self.choices.activation_checkpointing,
                "training.optim": self.choices.optim,
            },
        }


def estimate(config: RunConfig, model: ModelInfo, device: DeviceFacts, longest_example: int | None = None) -> MemoryEstimate:
    """Predict the peak memory of a run. Arithmetic only; a few milliseconds.

    Args:
        config: Every ``auto`` is decided as the run itself would.
        model: Its shape must be known; weights need not be there.
        device: What it will train on, with what is free now.
        longest_example: Tokens of the longest example where the data was read; else every row counts as ``data.max_length``.

    Raises:
        DesktopFtError: ``model_architecture_unknown``.
    """
    choices = choose(config, model, device, longest_example)
    plan = make_plan(config, model, device, choices, longest_example)
    prediction = predict(plan, device)
    judged = verdict(prediction, device.free_bytes)
    changes = list(_changes(config, plan, choices, longest_example))
    turned = _lever_changes(config, plan, choices, longest_example)
    effects = [_effect(config, model, device, longest_example, prediction.total_bytes, change, choices) for change in changes]
    useful = [effect for effect in effects if effect is not None and effect.saves_bytes >= WORTH_SAYING_BYTES]
    return MemoryEstimate(
        terms=prediction.terms,
        total_bytes=prediction.total_bytes,
        low_bytes=prediction.low_bytes,
        high_bytes=prediction.high_bytes,
        free_bytes=device.free_bytes,
        verdict=judged,
        phase=prediction.phase,
        suggestions=tuple(useful) if judged != "fits" else (),
        levers=_levers(_effect(config, model, device, longest_example, prediction.total_bytes, change, choices) for change in turned),
        choices=choices,
    )


def _changes(config: RunConfig, plan: Plan, choices: Choices, longest_example: int | None) -> Iterator[Suggestion]:
    """What could be changed, the least painful first: first what leaves the result the same, then what changes it."""
    micro, whole = choices.micro_batch_size, config.training.global_batch_size
    if plan.use_dora:
        yield Suggestion({"method.use_dora": False}, "Plain LoRA instead of DoRA", 0, DORA_SPEED)
    smaller = [size for size in range(1, micro) if whole % size == 0]
    if smaller:
        size = smaller[-1] if micro <= 2 else max((s for s in smaller if s <= micro // 2), default=smaller[-1])
        yield Suggestion({"training.micro_batch_size": size}, f"Micro-batch of {size}; the global batch stays {whole}", 0, 1.1)
        if size > 1:
            yield Suggestion({"training.micro_batch_size": 1}, f"Micro-batch of 1; the global batch stays {whole}", 0, 1.3)
    if not choices.activation_checkpointing:
        changed = {"training.activation_checkpointing": True}
        yield Suggestion(changed, "Compute activations again (activation checkpointing)", 0, RECOMPUTATION_SLOWDOWN)
    if plan.attention == "eager":
        yield Suggestion({"model.attention": "sdpa"}, "PyTorch's fused attention", 0, 0.8)
    length = sequence_length(config, longest_example)
    if length > SHORTEST_LENGTH:
        shorter = 1 << ((length - 1).bit_length() - 1)
        yield Suggestion({"data.max_length": shorter}, f"Cut examples at {shorter:,} tokens", 0, shorter / length)
    if plan.kind == "full":
        lora = {"method.kind": "lora", "method.use_dora": False, "training.learning_rate": 2e-4}
        yield Suggestion(lora, "LoRA instead of full fine-tuning", 0, 0.8)
    elif plan.rank > 8:
        changed = {"method.rank": max(8, plan.rank // 2), "method.alpha": config.method.alpha * max(8, plan.rank // 2) / plan.rank}
        yield Suggestion(changed, f"Rank {max(8, plan.rank // 2)} instead of {plan.rank}", 0, 0.98)


def _effect(
    config: RunConfig,
    model: ModelInfo,
    device: DeviceFacts,
    longest_example: int | None,
    total_bytes: int,
    change: Suggestion,
    choices: Choices,
) -> Suggestion | None:
    """The change with what it saves, all else kept as it was decided; None where it contradicts another setting."""
    pinned: dict[str, object] = {
        "training.micro_batch_size": choices.micro_batch_size,
        "training.activation_checkpointing": choices.activation_checkpointing,
        "model.attention": choices.attention,
        "training.optim": choices.optim,
    }
    try:
        changed = changed_config(config, {**pinned, **change.set})
    except ConfigError:
        return None
    decided = choose(changed, model, device, longest_example)
    prediction = predict(make_plan(changed, model, device, decided, longest_example), device)
    return Suggestion(change.set, change.title, total_bytes - prediction.total_bytes, change.slowdown)


def changed_config(config: RunConfig, changes: Mapping[str, object]) -> RunConfig:
    """The configuration with dotted paths set, validated anew.

    Raises:
        ConfigError: Where the change contradicts another setting.
    """
    values = cast("dict[str, object]", config.model_dump())
    for path, value in changes.items():
        values = set_value(values, path, value)
    return validate(values)


def _lever_changes(config: RunConfig, plan: Plan, choices: Choices, longest_example: int | None) -> Iterator[Suggestion]:
    """Three settings that move the memory most, each turned the other way."""
    if plan.kind == "full":
        yield Suggestion({"method.kind": "lora", "method.use_dora": False}, "LoRA instead of full fine-tuning", 0, 1.0)
    elif plan.use_dora:
        yield Suggestion({"method.use_dora": False}, "Plain LoRA instead of DoRA", 0, 1.0)
    else:
        yield Suggestion({"method.use_dora": True}, "DoRA instead of plain LoRA", 0, 1.0)
    switched = not choices.activation_checkpointing
    title = "Activation checkpointing on" if switched else "Activation checkpointing off"
    yield Suggestion({"training.activation_checkpointing": switched}, title, 0, 1.0)
    micro, whole = choices.micro_batch_size, config.training.global_batch_size
    smaller = [size for size in range(1, micro) if whole % size == 0 and size <= max(1, micro // 2)]
    length = sequence_length(config, longest_example)
    if smaller:
        yield Suggestion({"training.micro_batch_size": smaller[-1]}, f"Micro-batch of {smaller[-1]} instead of {micro}", 0, 1.0)
    elif length >= 2 * SHORTEST_LENGTH:
        yield Suggestion({"data.max_length": length // 2}, f"Cut examples at {length // 2:,} tokens", 0, 1.0)


def _levers(effects: Iterable[Suggestion | None]) -> tuple[Lever, ...]:
    return tuple(Lever(effect.title, effect.set, -effect.saves_bytes) for effect in effects if effect is not None)
