"""The settings whose ``auto`` depends on what fits: number format, attention, micro-batch, checkpointing, optimizer, packing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.memory.plan import Dtype, Optimizer, Plan, target_names
from desktop_ft.core.memory.terms import GIB, predict, verdict
from desktop_ft.core.models import ModelInfo

TRL_MICRO_BATCH_SIZE: Final = 8
"""transformers' default of ``per_device_train_batch_size``, which TRL keeps."""
LARGEST_MICRO_BATCH_SIZE: Final = 8
"""More than this hardly makes a step faster on one device and only wastes padding on short rows."""


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
        longest_example: Tokens of the longest example, where known; without it the worst case is ``data.max_length``.
    """
    reasons: dict[str, str] = {}
    training = config.training
    dtype = _dtype(config, device, reasons)
    attention = config.model.attention
    if attention == "auto":
        attention = "sdpa"
        reasons["model.attention"] = "PyTorch's fused attention: the fastest that needs nothing installed."
    packing = config.data.packing
    if packing == "auto":
        packing = False
        reasons["data.packing"] = "Off, as in TRL: with this attention, packed rows would need a mask as large as their length squared."
    optim: Optimizer = "adamw_torch_fused"
    if training.optim == "auto":
        reasons["training.optim"] = "Fused AdamW, the default of transformers."
    else:
        optim = training.optim
    micro, checkpointing = _fit(config, model, device, dtype, longest_example, reasons)
    return Choices(dtype, attention, packing, micro, checkpointing, optim, reasons)


def make_plan(config: RunConfig, model: ModelInfo, choices: Choices, longest_example: int | None = None) -> Plan:
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
        rank=method.rank,
        dropout=method.dropout if method.kind == "lora" else 0.0,
        use_dora=method.use_dora and method.kind == "lora",
        targets=target_names(config, shape) if method.kind == "lora" else (),
    )


def sequence_length(config: RunConfig, longest_example: int | None) -> int:
    """Tokens of the longest row that training will see."""
    return max(1, min(config.data.max_length, longest_example or config.data.max_length))


def _dtype(config: RunConfig, device: DeviceFacts, reasons: dict[str, str]) -> Dtype:
    if config.model.dtype != "auto":
        return config.model.dtype
    dtype, reason = _auto_dtype(config, device)
    reasons["model.dtype"] = reason
    return dtype


def _auto_dtype(config: RunConfig, device: DeviceFacts) -> tuple[Dtype, str]:
    if device.kind == "cpu":
        return "float32", "A CPU computes float32 exactly and needs no other format."
    if device.supports_bf16:
        return "bfloat16", f"{device.name} computes in bfloat16: half the memory of float32 and the same range of numbers."
    if config.method.kind == "full":
        return "float32", f"{device.name} has no bfloat16, and float16 weights cannot be trained themselves."
    return "float16", f"{device.name} has no bfloat16; the frozen weights are kept in float16, the adapter in float32."


def _fit(
    config: RunConfig, model: ModelInfo, device: DeviceFacts, dtype: Dtype, longest_example: int | None, reasons: dict[str, str]
) -> tuple[int, bool]:
    """Micro-batch and checkpointing together: the fastest pair that fits."""
    stated_micro, stated_checkpointing = config.training.micro_batch_size, config.training.activation_checkpointing
    candidates = list(_candidates(config))
    if len(candidates) == 1:
        micro, checkpointing = candidates[0]
        why = "TRL's default" if config.training.kernels == "none" else "no other choice"
        found = "stated"
    elif model.shape is None:
        micro, checkpointing = min(candidates, key=lambda pair: (pair[0], not pair[1]))
        why, found = "the memory of this architecture cannot be predicted, so the smallest", "unknown"
    else:
        micro, checkpointing, found = _fastest_that_fits(candidates, config, model, device, dtype, longest_example)
        why = ""
    if stated_micro == "auto":
        reasons["training.micro_batch_size"] = _micro_reason(micro, config, device, found, why)
    if stated_checkpointing == "auto":
        reasons["training.activation_checkpointing"] = _checkpointing_reason(config, checkpointing=checkpointing, found=found, why=why)
    return micro, checkpointing


def _candidates(config: RunConfig) -> list[tuple[int, bool]]:
    """Pairs of micro-batch and checkpointing to try, the fastest first: no recomputation, then the larger batch.

    One example at a time comes last: it leaves a GPU waiting for its host longer than recomputation costs.
    """
    training = config.training
    divisors = [size for size in range(LARGEST_MICRO_BATCH_SIZE, 0, -1) if training.global_batch_size % size == 0]
    stock = training.kernels == "none"
    if training.micro_batch_size != "auto":
        sizes = [training.micro_batch_size]
    else:
        sizes = divisors[:1] if stock else divisors
    if training.activation_checkpointing != "auto":
        switches = [training.activation_checkpointing]
    else:
        switches = [True] if stock else [False, True]
    return sorted(((size, switch) for switch in switches for size in sizes), key=lambda pair: (pair[0] == 1, pair[1], -pair[0]))


def _fastest_that_fits(
    candidates: list[tuple[int, bool]],
    config: RunConfig,
    model: ModelInfo,
    device: DeviceFacts,
    dtype: Dtype,
    longest_example: int | None,
) -> tuple[int, bool, str]:
    """The first pair that surely fits, else the first that is expected to, else the smallest."""
    attention: Literal["sdpa", "eager"] = "eager" if config.model.attention == "eager" else "sdpa"
    optim = cast("Optimizer", "adamw_torch_fused" if config.training.optim == "auto" else config.training.optim)
    judged: list[tuple[int, bool, str]] = []
    for micro, checkpointing in candidates:
        choices = Choices(dtype, attention, packing=False, micro_batch_size=micro, activation_checkpointing=checkpointing, optim=optim, reasons={})
        prediction = predict(make_plan(config, model, choices, longest_example), device)
        judged.append((micro, checkpointing, verdict(prediction, device.free_bytes)))
    for wanted in ("fits", "tight"):
        found = next((pair for pair in judged if pair[2] == wanted), None)
        if found is not None:
            return found
    return min(judged, key=lambda pair: (pair[0], not pair[1]))


def _micro_reason(micro: int, config: RunConfig, device: DeviceFacts, found: str, why: str) -> str:
    whole = config.training.global_batch_size
    if config.training.kernels == "none":
        return f"TRL's default of {TRL_MICRO_BATCH_SIZE}, lowered to a divisor of the {whole} examples of a step." if micro != 8 else "TRL's default."
    if found == "does_not_fit":
        return f"The smallest; even so the run does not fit into the {device.free_bytes / GIB:.1f} GiB that are free."
    if why:
        return f"{micro}: {why}."
    sure = "fits" if found == "fits" else "just fits"
    return f"The largest divisor of {whole}, up to {LARGEST_MICRO_BATCH_SIZE}, that {sure} into {device.free_bytes / GIB:.1f} GiB."


def _checkpointing_reason(config: RunConfig, *, checkpointing: bool, found: str, why: str) -> str:
    if config.training.kernels == "none":
        return "On, TRL's default."
    if why:
        return f"{'On' if checkpointing else 'Off'}: {why}."
    if not checkpointing:
        return "Off: the run fits without, and each step is about a quarter faster."
    return "On: without it the run would not fit." if found != "does_not_fit" else "On: it saves most, though the run does not fit even so."
