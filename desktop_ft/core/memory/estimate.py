"""The memory estimate of a configuration: parts, total with its uncertainty, verdict, cheapest changes, and what three levers do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import ConfigError
from desktop_ft.core.memory.autos import Choices
from desktop_ft.core.memory.bundles import MARGIN_SHARE, cheapest_set
from desktop_ft.core.memory.changes import changed_config
from desktop_ft.core.memory.row_lengths import RowLengths
from desktop_ft.core.memory.situation import Situation
from desktop_ft.core.memory.suggestions import Suggestion, changes_of, lever_changes, speed_ups
from desktop_ft.core.memory.terms import MemoryTerm, Prediction, Verdict, verdict
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
        phases: What the process would need at each moment, were that the peak.
        suggestions: What lowers it, the cheapest in time and quality first; empty where it fits. Where no single change is enough, the
            cheapest set that is comes last.
        faster: Where it fits, what the memory that is left over could be spent on, the greatest gain first; each still fits.
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
    phases: Mapping[str, int]
    suggestions: tuple[Suggestion, ...]
    faster: tuple[Suggestion, ...]
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
            "phases": dict(self.phases),
            "suggestions": [_to_json(item) for item in self.suggestions],
            "faster": [_to_json(item) for item in self.faster],
            "resolved": self.choices.settings(),
        }


def estimate(
    config: RunConfig,
    model: ModelInfo,
    device: DeviceFacts,
    longest_example: int | None = None,
    *,
    lengths: RowLengths | None = None,
    context_bytes: int | None = None,
) -> MemoryEstimate:
    """Predict the peak memory of a run. Arithmetic only; a few milliseconds.

    Args:
        config: Every ``auto`` is decided as the run itself would.
        model: Its shape must be known; weights need not be there.
        device: What it will train on, with what is free now.
        longest_example: Tokens of the longest example where the data was read; else every row counts as ``data.max_length``.
        lengths: Tokens of the rows where they were counted; goes before ``longest_example``.
        context_bytes: The device's own share of a process, where this machine measured it.

    Raises:
        DesktopFtError: ``model_architecture_unknown``.
    """
    return estimate_in(config, Situation(model, device, longest_example, lengths, context_bytes))


def estimate_in(config: RunConfig, situation: Situation, *, is_brief: bool = False) -> MemoryEstimate:
    """`estimate` with everything but the settings in one value; ``is_brief`` leaves out what could be changed."""
    if config.objective.kind == "rlhf":
        return _of_stages(config, situation, is_brief=is_brief)
    device = situation.device
    choices = situation.choose(config)
    plan = situation.plan(config, choices)
    prediction = situation.predict(plan)
    judged = verdict(prediction, device.free_bytes)

    def effects(changes: Iterable[Suggestion]) -> Iterator[tuple[Suggestion, Prediction]]:
        for change in changes:
            effect = _effect(config, situation, prediction.total_bytes, change, choices)
            if effect is not None:
                yield effect

    saving: list[Suggestion] = []
    faster: list[Suggestion] = []
    if is_brief:
        pass
    elif judged != "fits":
        changes = list(changes_of(config, plan, choices, device, situation.longest, situation.lengths))
        saving = [effect for effect, _ in effects(changes) if effect.saves_bytes >= WORTH_SAYING_BYTES]
        together = cheapest_set(config, plan, choices, situation)
        saving += [effect for effect, after in effects([] if together is None else [together]) if after.high_bytes <= device.free_bytes]
    else:
        ways = sorted(speed_ups(config, plan, choices), key=lambda change: change.slowdown)
        faster = [effect for effect, after in effects(ways) if after.high_bytes <= device.free_bytes * (1 - MARGIN_SHARE)]
    turned = () if is_brief else lever_changes(config, plan, choices, situation.longest)
    return MemoryEstimate(
        terms=prediction.terms,
        total_bytes=prediction.total_bytes,
        low_bytes=prediction.low_bytes,
        high_bytes=prediction.high_bytes,
        free_bytes=device.free_bytes,
        verdict=judged,
        phase=prediction.phase,
        phases=prediction.phases,
        suggestions=tuple(saving),
        faster=tuple(faster),
        levers=_levers(effect for effect, _ in effects(turned)),
        choices=choices,
    )


def _of_stages(config: RunConfig, situation: Situation, *, is_brief: bool) -> MemoryEstimate:
    """Of RLHF's two stages the one that needs more; each begins when the other's memory was given back."""
    stages = (reward_config(config), policy_config(config, FIRST_STAGE))
    reward, policy = (estimate_in(stage, situation, is_brief=is_brief) for stage in stages)
    larger, name = (reward, "reward model") if reward.total_bytes > policy.total_bytes else (policy, "policy")
    return replace(larger, phase=f"{name}, {larger.phase}", faster=())


def _effect(
    config: RunConfig, situation: Situation, total_bytes: int, change: Suggestion, choices: Choices
) -> tuple[Suggestion, Prediction] | None:
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
    prediction = situation.predict(situation.plan(changed, situation.choose(changed)))
    return replace(change, saves_bytes=total_bytes - prediction.total_bytes), prediction


def _to_json(item: Suggestion) -> dict[str, object]:
    said: dict[str, object] = {
        "set": dict(item.set),
        "title": item.title,
        "saves_bytes": item.saves_bytes,
        "slowdown": round(item.slowdown, 3),
    }
    return said if item.share_cut is None else {**said, "share_cut": round(item.share_cut, 4)}


def _levers(effects: Iterable[Suggestion | None]) -> tuple[Lever, ...]:
    return tuple(Lever(effect.title, effect.set, -effect.saves_bytes) for effect in effects if effect is not None)
