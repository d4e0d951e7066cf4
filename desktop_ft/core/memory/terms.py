"""From a step's peak to what the device shows for the process: context, allocator, and how sure each part is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.memory.formulas import Phase, phases
from desktop_ft.core.memory.kept import saved_per_token
from desktop_ft.core.memory.plan import Plan

TermKey = Literal["cuda_context", "weights", "adapter", "gradients", "optimizer", "activations", "logits", "buffers", "auxiliary_models"]
Verdict = Literal["fits", "tight", "does_not_fit"]
TERM_KEYS: Final[tuple[TermKey, ...]] = (
    "cuda_context", "weights", "adapter", "gradients", "optimizer", "activations", "logits", "buffers", "auxiliary_models",
)  # fmt: skip
MIB: Final = 1 << 20
GIB: Final = 1 << 30

CONTEXT_BYTES: Final[Mapping[str, int]] = {"H100": 768 * MIB, "H200": 768 * MIB, "Tesla T4": 141 * MIB}
"""What NVML shows for a process beyond torch's reserved memory, measured on the card named (H200: as the H100, same generation)."""
DEFAULT_CONTEXT_BYTES: Final = 614 * MIB
"""0.6 GiB: upper end of the contexts seen on cards that are not in the table."""
CPU_PROCESS_BYTES: Final = 600 * MIB
"""Python with torch, transformers, peft and trl imported (480 MiB), the trainer made and a first step done."""
CPU_HOLES_SHARE: Final = 0.7
CPU_HEAP_LIMIT_BYTES: Final = 32 * MIB
"""On a CPU the C library keeps what a block's tensors leave behind, in proportion to a block's activations and with or without
checkpointing: measured on a 135M model at 512 and 2048 tokens (glibc). Tensors above its limit go back to the system at once."""
ALLOCATOR_SLACK_BYTES: Final = 400 * MIB
ALLOCATOR_SLACK_SHARE: Final = 0.2
"""Reserved beyond allocated: 0.37 to 0.6 GiB in five stock runs on an H100 (1B and 8B; LoRA, DoRA, full); a share of what moves
where less than that moves."""

UNCERTAINTY: Final[Mapping[str, float]] = {
    "cuda_context": 0.25, "weights": 0.01, "adapter": 0.01, "gradients": 0.02, "optimizer": 0.02,
    "activations": 0.15, "logits": 0.2, "buffers": 0.5, "auxiliary_models": 0.05,
}  # fmt: skip
"""Relative, for each part: weights and states are counted, what the allocator keeps is not."""
CPU_UNCERTAINTY: Final = 0.2
"""On a CPU the peak of the resident memory depends on the C library's allocator too."""


@dataclass(frozen=True)
class MemoryTerm:
    """One part of the memory at the peak."""

    key: TermKey
    num_bytes: int


@dataclass(frozen=True)
class Prediction:
    """Memory of one plan on one device.

    Attributes:
        terms: In the order of `TERM_KEYS`, those of 0 bytes too.
        low_bytes: The peak is hardly below this.
        high_bytes: The peak is hardly above this.
        phase: The moment that needs most.
        phases: What the process would need at each moment, were that the peak.
    """

    terms: tuple[MemoryTerm, ...]
    total_bytes: int
    low_bytes: int
    high_bytes: int
    phase: str
    phases: Mapping[str, int]


def predict(plan: Plan, device: DeviceFacts, *, context_bytes: int | None = None) -> Prediction:
    """Peak memory of a run's process as nvidia-smi (on a CPU: the system monitor) shows it.

    Args:
        plan: The run.
        device: What it trains on.
        context_bytes: The device's own share of a process where this machine measured it; None: by the table of cards.
    """
    context = known_context_bytes(device) if context_bytes is None else context_bytes
    moments = phases(plan)
    phase = max(moments, key=lambda moment: moment.total)
    values: dict[TermKey, int] = {
        "cuda_context": context,
        "weights": phase.weights,
        "adapter": phase.adapter,
        "gradients": phase.gradients,
        "optimizer": phase.optimizer,
        "activations": phase.activations,
        "logits": phase.logits,
        "buffers": _buffer_bytes(phase, plan, device),
        "auxiliary_models": phase.auxiliary,
    }
    totals = {moment.name: moment.total + context + _buffer_bytes(moment, plan, device) for moment in moments}
    terms = tuple(MemoryTerm(key, values[key]) for key in TERM_KEYS)
    total = sum(values.values())
    spread = _spread(values, plan, device)
    return Prediction(terms, total, max(0, total - spread), total + spread, phase.name, totals)


def verdict(prediction: Prediction, free_bytes: int) -> Verdict:
    """Whether a run fits into what is free: surely, by expectation, or not."""
    if prediction.high_bytes <= free_bytes:
        return "fits"
    return "tight" if prediction.total_bytes <= free_bytes else "does_not_fit"


def known_context_bytes(device: DeviceFacts) -> int:
    """The device's own share of a process: context, kernels, libraries; nothing where there is no accelerator."""
    if device.kind == "cpu":
        return 0
    return next((num_bytes for name, num_bytes in CONTEXT_BYTES.items() if name in device.name), DEFAULT_CONTEXT_BYTES)


def _buffer_bytes(phase: Phase, plan: Plan, device: DeviceFacts) -> int:
    if device.kind == "cpu":
        return CPU_PROCESS_BYTES + _cpu_holes_bytes(plan)
    return min(ALLOCATOR_SLACK_BYTES, int(ALLOCATOR_SLACK_SHARE * phase.moving)) + cublas_workspace_bytes(device)


def _cpu_holes_bytes(plan: Plan) -> int:
    """What the heap keeps of tensors that were freed, over all blocks."""
    shape = plan.shape
    widest = plan.num_tokens * shape.active_intermediate_size * plan.weight_bytes
    mlp = 4 * plan.weight_bytes * shape.active_intermediate_size
    rest = saved_per_token(plan) - mlp
    narrow = plan.num_tokens * shape.hidden_size * plan.weight_bytes
    kept = (mlp if widest <= CPU_HEAP_LIMIT_BYTES else 0) + (rest if narrow <= CPU_HEAP_LIMIT_BYTES else 0)
    return int(CPU_HOLES_SHARE * plan.num_tokens * shape.num_layers * kept)


def cublas_workspace_bytes(device: DeviceFacts) -> int:
    """Workspaces of the main and of autograd's thread: 32 MiB each on Hopper, 8.125 MiB each elsewhere (torch's defaults)."""
    hopper = any(name in device.name for name in ("H100", "H200", "GH200"))
    return 2 * (32 * MIB if hopper else 8_519_680)


def _spread(values: Mapping[TermKey, int], plan: Plan, device: DeviceFacts) -> int:
    by_parts = sum(UNCERTAINTY[key] * num_bytes for key, num_bytes in values.items())
    if device.kind == "cpu":
        return int(max(by_parts, CPU_UNCERTAINTY * sum(values.values())))
    derived_only = (
        plan.shape.num_experts > 0
        or plan.attention == "eager"
        or plan.makes_scores
        or plan.is_derived
        or plan.is_mixed
        or (plan.use_dora and not plan.checkpointing)
    )
    return int(by_parts + (0.15 * (values["activations"] + values["logits"]) if derived_only else 0))
