"""Activation checkpointing as the run states it: every so many layers, and what waits in main memory.

transformers takes both where checkpointing is turned on. TRL turns it off for a reference's pass and on again without them
(`disable_gradient_checkpointing`, trl/models/utils.py, 1.16), which would quietly undo them after the first batch; so the model itself
remembers.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import cast

import torch
from transformers import PreTrainedModel

from desktop_ft.core.config.schema import TrainingConfig
from desktop_ft.core.errors import DesktopFtError


def checkpoint_as_stated(training: TrainingConfig, model: PreTrainedModel) -> None:
    """Make a model turn checkpointing on as the run states it, whoever asks.

    Args:
        training: Without any ``auto``.
        model: Of the library, below any adapter; changed in place.

    Raises:
        DesktopFtError: ``checkpoint_every_n_layers_too_many``.
    """
    every, offload = training.checkpoint_every_n_layers, training.offload_checkpoints
    if not training.activation_checkpointing or (every == 1 and not offload):
        return
    num_layers = cast("int", model.config.get_text_config().num_hidden_layers)
    if every > num_layers:
        raise DesktopFtError(
            "checkpoint_every_n_layers_too_many",
            "The model has fewer layers",
            f"training.checkpoint_every_n_layers is {every}; the model has {num_layers} layers.",
            f"Set it to {num_layers} or less, or training.activation_checkpointing to false.",
        )

    def enable(self: PreTrainedModel, kwargs: Mapping[str, object] | None = None, *_: object, **__: object) -> None:
        PreTrainedModel._activation_checkpointing_enable(self, kwargs, every, offload)  # pyright: ignore[reportPrivateUsage]

    cast("torch.nn.Module", model).__dict__["_activation_checkpointing_enable"] = types.MethodType(enable, model)
