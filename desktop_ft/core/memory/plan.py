"""What a training step keeps in memory, as plain facts: the run's settings with nothing left to decide."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.methods import WeightUpdates
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.models import ModelShape

Dtype = Literal["bfloat16", "float16", "float32"]
Optimizer = Literal["adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd"]

Head = Literal["tiles", "logits", "score"]
"""How the loss is made: TRL's fused head in tiles; the whole vocabulary's logits at once (ORPO); one score a row (reward models)."""

BYTES_OF: Final[dict[str, int]] = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True)
class Rollout:
    """Answers that are sampled at once while training.

    Attributes:
        num_answers: Rows.
        prompt_length: Tokens of the longest prompt.
        completion_length: Most tokens of an answer.
    """

    num_answers: int
    prompt_length: int
    completion_length: int


@dataclass(frozen=True)
class Plan:
    """One run as the memory sees it.

    Attributes:
        num_parameters: All weights of the model that is trained; the files count, not the formula.
        dtype: Format that is computed in.
        micro_batch_size: Rows of one forward pass: examples, or both answers of each pair.
        sequence_length: Tokens of the longest row of a micro-batch.
        equal_rows: Whether every row is known to have the same length, so that no mask is made.
        is_packed: Whether examples are laid end to end in one row, whose mask keeps them apart.
        checkpoint_every: Of so many blocks one is computed again; the others keep their activations.
        offloads: Whether what waits for the recomputation waits in main memory.
        accumulates: Whether gradients of earlier micro-batches stay while the next one runs.
        has_triton: Whether TRL's head runs as a Triton kernel; else as torch's operators, with many more copies.
        has_flash_attention: Whether torch's fused attention has a kernel for this device and format; else, with fewer heads of
            keys than of queries, it works through whole matrices of scores.
        lean_dora: Whether DoRA is computed from its parts, as the engine does unless the kernels are stock; else as PEFT does.
        targets: Names of the linear layers with an adapter.
        adapts_experts: Whether the stacked experts and the router have an adapter too.
        quantized_weight_bytes: Of one weight of the blocks' linear layers, scales included; 0: they are kept in ``dtype``.
        updates: How full fine-tuning keeps small updates.
        num_frozen_layers: Of the lowest blocks, with the embedding below them (full fine-tuning).
        saved_parameters: Weights of the modules that are trained whole beside an adapter.
        trains_head: Whether the output head is one of them.
        num_trained_adapters: Adapters with gradients and states: 2 for PPO's policy and value function.
        num_kept_adapters: Further adapters without: a reference that is not the base, a reward model on the same base.
        auxiliary_bytes: Other models beside the trained one: reference, reward model, value model.
        has_reference: Whether a reference is asked while the policy's activations wait.
        is_derived: Whether its objective's terms were derived rather than measured.
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
    equal_rows: bool = False
    is_packed: bool = False
    checkpoint_every: int = 1
    offloads: bool = False
    has_triton: bool = True
    has_flash_attention: bool = True
    rank: int = 16
    dropout: float = 0.0
    use_dora: bool = False
    lean_dora: bool = False
    targets: tuple[str, ...] = ()
    adapts_experts: bool = False
    quantized_weight_bytes: float = 0.0
    updates: WeightUpdates = "plain"
    num_frozen_layers: int = 0
    saved_parameters: int = 0
    trains_head: bool = False
    head: Head = "tiles"
    num_trained_adapters: int = 1
    num_kept_adapters: int = 0
    auxiliary_bytes: int = 0
    has_reference: bool = False
    rollout: Rollout | None = None
    is_derived: bool = False

    @property
    def num_tokens(self) -> int:
        """Tokens of a micro-batch, padding included (T = B * S)."""
        return self.micro_batch_size * self.sequence_length

    @property
    def has_mask(self) -> bool:
        """Whether attention is given a mask of positions: where rows differ in length, and where examples share one."""
        return self.is_packed or (self.micro_batch_size > 1 and not self.equal_rows)

    @property
    def num_masked_layers(self) -> int:
        """Blocks whose attention takes a mask: all, or those whose window is shorter than the row."""
        if self.has_mask:
            return self.shape.num_layers
        return self.shape.num_windowed_layers if self.sequence_length > self.shape.window else 0

    @property
    def makes_scores(self) -> bool:
        """Whether sdpa makes matrices of scores: torch's other kernels do not take grouped heads as they are."""
        return self.attention == "sdpa" and not self.has_flash_attention and self.shape.num_kv_heads < self.shape.num_heads

    @property
    def is_mixed(self) -> bool:
        """Whether float32 weights are computed with in 16 bit, through copies that autocast keeps."""
        return self.kind == "full" and self.updates == "float32" and self.dtype != "float32"

    @property
    def weight_bytes(self) -> int:
        """Bytes of one weight that is not quantized, and of one element between blocks."""
        return 4 if self.is_mixed else BYTES_OF[self.dtype]

    @property
    def compute_bytes(self) -> int:
        """Bytes of one number that is computed."""
        return BYTES_OF[self.dtype]

    @property
    def num_trained_layers(self) -> int:
        """Blocks that activations are kept in for the backward pass."""
        return max(1, self.shape.num_layers - self.num_frozen_layers)


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


@lru_cache(maxsize=64)
def linears(shape: ModelShape) -> tuple[Linear, ...]:
    """The linear layers of one block that can carry an adapter.

    Routed experts are three-dimensional parameters in transformers 5, and no layers: `Plan.adapts_experts`.
    """
    return tuple(_linears(shape))


def _linears(shape: ModelShape) -> Iterator[Linear]:
    hidden, query, kv, width = shape.hidden_size, shape.query_width, shape.kv_width, shape.intermediate_size
    if shape.fused:
        yield Linear("qkv_proj", hidden, query + 2 * kv)
    else:
        yield Linear("q_proj", hidden, query)
        yield Linear("k_proj", hidden, kv)
        yield Linear("v_proj", hidden, kv)
    yield Linear("o_proj", query, hidden)
    if shape.num_sparse_layers:
        width = shape.shared_intermediate_size
        if not width:
            return
        yield Linear("shared_expert_gate", hidden, 1)
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
    if wanted == "all-linear" and shape.num_sparse_layers and not can_adapt_experts(config):
        wanted = "attention"
    if wanted == "all-linear":
        return tuple(names)
    if wanted == "attention":
        return tuple(name for name in names if name in ATTENTION_NAMES)
    return tuple(name for name in names if name in {module.rpartition(".")[2] for module in wanted})


def can_adapt_experts(config: RunConfig) -> bool:
    """Whether the engine puts this adapter on stacked experts; else it leaves them, and with them everything but attention, alone."""
    method = config.method
    return not method.use_dora and not method.dropout and method.init in {"default", "gaussian"}


def adapts_experts(config: RunConfig, shape: ModelShape) -> bool:
    """Whether ``all-linear`` takes in the stacked experts of this family."""
    wanted = config.method.target_modules == "all-linear" and config.method.kind != "full"
    return wanted and shape.num_sparse_layers > 0 and shape.family.adapts_experts and can_adapt_experts(config)
