"""Weights that are no numbers are never saved: a checkpoint is worth something only if one can go on from it."""

from __future__ import annotations

from typing import Final

import torch

from desktop_ft.core.errors import DesktopFtError

HOW_ON: Final = (
    "Start a new run with a third of training.learning_rate, from the last checkpoint where there is one "
    "(desktop-ft config new --from-run), or use bfloat16 or float32 instead of float16."
)


def first_non_finite(model: torch.nn.Module) -> str | None:
    """Name of the first trained weight that holds NaN or infinity; None where all are numbers."""
    trained = [(name, weight.detach()) for name, weight in model.named_parameters() if weight.requires_grad]
    flags = [torch.isfinite(weight).all() for _, weight in trained]
    if not flags or bool(torch.stack([flag.to(flags[0].device) for flag in flags]).all()):
        return None
    return next(name for (name, _), flag in zip(trained, flags, strict=True) if not bool(flag))


def refuse_non_finite(model: torch.nn.Module, step: int) -> None:
    """Leave rather than save broken weights.

    Raises:
        DesktopFtError: ``weights_not_finite``.
    """
    name = first_non_finite(model)
    if name is not None:
        raise DesktopFtError(
            "weights_not_finite",
            "The trained weights are no longer numbers",
            f"At step {step} {name} holds NaN or infinity. Nothing is saved of this step; earlier checkpoints are good.",
            HOW_ON,
        )
