"""The settings whose ``auto`` depends on what fits: number format, attention, micro-batch, checkpointing, optimizer, packing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.memory.plan import Dtype, Optimizer, Plan, has_flash_attention, has_triton, target_names
from desktop_ft.core.memory.terms import GIB, Verdict, predict, verdict
from desktop_ft.core.models import ModelInfo

TRL_MICRO_BATCH_SIZE: Final = 8
"""transformers' default of ``per_device_train_batch_size``, which TRL keeps."""
LARGEST_MICRO_BATCH_SIZE: Final = 8
"""More than this hardly makes a step faster on one device and only wastes padding on short rows."""

Found = Verdict | Literal["stock", "unknown"]
"""How a micro-batch was found: by what fits, or as TRL has it, or without an estimate."""


@dataclass(frozen=True)
class Choices:
    """What to train with, and why where the program chose; ``reasons`` has the paths that were ``auto``."""

    dtype: Dtype
    attention: Literal["sdpa", "eager"]
    packing: bool
    micro_batch_size: int
    activation_checkpointing: bool
    optim: Optimizer
    reasons: Mapping[str, str]


def choose(config: RunConfig, model: ModelInfo, device: DeviceFacts, longest_example: int | None = None) -> Choices:
    """Decide every ``auto`` that memory has a say in.

    Args:
        config: As the person stated it.
        model: Its shape may be unknown; then the smallest micro-batch is chosen.
        device: What it will train on, with what is free now.
        longest_example: Tokens of the longest example, where known; without it the worst case is ``data.max_length``.
    """
    reasons: dict[str, str] = {}
    attention, packing, optim = config.model.attention, config.data.packing, config.training.optim
    if attention == "auto":
        attention = "sdpa"
        reasons["model.attention"] = "PyTorch's fused attention: the fastest that needs nothing installed."
    if packing == "auto":
        packing = False
        reasons["data.packing"] = "Off, as in TRL: with this attention, packed rows would need a mask as large as their length squared."
    if optim == "auto":
        optim = "adamw_torch_fused"
        reasons["training.optim"] = "Fused AdamW, the default of transformers."
    dtype = config.model.dtype
    if dtype == "auto":
        dtype, reasons["model.dtype"] = _auto_dtype(config, device)
    base = Choices(dtype, attention, packing, 1, activation_checkpointing=True, optim=optim, reasons=reasons)
    chosen, found = _fit(config, model, device, base, longest_example)
    if config.training.micro_batch_size == "auto":
        reasons["training.micro_batch_size"] = _micro_reason(chosen, config, device, found)
    if config.training.activation_checkpointing == "auto":
        reasons["training.activation_checkpointing"] = _checkpointing_reason(found, checkpointing=chosen.activation_checkpointing)
    return replace(chosen, reasons=reasons)


def make_plan(config: RunConfig, model: ModelInfo, device: DeviceFacts, choices: Choices, longest_example: int | None = None) -> Plan:
    """The run as the memory sees it.

    Raises:
        DesktopFtError: ``model_architecture_unknown``, where the model's shape is not known.
    """
    shape = model.known_shape()
    method = config.method
    return Plan(
        shape=shape,
        num_parameters=model.num_parameters,
        kind=method.kind,
        dtype=choices.dtype,
        attention=choices.attention,
        micro_batch_size=choices.micro_batch_size,
        sequence_length=sequence_length(config, longest_example),
        checkpointing=choices.activation_checkpointing,
        optim=choices.optim,
        accumulates=config.training.global_batch_size > choices.micro_batch_size,
        has_triton=has_triton(device),
        has_flash_attention=has_flash_attention(device, choices.dtype),
        rank=method.rank,
        dropout=method.dropout if method.kind == "lora" else 0.0,
        use_dora=method.use_dora and method.kind == "lora",
        targets=target_names(config, shape) if method.kind == "lora" else (),
    )


def sequence_length(config: RunConfig, longest_example: int | None) -> int:
    """Tokens of the longest row that training will see."""
    return max(1, min(config.data.max_length, longest_example or config.data.max_length))


def _auto_dtype(config: RunConfig, device: DeviceFacts) -> tuple[Dtype, str]:
    if device.kind == "cpu":
        return "float32", "A CPU computes float32 exactly and needs no other format."
    if device.supports_bf16:
        return "bfloat16", f"{device.name} computes in bfloat16: half the memory of float32 and the same range of numbers."
    if config.method.kind == "full":
        return "float32", f"{device.name} has no bfloat16, and float16 weights cannot be trained themselves."
    return "float16", f"{device.name} has no bfloat16; the frozen weights are kept in float16, the adapter in float32."


def _fit(config: RunConfig, model: ModelInfo, device: DeviceFacts, base: Choices, longest_example: int | None) -> tuple[Choices, Found]:
    """Micro-batch and checkpointing together: the first pair that surely fits, else that just fits, else the smallest."""
    pairs = _pairs(config)
    candidates = [replace(base, micro_batch_size=micro, activation_checkpointing=checkpointing) for micro, checkpointing in pairs]
    smallest = min(candidates, key=lambda choices: (choices.micro_batch_size, not choices.activation_checkpointing))
    if config.training.kernels == "none":
        return candidates[0], "stock"
    if model.shape is None:
        return smallest, "unknown"
    judged: list[tuple[Choices, Found]] = [
        (choices, verdict(predict(make_plan(config, model, device, choices, longest_example), device), device.free_bytes))
        for choices in candidates
    ]
    best = next((pair for wanted in ("fits", "tight") for pair in judged if pair[1] == wanted), None)
    return best or (smallest, "does_not_fit")


def _pairs(config: RunConfig) -> list[tuple[int, bool]]:
    """Pairs of micro-batch and checkpointing to try, the fastest first: no recomputation, then the larger batch.

    One example at a time comes last: it leaves a GPU waiting for its host longer than recomputation costs.
    """
    training = config.training
    stock = training.kernels == "none"
    largest = TRL_MICRO_BATCH_SIZE if stock else LARGEST_MICRO_BATCH_SIZE
    sizes = [size for size in range(largest, 0, -1) if training.global_batch_size % size == 0]
    sizes = sizes[:1] if stock else sizes
    switches = [True] if stock else [False, True]
    if training.micro_batch_size != "auto":
        sizes = [training.micro_batch_size]
    if training.activation_checkpointing != "auto":
        switches = [training.activation_checkpointing]
    return sorted(((size, switch) for switch in switches for size in sizes), key=lambda pair: (pair[0] == 1, pair[1], -pair[0]))


def _micro_reason(chosen: Choices, config: RunConfig, device: DeviceFacts, found: Found) -> str:
    whole, free = config.training.global_batch_size, f"{device.free_bytes / GIB:.1f} GiB"
    if found == "stock":
        same = chosen.micro_batch_size == TRL_MICRO_BATCH_SIZE
        return f"TRL's default{'' if same else f' of {TRL_MICRO_BATCH_SIZE}, lowered to a divisor of the {whole} examples of a step'}."
    if found == "unknown":
        return "The smallest: the memory of this architecture cannot be predicted."
    if found == "does_not_fit":
        return f"The smallest; even so the run does not fit into the {free} that are free."
    room = f"{'fits' if found == 'fits' else 'just fits'} into {free}"
    switch = "on" if chosen.activation_checkpointing else "off"
    return f"The largest divisor of {whole}, up to {LARGEST_MICRO_BATCH_SIZE}, that {room} with activation checkpointing {switch}."


def _checkpointing_reason(found: Found, *, checkpointing: bool) -> str:
    if found == "stock":
        return "On, TRL's default."
    if found == "unknown":
        return "On, as the memory of this architecture cannot be predicted."
    if not checkpointing:
        return "Off: the run fits without, and each step is about a quarter faster."
    return (
        "On: it saves most, though the run does not fit even so."
        if found == "does_not_fit"
        else "On: without it this micro-batch would not fit."
    )
