"""torch's fused attention as it allocates on a graphics card.

Source: torch 2.13, aten/src/ATen/native/transformers/cuda (attention.cu, attention_backward.cu, flash_attn/flash_api.cpp).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch

_LARGEST_HEAD: Final = 256
"""Wider heads have no flash kernel."""


class _Fused(torch.autograd.Function):
    """A kernel that never makes the scores: it keeps its inputs, the output and one number a row; [B, H, T, D]."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:  # noqa: ANN401
        batch, heads, length, _ = query.shape
        out = query.new_empty((batch, length, heads, value.shape[-1])).transpose(1, 2)
        log_sum = query.new_empty((batch, heads, length), dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, log_sum, bias)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        query, key, value, out, log_sum, _ = ctx.saved_tensors
        grad = grads[0] if grads[0].stride(-1) == 1 else grads[0].contiguous()
        grad_query = torch.empty_like(query)
        grad_key, grad_value = torch.empty_like(key), torch.empty_like(value)
        delta = torch.empty_like(log_sum)
        sums = query.new_empty(query.shape, dtype=torch.float32)  # gradients of the queries are added up in float32
        spread: tuple[torch.Tensor, ...] = ()
        if key.shape[1] != query.shape[1]:  # the flash kernel makes keys' gradients for every head, then adds up groups
            batch, _, keys, width = key.shape
            spread = tuple(query.new_empty((batch, query.shape[1], keys, width)) for _ in range(2))
        del grad, delta, sums, spread, out
        return grad_query, grad_key, grad_value, None


def fused_attention(*, has_flash: bool) -> Callable[..., torch.Tensor]:
    """`torch.nn.functional.scaled_dot_product_attention` on a card.

    Args:
        has_flash: Whether a kernel takes fewer heads of keys than of queries; otherwise all scores are made.
    """

    def attention(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            query, key, value = (part.to(torch.get_autocast_dtype("cpu")) for part in (query, key, value))
        is_grouped = key.shape[1] != query.shape[1]
        if (is_grouped and not has_flash) or query.shape[-1] > _LARGEST_HEAD:
            function: Any = torch.ops.aten._scaled_dot_product_attention_math
            found = function(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa or is_grouped)
            return found[0]
        return _Fused.apply(query, key, value, _bias(query, attn_mask))  # pyright: ignore[reportReturnType] # torch types it as Any

    return attention


def _bias(query: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor | None:
    """A mask of truth values becomes one that is added, in the queries' format (convert_boolean_attn_mask)."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.empty(mask.shape, dtype=query.dtype, device=query.device)
