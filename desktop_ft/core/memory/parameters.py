"""Weights, adapters, gradients and optimizer states: what a run keeps from its first step to its last, in numbers and bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from desktop_ft.core.memory.plan import Plan, linears
from desktop_ft.core.models import ModelShape

BLOCK_SIZE: Final = 64
"""Weights that share a scale in bitsandbytes' 4-bit formats."""
SCALES_PER_GROUP: Final = 256
"""Scales that share one float32 where they are quantized themselves (double quantization)."""
EIGHT_BIT_STATE_BYTES: Final = 2 + 2 * 4 / 256
"""Two 8-bit moments with a float32 scale for each 256 (bitsandbytes.optim)."""
ADAPTER_BYTES: Final = {"lora": 4, "qlora": 2, "full": 0}
"""PEFT keeps adapters in float32 beside a 16-bit base; beside a 4-bit base TRL casts them to bfloat16."""
MAGNITUDE_BYTES: Final = 4
"""DoRA's magnitudes stay in float32 in either case."""


def quantized_weight_bytes(*, double_quant: bool) -> float:
    """Bytes of a 4-bit weight with its share of the scales: 0.5159 with double quantization, 0.5625 without.

    Source: bitsandbytes 0.50 ``functional.quantize_4bit``; Dettmers et al. 2023, arXiv 2305.14314, section 3.
    """
    scales = 1 / BLOCK_SIZE + 4 / (BLOCK_SIZE * SCALES_PER_GROUP) if double_quant else 4 / BLOCK_SIZE
    return 0.5 + scales


def linear_parameters(shape: ModelShape) -> int:
    """Weights of the blocks' linear layers: those that are quantized; embedding, head, norms and experts are not."""
    return shape.num_layers * sum(linear.count * linear.inputs * linear.outputs for linear in linears(shape))


def model_bytes(plan: Plan) -> int:
    """Weights of the trained model."""
    if not plan.quantized_weight_bytes:
        return plan.num_parameters * plan.weight_bytes
    quantized = linear_parameters(plan.shape)
    return int(quantized * plan.quantized_weight_bytes) + (plan.num_parameters - quantized) * plan.weight_bytes


def expert_parameters(shape: ModelShape) -> int:
    """Weights of one sparse block's routed experts."""
    return 3 * shape.num_experts * shape.hidden_size * shape.expert_intermediate_size


def _expert_adapter_parameters(plan: Plan) -> int:
    """Of one sparse block: every expert has its own factors, of twice the rank where gate and up are one matrix, and the router has some.

    Source: `_convert_peft_config_moe` of PEFT 0.21 and its `ParamWrapper`.
    """
    if not plan.adapts_experts:
        return 0
    shape = plan.shape
    hidden, width = shape.hidden_size, shape.expert_intermediate_size
    experts = shape.num_experts * plan.rank * (2 * (hidden + 2 * width) + width + hidden)
    return experts + plan.rank * (hidden + shape.num_experts)


def adapter_parameters(plan: Plan) -> int:
    """Weights of one adapter: R * (in + out) for each target, and for DoRA one magnitude for each output."""
    targets = set(plan.targets)
    per_layer = sum(linear.count * plan.rank * (linear.inputs + linear.outputs) for linear in linears(plan.shape) if linear.name in targets)
    return plan.shape.num_layers * per_layer + plan.shape.num_sparse_layers * _expert_adapter_parameters(plan) + _magnitudes(plan)


def _magnitudes(plan: Plan) -> int:
    if not plan.use_dora:
        return 0
    per_layer = sum(linear.count * linear.outputs for linear in linears(plan.shape) if linear.name in plan.targets)
    return plan.shape.num_layers * per_layer


def adapter_bytes(plan: Plan) -> int:
    """Bytes of one adapter, without modules that are trained whole."""
    magnitudes = _magnitudes(plan)
    return (adapter_parameters(plan) - magnitudes) * ADAPTER_BYTES[plan.kind] + magnitudes * MAGNITUDE_BYTES


def trained_adapter_bytes(plan: Plan) -> int:
    """Everything trained beside a frozen model: adapters, and whole modules in the model's format. As much again for gradients."""
    return plan.num_trained_adapters * adapter_bytes(plan) + plan.saved_parameters * plan.weight_bytes


def trained_parameters(plan: Plan) -> int:
    """Weights that an optimizer holds states for."""
    if plan.kind != "full":
        return plan.num_trained_adapters * adapter_parameters(plan) + plan.saved_parameters
    if not plan.num_frozen_layers:
        return plan.num_parameters
    return plan.num_parameters - plan.num_frozen_layers * plan.shape.layer_parameters - plan.shape.head_parameters


SMALL_TENSOR: Final = 4096
"""bitsandbytes keeps the states of smaller tensors in 32 bit (``min_8bit_size``)."""


def _small_adapter_parameters(plan: Plan) -> int:
    """Weights in factors that are too small for 8-bit states."""
    sizes = [
        size
        for linear in linears(plan.shape)
        if linear.name in plan.targets
        for size in (plan.rank * linear.inputs, plan.rank * linear.outputs)
    ]
    return plan.shape.num_layers * sum(size for size in sizes if size < SMALL_TENSOR)


def adapter_state_bytes(plan: Plan) -> int:
    """Optimizer states of everything trained beside a frozen model."""
    if plan.optim in ("adamw_8bit", "paged_adamw_8bit"):
        # a magnitude vector and a small factor stay in 32 bit
        small = min(_small_adapter_parameters(plan), adapter_parameters(plan)) + _magnitudes(plan)
        in_8_bit = adapter_parameters(plan) - small
        own = plan.num_trained_adapters * int(8 * small + EIGHT_BIT_STATE_BYTES * in_8_bit)
        return own + optimizer_bytes(plan, plan.saved_parameters, plan.weight_bytes)
    lora = optimizer_bytes(plan, plan.num_trained_adapters * (adapter_parameters(plan) - _magnitudes(plan)), ADAPTER_BYTES[plan.kind])
    magnitudes = optimizer_bytes(plan, plan.num_trained_adapters * _magnitudes(plan), MAGNITUDE_BYTES)
    return lora + magnitudes + optimizer_bytes(plan, plan.saved_parameters, plan.weight_bytes)


def optimizer_bytes(plan: Plan, num_trainable: int, bytes_each: int) -> int:
    """States between steps; AdamW's two have the format of the weight that they belong to.

    Paged states are counted in full: they move to the host only when the device is full. Kahan summation keeps one compensation more.
    Embeddings keep 32-bit states under the 8-bit optimizers.
    """
    match plan.optim:
        case "sgd":
            return 0
        case "adafactor":
            return 4 * num_trainable // max(1, min(plan.shape.hidden_size, 4096) // 2)
        case "adamw_8bit" | "paged_adamw_8bit":
            embedding = _trained_embedding(plan, num_trainable)
            return int(EIGHT_BIT_STATE_BYTES * (num_trainable - embedding)) + 8 * embedding
        case "paged_adamw_32bit":
            return 8 * num_trainable
        case "adamw_torch" | "adamw_torch_fused":
            moments = 3 if plan.kind == "full" and plan.updates == "kahan" else 2
            return moments * bytes_each * num_trainable


def _trained_embedding(plan: Plan, num_trainable: int) -> int:
    """Weights of the embedding among those that are trained: all of full fine-tuning's, unless the lowest layers are frozen."""
    is_trained = plan.kind == "full" and not plan.num_frozen_layers
    return min(plan.shape.head_parameters, num_trainable) if is_trained else 0


def optimizer_transient_bytes(plan: Plan, num_trainable: int, bytes_each: int) -> int:
    """What the update itself needs: the unfused AdamW makes the roots of all second moments at once."""
    if plan.optim == "adamw_torch" and plan.updates != "kahan":
        return bytes_each * num_trainable
    if plan.optim == "adafactor":
        largest = max(linear.inputs * linear.outputs for linear in linears(plan.shape))
        return 8 * (max(largest, plan.shape.head_parameters) if plan.kind == "full" else plan.rank * plan.shape.intermediate_size)
    return 0


def saved_parameters(shape: ModelShape, names: Sequence[str]) -> int:
    """Weights of the modules that are trained whole, by their names as PEFT takes them."""
    sizes = {linear.name: shape.num_layers * linear.count * linear.inputs * linear.outputs for linear in linears(shape)}
    sizes |= dict.fromkeys(("embed_tokens", "lm_head"), shape.head_parameters)
    return sum(sizes.get(name.rpartition(".")[2], 0) for name in names)


def head_weights(shape: ModelShape, head: Literal["tiles", "logits", "score"]) -> int:
    """Weights that a model with this head has less than the language model: a scorer has no output layer of its own."""
    return shape.head_parameters if head == "score" and not shape.tied else 0
