"""Finding a learning rate: which rates to try, when one has diverged, and what the curve suggests. Pure; the engine does the steps.

Each rate begins from the same weights, with a new optimizer and the same examples in the same order, so that the points of the curve
differ by the rate alone. Source: the range test of Smith 2015, arXiv 1506.01186, section 3.3, whose single sweep with a rising rate makes
each point depend on all before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

from desktop_ft.core.config import Draft, RunConfig, save_config
from desktop_ft.core.config.defaults import default_rate
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import LrPoint
from desktop_ft.core.job import JobDir, LrFindRequest, create_job_in

NUM_RATES: Final = 11
NUM_STEPS: Final = 8
"""Optimizer steps for each rate; the sweep takes at most 88 steps."""
SPAN: Final = 32.0
"""The usual rate of method and objective times and over this are the ends of the sweep."""
OFFLINE: Final[tuple[ObjectiveName, ...]] = ("sft", "pretrain", "dpo", "orpo", "kto", "reward")
SAFETY: Final = 3.0
"""The best of a few steps is too high for many: the suggestion lies below it by this. Source: Smith 2015 begins at a third to a quarter."""
CLEAR_GAIN: Final = 0.02
"""A loss that fell by less than this share says nothing about rates."""
_DIVERGED_SHARE: Final = 0.5
_DIVERGED_NATS: Final = 0.5


@dataclass(frozen=True)
class Suggestion:
    """What the curve says.

    Attributes:
        rate: The learning rate to use; None where the curve shows none.
        message: Why, in sentences.
    """

    rate: float | None
    message: str


def sweep_rates(low: float, high: float, num_rates: int = NUM_RATES) -> tuple[float, ...]:
    """Rates from the lowest to the highest, evenly spaced on a logarithmic scale, rounded to three digits."""
    ratio = (high / low) ** (1 / (num_rates - 1))
    return tuple(float(f"{low * ratio**index:.3g}") for index in range(num_rates))


def usual_range(config: RunConfig) -> tuple[float, float]:
    """Where to look for a run's rate: around the usual one of its method and objective."""
    middle = default_rate(config.method.kind, config.objective.kind)
    return middle / SPAN, min(1.0, middle * SPAN)


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether going on with this rate is a waste: a loss is no number, or far above where it began."""
    if not losses:
        return False
    first, last = losses[0], losses[-1]
    return not math.isfinite(last) or not math.isfinite(first) or last > first + max(_DIVERGED_SHARE * abs(first), _DIVERGED_NATS)


def final_loss(losses: Sequence[float]) -> float:
    """What a rate came to: the mean of the last third of its steps."""
    return fmean(losses[-max(1, len(losses) // 3) :])


def suggest(points: Sequence[LrPoint]) -> Suggestion:
    """The learning rate that a sweep suggests.

    Args:
        points: By rising rate; the last one may have diverged.
    """
    good = [(point.rate, point.loss) for point in points if not point.has_diverged and point.loss is not None]
    diverged = next((point.rate for point in points if point.has_diverged), None)
    if not good:
        return Suggestion(None, f"Even the lowest rate ({points[0].rate:.2g}) diverged. Sweep again with far lower ones.")
    best_rate, best = min(good, key=lambda point: point[1])
    lowest_rate, still = good[0]
    gain = still - best
    if gain < CLEAR_GAIN * abs(still):
        return Suggestion(None, _nothing_clear(good, diverged))
    rate = max(float(f"{best_rate / SAFETY:.1g}"), lowest_rate)
    return Suggestion(rate, " ".join(_reasons(rate, best_rate, best, still, diverged, is_last=best_rate == points[-1].rate)))


def _nothing_clear(good: Sequence[tuple[float, float]], diverged: float | None) -> str:
    if max(loss for _, loss in good) > good[0][1] + CLEAR_GAIN * abs(good[0][1]):
        return f"The lowest rate did best ({good[0][0]:.2g}); higher ones make the loss worse. Sweep with lower rates, or with more steps."
    if diverged is None:
        return f"No rate up to {good[-1][0]:.2g} moves the loss in so few steps. Sweep with higher rates, or with more steps."
    return f"Rates below {diverged:.2g} hardly move the loss in so few steps, and from there on it diverges. Sweep with more steps."


def _reasons(rate: float, best_rate: float, best: float, still: float, diverged: float | None, *, is_last: bool) -> Iterator[str]:
    yield f"The loss fell furthest at {best_rate:.2g}: to {best:.3g}, against {still:.3g} at the lowest rate."
    yield f"{rate:.2g} is a third of that, for what is best over a few steps is too high over many."
    if diverged is not None:
        yield f"From {diverged:.2g} on it diverges."
    elif is_last:
        yield "No higher rate was tried; a sweep that goes further up may suggest more."


# --- the job ----------------------------------------------------------------------------------------------------------


def check_can_sweep(config: RunConfig) -> None:
    """Refuse objectives whose loss says nothing about the rate.

    Raises:
        DesktopFtError: ``lr_find_online``.
    """
    kind = config.objective.kind
    if kind not in OFFLINE:
        raise DesktopFtError(
            "lr_find_online",
            "There is no sweep for this objective",
            f"{kind} learns from answers that it samples: over a few steps its loss hovers around zero at any rate, and says nothing.",
            f"Begin with the usual rate ({default_rate(config.method.kind, kind):.2g}) and watch reward and KL divergence.",
        )


def create_sweep(
    folder: Path,
    config: RunConfig,
    low: float | None = None,
    high: float | None = None,
    num_steps: int = NUM_STEPS,
    num_rates: int = NUM_RATES,
) -> JobDir:
    """A job that tries learning rates for a run which does not exist yet, in the next free folder such as ``folder/lr_find-0001``.

    Args:
        folder: Where jobs lie.
        config: The run.
        low: The lowest rate; None: the usual one over 32.
        high: The highest rate; None: the usual one times 32.
        num_steps: Optimizer steps for each rate.
        num_rates: How many rates.

    Raises:
        DesktopFtError: ``lr_find_online``, ``request_invalid``, ``disk_full`` or ``file_not_writable``.
    """
    check_can_sweep(config)
    usual = usual_range(config)
    ends = usual[0] if low is None else low, usual[1] if high is None else high
    job = create_job_in(folder, LrFindRequest(*ends, num_steps, num_rates))
    save_config(config, job.path / "run.yaml")
    return job


def sweep_config(config: RunConfig, num_steps: int) -> RunConfig:
    """The run's configuration for a sweep: a constant rate for a few steps, and nothing around them."""
    changes = {
        "training.max_steps": num_steps,
        "training.lr_scheduler_type": "constant",
        "training.warmup_steps": 0.0,
        "data.eval": None,
        "data.split.fraction": 0.0,
        "evaluation.sample_prompts": [],
        "evaluation.forgetting": False,
        "output.keep_best": False,
    }
    return Draft(config.model_dump(mode="json")).with_values(changes).validated()
