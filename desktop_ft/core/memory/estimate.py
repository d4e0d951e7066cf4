"""The memory estimate of a configuration: parts, total with its uncertainty, verdict, cheapest changes, and what three levers do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import ConfigError
from desktop_ft.core.memory.autos import Choices, choose, make_plan
from desktop_ft.core.memory.changes import changed_config
from desktop_ft.core.memory.suggestions import Suggestion, changes_of, lever_changes
from desktop_ft.core.memory.terms import MemoryTerm, Verdict, predict, verdict
from desktop_ft.core.models import ModelInfo
from desktop_ft.core.stages import FIRST_STAGE, policy_config, reward_config

WORTH_SAYING_BYTES = 16 << 20
"""A change that saves less is not suggested."""


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
            "resolved": self.choices.settings(),
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
    if config.objective.kind == "rlhf":
        return _of_stages(config, model, device, longest_example)
    choices = choose(config, model, device, longest_example)
    plan = make_plan(config, model, device, choices, longest_example)
    prediction = predict(plan, device)
    judged = verdict(prediction, device.free_bytes)
    changes = list(changes_of(config, plan, choices, device, longest_example))
    turned = lever_changes(config, plan, choices, longest_example)
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


def _of_stages(config: RunConfig, model: ModelInfo, device: DeviceFacts, longest_example: int | None) -> MemoryEstimate:
    """Of RLHF's two stages the one that needs more; each begins when the other's memory was given back."""
    stages = (reward_config(config), policy_config(config, FIRST_STAGE))
    estimates = [estimate(stage, model, device, longest_example) for stage in stages]
    reward, policy = estimates
    larger, name = (reward, "reward model") if reward.total_bytes > policy.total_bytes else (policy, "policy")
    return replace(larger, phase=f"{name}, {larger.phase}")


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


def _levers(effects: Iterable[Suggestion | None]) -> tuple[Lever, ...]:
    return tuple(Lever(effect.title, effect.set, -effect.saves_bytes) for effect in effects if effect is not None)
