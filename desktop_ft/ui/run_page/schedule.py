"""The learning rate of the steps to come, for the dotted part of its curve. The same formulas as transformers' schedulers."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from desktop_ft.core.resolve import Resolved

Floats = NDArray[np.float64]
MAX_POINTS: Final = 400
"""More would not be seen."""


def rate_at(resolved: Resolved, steps: Floats) -> Floats:
    """The scheduled learning rate after so many steps, ``[N]`` for ``[N]``.

    Source: ``transformers.optimization``: constant, constant_with_warmup, linear and cosine, each from 0 over the warm-up.
    """
    training, warmup = resolved.config.training, resolved.num_warmup_steps
    kind = training.lr_scheduler_type
    progress = np.clip((steps - warmup) / max(1, resolved.num_steps - warmup), 0.0, 1.0)
    falling = {"linear": 1 - progress, "cosine": 0.5 * (1 + np.cos(np.pi * progress))}.get(kind, np.ones_like(steps))
    rising = np.ones_like(steps) if kind == "constant" else np.clip(steps / max(1, warmup), 0.0, 1.0) if warmup else np.ones_like(steps)
    return training.learning_rate * np.where(steps < warmup, rising, falling)


def future_rates(resolved: Resolved, step: int, rate: float | None) -> tuple[Floats, Floats]:
    """Steps and rates from here to the end; a rate that was changed while training carries its factor on.

    Args:
        resolved: What the run was started with.
        step: The last step done.
        rate: Its learning rate; None before the first.
    """
    steps = np.unique(np.round(np.linspace(step, resolved.num_steps, MAX_POINTS)))
    rates = rate_at(resolved, steps)
    if rate is not None and step > 0 and rates[0] > 0:
        rates = rates * (rate / rates[0])
    return steps, rates
