"""What a training step keeps in memory, as plain facts: the run's settings with nothing left to decide."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.models import ModelShape

Dtype = Literal["bfloat16", "float16", "float32"]
Optimizer = Literal["adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd"]

BYTES_OF: Final[dict[str, int]] = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True)
class Plan:
    """One run as the memory sees it.

    Attributes:
        num_parameters: All weights of the model; the files count, not the formula.
        sequence_length: Tokens of the longest row of a micro-batch.
        accumulates: Whether gradients of earlier micro-batches stay while the next one runs.
        has_triton: Whether TRL's head runs as a Triton kernel; else as torch's operators, with many more copies.
        has_flash_attention: Whether torch's fused attention has a kernel for this device and format; else, with fewer heads of
            keys than of queries, it works through whole matrices of scores.
        targets: Names of the linear layers with an adapter (LoRA).
    """

    shape: ModelShape
    num_parameters: int
    kind: Literal["lora", "qlora", "full"]
    dtype: Dtype
    attention: Literal["sdpa", "eager"]
    micro_batch_size: int
    sequence_length: int
    checkpointing: bool
    optim: Optimizer
    accumulates: bool
    has_triton: bool = True
    has_flash_attention: bool = True
    rank: int = 16
    dropout: float = 0.0
    use_dora: bool = False
    targets: tuple[str, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Tokens of a micro-batch, padding included (T = B * S)."""
        return self.micro_batch_size * self.sequence_length

    @property
    def makes_scores(self) -> bool:
        """Whether sdpa makes matrices of scores: torch's other kernels do not take grouped heads as they are."""
        return self.attention == "sdpa" and not self.has_flash_attention and self.shape.num_kv_heads < self.shape.num_heads

    @property
    def weight_bytes(self) -> int:
        """Bytes of one weight."""
        return BYTES_OF[self.dtype]


def has_triton(device: DeviceFacts) -> bool:
    """Whether torch brings Triton for this device: on Linux with an accelerator that it compiles for."""
    return device.kind in ("cuda", "rocm", "xpu") and sys.platform.startswith("linux")


def has_flash_attention(device: DeviceFacts, dtype: Dtype) -> bool:
    """FlashAttention computes in 16 bit on Ampere and later; on a CPU torch's own flash kernel takes every format."""
    return device.kind == "cpu" or (dtype != "float32" and device.supports_bf16)


@dataclass(frozen=True)
class Linear:
    """A linear layer of a block: ``count`` of them with a weight of ``outputs`` x ``inputs``."""

    name: str
    inputs: int
    outputs: int
    count: int = 1


ATTENTION_NAMES: Final = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj"})


def linears(shape: ModelShape) -> Iterator[Linear]:
    """The linear layers of one block that can carry an adapter.

    Routed experts are three-dimensional parameters in transformers 5, which PEFT's all-linear does not touch.
    """
    hidden, query, kv, width = shape.hidden_size, shape.query_width, shape.kv_width, shape.intermediate_size
    if shape.fused:
        yield Linear("qkv_proj", hidden, query + 2 * kv)
    else:
        yield Linear("q_proj", hidden, query)
        yield Linear("k_proj", hidden, kv)
        yield Linear("v_proj", hidden, kv)
    yield Linear("o_proj", query, hidden)
    width = width if not shape.num_sparse_layers else shape.shared_intermediate_size
    if not width:
        return
    if shape.fused:
        yield Linear("gate_up_proj", hidden, 2 * width)
    else:
        yield Linear("gate_proj", hidden, width)
        yield Linear("up_proj", hidden, width)
    yield Linear("down_proj", width, hidden)


def target_names(config: RunConfig, shape: ModelShape) -> tuple[str, ...]:
    """Which of the block's linear layers get an adapter under ``method.target_modules``."""
    names = [linear.name for linear in linears(shape)]
    wanted = config.method.target_modules
    if wanted == "all-linear":
        return tuple(names)
    if wanted == "attention":
        return tuple(name for name in names if name in ATTENTION_NAMES)
    return tuple(name for name in names if name in {module.rpartition(".")[2] for module in wanted})


def adapter_parameters(plan: Plan) -> int:
    """Trainable weights of the adapter: R * (in + out) for each target, and for DoRA one magnitude for each output."""
    targets = set(plan.targets)
    per_layer = sum(
        linear.count * (plan.rank * (linear.inputs + linear.outputs) + (linear.outputs if plan.use_dora else 0))
        for linear in linears(plan.shape)
        if linear.name in targets
    )
    return plan.shape.num_layers * per_layer


def trainable_parameters(plan: Plan) -> int:
    """What the optimizer holds states for."""
    return plan.num_parameters if plan.kind == "full" else adapter_parameters(plan)
