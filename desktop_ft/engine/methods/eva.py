"""EVA: an adapter whose A matrices start as the directions in which the training rows excite each layer.

Every layer keeps the rank of the run (PEFT's ``rho`` is 1): moving rank between layers would give a run other shapes than its settings
say. The base stays as it is, for B starts at zero.

Source: Paischer et al. 2024, arXiv 2410.07170; PEFT's `initialize_lora_eva_weights`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import torch
from peft import PeftModel
from peft.tuners.lora.eva import initialize_lora_eva_weights
from peft.tuners.lora.layer import LoraLayer
from torch.utils.data import DataLoader

from desktop_ft.core.data.tokenise import TokenisedExample
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.engine.randomness import undisturbed

_MIN_TOKENS_PER_RANK: Final = 4
"""Tokens that are learnt in one batch for each rank, so that every batch tells something about each direction."""
_MAX_BATCHES: Final = 200
"""PEFT goes round the data until the directions stand still (cosine similarity above 0.99 from batch to batch)."""


def start_from_data(model: PeftModel, examples: Sequence[TokenisedExample], rank: int, pad_id: int, seed: int) -> None:
    """Set the A matrices of a new adapter from what the training rows excite.

    Args:
        model: With a fresh adapter whose configuration says ``eva``.
        examples: To learn from, with labels.
        rank: Of the adapter.
        pad_id: Fills rows up.
        seed: Of the order in which the rows are read.

    Raises:
        DesktopFtError: ``eva_rank_too_high`` or ``eva_not_settled``.
    """
    width = min(cast("int", layer.in_features) for layer in model.modules() if isinstance(layer, LoraLayer))
    if rank > width:
        raise DesktopFtError(
            "eva_rank_too_high",
            "The rank is higher than a layer is wide",
            f"method.init: eva looks for {rank} directions; the narrowest layer has {width}.",
            f"Set method.rank to {width} or less, or method.init to default.",
        )
    per_row = sum(example.num_supervised for example in examples) / len(examples)
    batch_size = min(len(examples), max(1, round(_MIN_TOKENS_PER_RANK * rank / per_row)))
    batches = DataLoader(
        cast("Any", examples),
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(seed),
        collate_fn=lambda rows: _padded(rows, pad_id),
    )
    with undisturbed(), contextlib.redirect_stdout(io.StringIO()):  # PEFT prints a line for each layer that a short batch leaves out
        initialize_lora_eva_weights(model, batches, forward_fn=_Forward(), show_progress_bar=False)


class _Forward:
    """Runs the model, and ends a search that never settles."""

    def __init__(self) -> None:
        self._num_batches = 0

    def __call__(self, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> None:
        """One batch through the layers that are watched."""
        self._num_batches += 1
        if self._num_batches > _MAX_BATCHES:
            raise DesktopFtError(
                "eva_not_settled",
                "The start from the data does not settle",
                f"method.init: eva found no steady directions in {_MAX_BATCHES} batches: the rows are too few or too short for this rank.",
                "Lower method.rank, or set method.init to default.",
            )
        model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)


def _padded(rows: Sequence[TokenisedExample], pad_id: int) -> dict[str, torch.Tensor]:
    """Rows of one length, [B, T]."""
    length = max(len(row.input_ids) for row in rows)
    return {
        "input_ids": torch.tensor([[*row.input_ids, *[pad_id] * (length - len(row.input_ids))] for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row.input_ids) + [0] * (length - len(row.input_ids)) for row in rows]),
        "labels": torch.tensor([[*row.labels, *[-100] * (length - len(row.labels))] for row in rows]),
    }
