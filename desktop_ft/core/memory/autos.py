"""The settings whose ``auto`` depends on what fits: number format, attention, micro-batch, checkpointing, optimizer, packing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.combinations import least_micro_batch
from desktop_ft.core.config.methods import WeightUpdates, weight_updates
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.device_check import PAGED_DEVICES
from desktop_ft.core.memory.changes import changed_config
from desktop_ft.core.memory.objectives import rows_per_example, sequence_length, with_objective
from desktop_ft.core.memory.parameters import quantized_weight_bytes, saved_parameters
from desktop_ft.core.memory.plan import Dtype, Optimizer, Plan, adapts_experts, has_flash_attention, has_triton, target_names
from desktop_ft.core.memory.terms import GIB, Verdict, predict, verdict
from desktop_ft.core.models import ModelInfo
from desktop_ft.core.stages import last_stage_config

TRL_MICRO_BATCH_SIZE: Final = 8
"""transformers' default of ``per_device_train_batch_size``, which TRL keeps."""
LARGEST_NUM_ROWS: Final = 8
"""More rows than this hardly make a step faster on one device and only waste padding on short ones."""

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
    weight_updates: WeightUpdates | None = None
    """Of full fine-tuning; None where the weights are frozen."""

    def settings(self) -> dict[str, object]:
        """The choices by dotted path."""
        updates = {} if self.weight_updates is None else {"method.weight_updates": self.weight_updates}
        return {
            "model.dtype": self.dtype,
            "model.attention": self.attention,
            "data.packing": self.packing,
            "training.micro_batch_size": self.micro_batch_size,
            "training.activation_checkpointing": self.activation_checkpointing,
            "training.optim": self.optim,
            **updates,
        }


def choose(config: RunConfig, model: ModelInfo, device: DeviceFacts, longest_example: int | None = None) -> Choices:
    """Decide every ``auto`` that memory has a say in.

    Args:
        config: As the person stated it; of ``rlhf`` the policy's stage is decided.
        model: Its shape may be unknown; then the smallest micro-batch is chosen.
        device: What it will train on, with what is free now.
        longest_example: Tokens of the longest example, where known; without it the worst case is ``data.max_length``.
    """
    config = last_stage_config(config)
    reasons: dict[str, str] = {}
    attention, packing, optim = config.model.attention, config.data.packing, config.training.optim
    if attention == "auto":
        attention = "sdpa"
        reasons["model.attention"] = "PyTorch's fused attention: the fastest that needs nothing installed."
        if model.shape is not None and model.shape.family.soft_capped:
            attention = "eager"
            reasons["model.attention"] = "Plain attention: this model caps its scores with a tanh, which fused attention lacks."
    if packing == "auto":
        packing = False
        reasons["data.packing"] = "Off, as in TRL: with this attention, packed rows would need a mask as large as their length squared."
        if config.objective.kind not in ("sft", "pretrain"):
            reasons["data.packing"] = "Off: whole answers are compared or sampled."
    dtype = config.model.dtype
    if dtype == "auto":
        dtype, reasons["model.dtype"] = _auto_dtype(config, device)
    updates, why = _updates(config, dtype)
    if why and config.method.weight_updates == "auto":
        reasons["method.weight_updates"] = why
    fused: Optimizer = "adamw_torch_fused" if optim == "auto" else optim
    base = Choices(dtype, attention, packing, 1, activation_checkpointing=True, optim=fused, reasons=reasons, weight_updates=updates)
    chosen, found = _fit(config, model, device, base, longest_example)
    if optim == "auto":
        reasons["training.optim"] = _optim_reason(chosen, device)
    if config.training.micro_batch_size == "auto":
        reasons["training.micro_batch_size"] = _micro_reason(chosen, config, device, found)
    if config.training.activation_checkpointing == "auto":
        reasons["training.activation_checkpointing"] = _checkpointing_reason(found, checkpointing=chosen.activation_checkpointing)
    return replace(chosen, reasons=reasons)


def make_plan(
    config: RunConfig,
    model: ModelInfo,
    device: DeviceFacts,
    choices: Choices,
    longest_example: int | None = None,
    *,
    equal_rows: bool = False,
) -> Plan:
    """The run as the memory sees it; packed rows are one row, as TRL lays them out without padding.

    Raises:
        DesktopFtError: ``model_architecture_unknown``, where the model's shape is not known.
    """
    config = last_stage_config(config)
    shape = model.known_shape()
    method = config.method
    is_full = method.kind == "full"
    saved = () if is_full else _saved_modules(config, model)
    rows = choices.micro_batch_size * rows_per_example(config.objective.kind)
    plan = Plan(
        shape=shape,
        num_parameters=model.num_parameters,
        kind=method.kind,
        dtype=choices.dtype,
        attention=choices.attention,
        micro_batch_size=1 if choices.packing else rows,
        sequence_length=rows * config.data.max_length if choices.packing else sequence_length(config, longest_example),
        checkpointing=choices.activation_checkpointing,
        equal_rows=equal_rows and config.objective.kind in ("sft", "pretrain"),
        is_packed=choices.packing,
        checkpoint_every=config.training.checkpoint_every_n_layers,
        offloads=config.training.offload_checkpoints and choices.activation_checkpointing,
        optim=choices.optim,
        accumulates=config.training.global_batch_size > choices.micro_batch_size,
        has_triton=has_triton(device),
        has_flash_attention=has_flash_attention(device, choices.dtype),
        rank=method.rank,
        dropout=0.0 if is_full else method.dropout,
        use_dora=method.use_dora and not is_full,
        lean_dora=config.training.kernels != "none",
        targets=() if is_full else target_names(config, shape),
        adapts_experts=adapts_experts(config, shape),
        quantized_weight_bytes=quantized_weight_bytes(double_quant=method.quantization.double_quant) if method.kind == "qlora" else 0.0,
        updates=choices.weight_updates or "plain",
        num_frozen_layers=min(method.num_frozen_layers, shape.num_layers) if is_full else 0,
        saved_parameters=saved_parameters(shape, saved),
        trains_head=any(name.rpartition(".")[2] == "lm_head" for name in saved),
    )
    return with_objective(plan, config)


def _saved_modules(config: RunConfig, model: ModelInfo) -> tuple[str, ...]:
    """What is trained whole beside the adapter; tokens that are added bring the embedding and a head of its own."""
    grown = () if not config.model.added_tokens else ("embed_tokens",) if model.known_shape().tied else ("embed_tokens", "lm_head")
    return tuple(dict.fromkeys((*config.method.modules_to_save, *grown)))


def _updates(config: RunConfig, dtype: Dtype) -> tuple[WeightUpdates | None, str]:
    if config.method.kind != "full":
        return None, ""
    return weight_updates(changed_config(config, {"model.dtype": dtype}))


def _auto_dtype(config: RunConfig, device: DeviceFacts) -> tuple[Dtype, str]:
    if device.kind == "cpu":
        return "float32", "A CPU computes float32 exactly and needs no other format."
    if device.supports_bf16:
        return "bfloat16", f"{device.name} computes in bfloat16: half the memory of float32 and the same range of numbers."
    if config.method.kind == "full":
        return "float32", f"{device.name} has no bfloat16, and float16 weights cannot be trained themselves."
    return "float16", f"{device.name} has no bfloat16; the frozen weights are kept in float16, the adapter in float32."


def _fit(config: RunConfig, model: ModelInfo, device: DeviceFacts, base: Choices, longest_example: int | None) -> tuple[Choices, Found]:
    """Micro-batch and checkpointing together: the first pair that surely fits, else that just fits, else the smallest.

    Only where nothing fits with plain AdamW, the same is tried with the paged 8-bit one.
    """
    pairs = _pairs(config)
    smallest: Choices | None = None
    for optim in _optimizers(config, device, base):
        candidates = [replace(base, micro_batch_size=micro, activation_checkpointing=switch, optim=optim) for micro, switch in pairs]
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
        if best is not None:
            return best
    assert smallest is not None
    return smallest, "does_not_fit"


def _optimizers(config: RunConfig, device: DeviceFacts, base: Choices) -> Iterator[Optimizer]:
    yield base.optim
    if config.training.optim == "auto" and base.weight_updates != "kahan" and device.kind in PAGED_DEVICES:
        yield "paged_adamw_8bit"


def _pairs(config: RunConfig) -> list[tuple[int, bool]]:
    """Pairs of micro-batch and checkpointing to try, the fastest first: no recomputation, then the larger batch.

    One example at a time comes last: it leaves a GPU waiting for its host longer than recomputation costs.
    """
    training = config.training
    stock = training.kernels == "none"
    sizes = _micro_batch_sizes(config)
    sizes = sizes[:1] if stock else sizes
    switches = [True] if stock else [False, True]
    if training.micro_batch_size != "auto":
        sizes = [training.micro_batch_size]
    if training.activation_checkpointing != "auto":
        switches = [training.activation_checkpointing]
    return sorted(((size, switch) for switch in switches for size in sizes), key=lambda pair: (pair[0] == 1, pair[1], -pair[0]))


def _micro_batch_sizes(config: RunConfig) -> list[int]:
    """Divisors of the global batch that may be tried, the largest first; the smallest that there is where all are too large."""
    whole, least = config.training.global_batch_size, least_micro_batch(config)
    stock = config.training.kernels == "none"
    largest = TRL_MICRO_BATCH_SIZE if stock else LARGEST_NUM_ROWS // rows_per_example(config.objective.kind)
    divisors = [size for size in range(least, whole + 1) if whole % size == 0]
    return [size for size in reversed(divisors) if size <= largest] or divisors[:1]


def _optim_reason(chosen: Choices, device: DeviceFacts) -> str:
    if chosen.weight_updates == "kahan":
        return "AdamW with Kahan summation, as the weights are updated in bfloat16."
    if chosen.optim == "paged_adamw_8bit":
        return f"Paged 8-bit AdamW: with plain AdamW's states the run would not fit into {device.free_bytes / GIB:.1f} GiB."
    return "Fused AdamW, the default of transformers."


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
    largest = LARGEST_NUM_ROWS // rows_per_example(config.objective.kind)
    return f"The largest divisor of {whole}, up to {largest}, that {room} with activation checkpointing {switch}."


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
