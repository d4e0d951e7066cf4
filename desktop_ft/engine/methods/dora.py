"""DoRA without dense matrices: the same layer as PEFT's, computed from its parts.

A DoRA layer scales what base and adapter give together by ``m / ||W + s B A||``, row by row. PEFT multiplies the adapter out to a matrix
as large as W (through an identity of the input's width) in every forward pass, rounds the norm to the format that is computed in, and
keeps float32 outputs. The norm needs none of that:

    ||w + s b A||^2 = ||w||^2 + 2 s (A w) . b + s^2 b (A A') b'

with w a row of W and b one of B. The first term never changes, ``A w`` is the frozen layer asked about the rows of A (R inputs beside
the thousands of a batch, and a 4-bit layer answers as it always does), and ``A A'`` is R x R. In float32 an untouched adapter changes
nothing at all, so that a model is its own reference at step 0 in bfloat16 too; PEFT's magnitudes, rounded to bfloat16, change every row
by up to 0.4 %.

Source: Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation", arXiv 2402.09353, equations 5 and 11 (the norm takes no gradient).
"""

from __future__ import annotations

from typing import cast

import torch
from peft.tuners.lora.dora import DoraLinearLayer
from peft.tuners.lora.layer import LoraLayer
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor

_LEAST_SQUARE = 1e-12
"""Rounding may take the square of a row that the adapter has cancelled below zero."""


class LeanDora(DoraLinearLayer):
    """What PEFT's layer computes, in the same place with the same parameter."""

    squares: Tensor
    """Squared norm of each row of the frozen weight, float32, [outputs]."""

    def forward(
        self,
        x: Tensor,
        *,
        lora_A: torch.nn.Linear,  # noqa: N803 - likewise
        lora_B: torch.nn.Linear,  # noqa: N803
        scaling: float,
        base_layer: torch.nn.Module,
        base_result: Tensor | None = None,
        adapter_name: str = "default",
    ) -> Tensor:
        """What is added to the base layer's output [..., outputs], in that output's format.

        Args:
            x: The layer's input [..., inputs], after dropout.
            lora_A: R x inputs.
            lora_B: outputs x R.
            scaling: Of the adapter.
            base_layer: The frozen layer.
            base_result: Its output for ``x``; None where ``x`` went through dropout, which the base's own output did not.
            adapter_name: Not needed.
        """
        if base_result is None:
            base_result = cast("Tensor", base_layer(x))
        bias = cast("Tensor | None", base_layer.bias)
        scale = self.weight / self._norm(lora_A.weight, lora_B.weight, scaling, base_layer, base_result.dtype)
        plain = base_result if bias is None else base_result - bias
        change = cast("Tensor", lora_B(lora_A(x)))
        return plain * (scale - 1).to(plain.dtype) + change * (scale * scaling).to(change.dtype)

    @torch.no_grad()
    def _norm(self, first: Tensor, second: Tensor, scaling: float, base_layer: torch.nn.Module, dtype: torch.dtype) -> Tensor:
        """``||W + s B A||`` of each row, float32, [outputs]."""
        answers = cast("Tensor", base_layer(first.to(dtype)))
        bias = cast("Tensor | None", base_layer.bias)
        with torch.autocast(first.device.type, enabled=False):
            crossed = (answers if bias is None else answers - bias).float().T
            first, second = first.float(), second.float()
            both = (second * (2.0 * scaling * crossed + scaling**2 * (second @ (first @ first.T)))).sum(dim=1)
            return (self.squares + both).clamp_min(_LEAST_SQUARE).sqrt()


def make_lean(model: torch.nn.Module) -> int:
    """Let every DoRA layer of linear modules work without dense matrices; their names and parameters stay.

    Args:
        model: With all its adapters, its base as it will be trained on: a start that changes the base comes before.

    Returns:
        Layers changed.
    """
    num_changed = 0
    for module in model.modules():
        if not isinstance(module, LoraLayer):
            continue
        layers = {name: layer for name, layer in module.lora_magnitude_vector.items() if type(layer) is DoraLinearLayer}
        if layers:
            is_transposed = any(layer.fan_in_fan_out for layer in layers.values())
            squares = _row_squares(module.get_base_layer(), is_transposed=is_transposed)
            for name, layer in layers.items():
                _lighten(layer, squares, cast("torch.nn.Linear", module.lora_B[name]).weight)
        num_changed += len(layers)
    return num_changed


@torch.no_grad()
def _lighten(layer: DoraLinearLayer, squares: Tensor, second: Tensor) -> None:
    """One layer; where B is zero still, the norm itself becomes the magnitude, which PEFT rounds to the base's format."""
    layer.__class__ = LeanDora
    cast("LeanDora", layer).squares = squares
    layer.weight.copy_(torch.where(second.any(), layer.weight, squares.sqrt()))


def _row_squares(base_layer: torch.nn.Module, *, is_transposed: bool) -> Tensor:
    weight = cast("Tensor", dequantize_module_weight(base_layer)).detach()
    return torch.linalg.vector_norm(weight, dim=0 if is_transposed else 1, dtype=torch.float32).square()
