"""The estimate as this computer knows it: what was measured here, on the same card with the same libraries, corrects the formulas.

The very plan was measured: that number counts, with a small uncertainty. A plan of the same kind was: what moves (activations, logits,
buffers) is multiplied by the median ratio of measured to computed. Nothing else is corrected but the context of the card. The ratio is
computed with the formulas as they are now, so that better formulas are not corrected for the faults of older ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final, Literal

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.memory.changes import changed_config
from desktop_ft.core.memory.estimate import MemoryEstimate, estimate_in
from desktop_ft.core.memory.measured import Measurement, Measurements, context_of, load_measurements
from desktop_ft.core.memory.plan import Plan
from desktop_ft.core.memory.situation import Situation
from desktop_ft.core.memory.suggestions import Suggestion
from desktop_ft.core.memory.terms import MemoryTerm, TermKey, Verdict, predict
from desktop_ft.core.models import ModelInfo
from desktop_ft.core.stages import FIRST_STAGE, policy_config, reward_config

MOVING: Final[frozenset[TermKey]] = frozenset({"activations", "logits", "buffers"})
"""Parts that the formulas estimate; all others are counted."""
RATIO_BOUNDS: Final = (0.5, 2.0)
"""A measurement that is further off says that something else was measured."""
EXACT_SHARE: Final = 0.02
CPU_EXACT_SHARE: Final = 0.05
"""How much two runs of one plan differ: the allocator's fragments, on a CPU the C library's."""
FIRST_SHARE, LATER_SHARE = 0.7, 0.5
"""What is left of the uncertainty after one measurement of a similar plan, and after several."""
NEWEST: Final = 16
"""Measurements of a kind that are looked at."""

Basis = Literal["exact", "similar", "context"]


@dataclass(frozen=True)
class Correction:
    """How what was measured moved an estimate.

    Attributes:
        basis: ``exact``: this very plan was measured; ``similar``: plans of its kind; ``context``: only the card's context was known.
        num_measurements: How many counted.
        share: Change of the total by it: 0.02 is 2 % more.
        seconds_per_step: Where this very plan was measured; None where no time is known.
        evaluation_seconds: Of one evaluation, likewise.
        is_worst_case: Whether the time is that of the longest rows, which a run hardly takes longer than.
    """

    basis: Basis
    num_measurements: int
    share: float
    seconds_per_step: float | None = None
    evaluation_seconds: float | None = None
    is_worst_case: bool = False

    def words(self) -> str:
        """In a few words, without the number."""
        count = "1 measurement" if self.num_measurements == 1 else f"{self.num_measurements} measurements"
        about = {"exact": " of this very plan", "similar": " of plans of its kind", "context": " of the card's context"}[self.basis]
        return f"Corrected by {count}{about} on this device"

    def to_json(self) -> dict[str, object]:
        """As ``desktop-ft estimate --json`` prints it."""
        return {"basis": self.basis, "measurements": self.num_measurements, "share": round(self.share, 4)}


@dataclass(frozen=True)
class Corrected:
    """An estimate with what was measured; ``correction`` is None where nothing was that bears on it."""

    estimate: MemoryEstimate
    correction: Correction | None = None
    note: str = ""
    """What a person should know of the file of measurements; empty where all is well."""

    def to_json(self) -> dict[str, object]:
        """The estimate's, with ``correction`` where there is one."""
        found = self.estimate.to_json()
        return found if self.correction is None else {**found, "correction": self.correction.to_json()}


def estimate_here(
    config: RunConfig,
    model: ModelInfo,
    device: DeviceFacts,
    longest_example: int | None = None,
    measurements: Measurements | None = None,
) -> Corrected:
    """Predict the peak memory of a run as this computer knows it: `estimate`, then `corrected`.

    Args:
        config: The run.
        model: Its base model.
        device: What it will train on.
        longest_example: Tokens of the longest example, where known.
        measurements: What was measured; None: what the workspace holds.

    Raises:
        DesktopFtError: As `estimate`.
    """
    return estimate_here_in(config, Situation(model, device, longest_example), measurements)


def estimate_here_in(
    config: RunConfig, situation: Situation, measurements: Measurements | None = None, *, is_brief: bool = False
) -> Corrected:
    """`estimate_here` with everything but the settings in one value; ``is_brief`` leaves out what could be changed."""
    found = load_measurements() if measurements is None else measurements
    if config.objective.kind == "rlhf":
        return _of_stages(config, situation, found, is_brief=is_brief)
    raw = estimate_in(config, situation, is_brief=is_brief)
    here = found.on(situation.device)
    if not here:
        return Corrected(raw, note=found.note)
    changed, correction = corrected(raw, situation.plan(config, raw.choices), config, situation.device, here)
    if changed.verdict not in ("fits", raw.verdict) and not is_brief:
        changed = replace(changed, suggestions=_suggestions(changed, raw, config, situation))
    return Corrected(changed, correction, found.note)


def _of_stages(config: RunConfig, situation: Situation, found: Measurements, *, is_brief: bool) -> Corrected:
    """Of RLHF's two stages the one that needs more, as in `estimate`."""
    stages = {"reward model": reward_config(config), "policy": policy_config(config, FIRST_STAGE)}
    each = {name: estimate_here_in(stage, situation, found, is_brief=is_brief) for name, stage in stages.items()}
    name, larger = max(reversed(each.items()), key=lambda item: item[1].estimate.total_bytes)
    return replace(larger, estimate=replace(larger.estimate, phase=f"{name}, {larger.estimate.phase}", faster=()))


def corrected(
    raw: MemoryEstimate, plan: Plan, config: RunConfig, device: DeviceFacts, measurements: Sequence[Measurement]
) -> tuple[MemoryEstimate, Correction | None]:
    """An estimate as measurements on the same device have it.

    Args:
        raw: By the formulas.
        plan: What it was computed for.
        config: The run.
        device: What it will train on.
        measurements: Of this device, the oldest first.
    """
    context = context_of(measurements)
    terms: dict[TermKey, int] = {term.key: term.num_bytes for term in raw.terms}
    if context is not None:
        terms["cuda_context"] = context
    same = [one for one in measurements if _is_of_kind(one, plan, config)][-NEWEST:]
    exact = [one for one in same if one.plan == plan]
    half = (raw.high_bytes - raw.low_bytes) // 2
    if exact:
        total = max(one.process_bytes for one in exact)
        half = int(total * (CPU_EXACT_SHARE if device.kind == "cpu" else EXACT_SHARE))
        return _changed(raw, _summing_up_to(terms, total), half), _exact(exact, config, raw, total)
    ratios = [ratio for one in same if (ratio := _ratio(one, device)) is not None]
    if not ratios:
        total = sum(terms.values())
        share = total / raw.total_bytes - 1
        return _changed(raw, terms, half), None if context is None else Correction("context", 1, share)
    ratio = median(ratios)
    terms = {key: round(num_bytes * ratio) if key in MOVING else num_bytes for key, num_bytes in terms.items()}
    total, moving = sum(terms.values()), sum(num_bytes for key, num_bytes in terms.items() if key in MOVING)
    spread = max(ratios) - min(ratios) if len(ratios) > 1 else 0.0
    half = max(int(half * (FIRST_SHARE if len(ratios) == 1 else LATER_SHARE)), int(spread / 2 * moving), int(EXACT_SHARE * total))
    return _changed(raw, terms, half), Correction("similar", len(ratios), total / raw.total_bytes - 1)


def _is_of_kind(one: Measurement, plan: Plan, config: RunConfig) -> bool:
    """Whether the formulas' error on one says something about the other."""
    mine = (
        plan.kind,
        plan.use_dora,
        plan.lean_dora,
        plan.dtype,
        plan.attention,
        plan.checkpointing,
        config.objective.kind,
        config.training.kernels,
    )
    theirs = (
        one.plan.kind,
        one.plan.use_dora,
        one.plan.lean_dora,
        one.plan.dtype,
        one.plan.attention,
        one.plan.checkpointing,
        one.objective,
        one.kernels,
    )
    return mine == theirs


def _exact(exact: Sequence[Measurement], config: RunConfig, raw: MemoryEstimate, total: int) -> Correction:
    """With the time of the newest; a run's own time says more than that of a worst-case step."""
    timed = [one for one in exact if one.seconds_per_step is not None]
    timed = [one for one in timed if one.source == "run"] or timed
    share = total / raw.total_bytes - 1
    if not timed:
        return Correction("exact", len(exact), share)
    newest = timed[-1]
    accumulation = config.training.global_batch_size // raw.choices.micro_batch_size
    scale = accumulation / max(1, newest.gradient_accumulation_steps)
    seconds = (newest.seconds_per_step or 0.0) * scale
    return Correction("exact", len(exact), share, seconds, newest.evaluation_seconds, newest.source == "probe")


def _ratio(one: Measurement, device: DeviceFacts) -> float | None:
    """Measured over computed, of what moves; None where nothing does."""
    terms = {term.key: term.num_bytes for term in predict(one.plan, device).terms}
    moving = sum(num_bytes for key, num_bytes in terms.items() if key in MOVING)
    counted = sum(num_bytes for key, num_bytes in terms.items() if key not in MOVING and key != "cuda_context")
    context = one.context_bytes if one.context_bytes is not None else terms["cuda_context"]
    measured = one.reserved_bytes if one.reserved_bytes is not None else one.process_bytes - context
    if not moving:
        return None
    low, high = RATIO_BOUNDS
    return min(high, max(low, (measured - counted) / moving))


def _summing_up_to(terms: Mapping[TermKey, int], total: int) -> dict[TermKey, int]:
    """Parts whose sum was measured: what moves makes up the difference, and everything shrinks where that is not enough."""
    counted = sum(num_bytes for key, num_bytes in terms.items() if key not in MOVING)
    moving = sum(terms.values()) - counted
    found: dict[TermKey, int] = dict(terms)
    grows = total >= counted and moving > 0
    for key, num_bytes in terms.items():
        if not grows:
            found[key] = num_bytes * total // (counted + moving)
        elif key in MOVING:
            found[key] = num_bytes * (total - counted) // moving
    found["buffers"] += total - sum(found.values())
    return found


def _changed(raw: MemoryEstimate, terms: Mapping[TermKey, int], half: int) -> MemoryEstimate:
    total = sum(terms.values())
    high = total + half
    judged: Verdict = "fits" if high <= raw.free_bytes else "tight" if total <= raw.free_bytes else "does_not_fit"
    return replace(
        raw,
        terms=tuple(MemoryTerm(term.key, terms[term.key]) for term in raw.terms),
        total_bytes=total,
        low_bytes=max(0, total - half),
        high_bytes=high,
        verdict=judged,
        suggestions=() if judged == "fits" else raw.suggestions,
        faster=raw.faster if judged == "fits" else (),
    )


def _suggestions(found: MemoryEstimate, raw: MemoryEstimate, config: RunConfig, situation: Situation) -> tuple[Suggestion, ...]:
    """What would make it fit, all else kept: as if the card had less free by what the formulas are short of."""
    pinned = changed_config(config, raw.choices.settings())
    short = max(found.high_bytes - raw.high_bytes, found.total_bytes - raw.total_bytes)
    device = situation.device
    return estimate_in(pinned, replace(situation, device=replace(device, free_bytes=max(0, device.free_bytes - short)))).suggestions
