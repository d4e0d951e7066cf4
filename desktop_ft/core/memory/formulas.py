"""Closed formulas for the bytes of a training step: stock TRL + PEFT with torch's fused attention and TRL's fused head.

The peak is the largest of a step's phases, not the sum of everything that is ever alive: when the head's backward pass runs the
blocks' gradients do not exist yet, and when the last block's gradient is made the checkpoints are gone.

Symbols: T tokens of a micro-batch, H hidden size, q and kv widths of queries and keys, F MLP width, L blocks, V vocabulary,
R rank. All coefficients are bytes per token and block. Those of bfloat16 were counted tensor by tensor over 8 to 12 shapes
with the real modules of transformers 5.23 and PEFT 0.21 (error 0.0 %); what is derived rather than counted says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from desktop_ft.core.memory.plan import Plan, adapter_parameters, linears

HEAD_TILE_TOKENS: Final = 4096
HEAD_TILE_VOCABULARY: Final = 32768
"""Largest piece of the logits that TRL's fused head makes at once (trl/kernels/chunked_logprob.py)."""
HEAD_BYTES_WITHOUT_TRITON: Final = 29
"""Without Triton (a CPU, Windows, macOS) the same file works on a tile with torch's operators: at the worst instant seven
float32 copies of it and one byte a logit for the mask of the targets."""
ROPE_AND_RANK_BYTES: Final = 752
"""Cosine, sine and the rank's terms at rank 16 in the recomputed block; 14 bytes for each further rank."""


@dataclass(frozen=True)
class Phase:
    """A moment of a training step and what is alive in it, in bytes."""

    name: str
    weights: int = 0
    adapter: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    logits: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.adapter + self.gradients + self.optimizer + self.activations + self.logits

    @property
    def moving(self) -> int:
        """What comes and goes within a step."""
        return self.gradients + self.activations + self.logits


def peak_phase(plan: Plan) -> Phase:
    """The phase of a step that needs most."""
    phases = _full_phases(plan) if plan.kind == "full" else _lora_phases(plan)
    return max(phases, key=lambda phase: phase.total)


def _lora_phases(plan: Plan) -> list[Phase]:
    """Weights, adapter, its gradients and states stay; head or one block comes on top."""
    parameters = adapter_parameters(plan)
    weights, adapter, gradients = plan.num_parameters * plan.weight_bytes, parameters * 4, parameters * 4
    optimizer = optimizer_bytes(plan, parameters, 4)
    kept, block = _kept_at_head(plan), _kept_at_block(plan)
    return [
        Phase("head", weights, adapter, gradients, optimizer, kept, head_bytes(plan)),
        Phase("block", weights, adapter, gradients, optimizer, block + block_bytes(plan)),
        Phase("optimizer", weights, adapter, gradients, optimizer + optimizer_transient_bytes(plan, parameters, 4)),
    ]


def _full_phases(plan: Plan) -> list[Phase]:
    """As gradients appear from the head down, the kept activations go; with accumulation the gradients are there all along."""
    shape, per = plan.shape, plan.weight_bytes
    weights = plan.num_parameters * per
    states = optimizer_bytes(plan, plan.num_parameters, per)
    all_gradients = weights
    head_gradient, layer_gradient = shape.head_parameters * per, shape.layer_parameters * per
    before = all_gradients if plan.accumulates else 0
    head = head_bytes(plan) + shape.head_parameters * (4 + per)
    after_head = all_gradients + layer_gradient if plan.accumulates else head_gradient + layer_gradient
    last = block_bytes(plan) + _last_block_kept(plan)
    tied_copy = head_gradient if shape.tied else 0
    transient = optimizer_transient_bytes(plan, plan.num_parameters, per)
    return [
        Phase("head", weights, 0, before, states, _kept_at_head(plan), head),
        Phase("first block", weights, 0, after_head, states, _kept_at_block(plan) + block_bytes(plan)),
        Phase("last block", weights, 0, all_gradients, states, last),
        Phase("embedding", weights, 0, all_gradients + tied_copy, states, plan.num_tokens * shape.hidden_size * per),
        Phase("optimizer", weights, 0, all_gradients, states + transient),
    ]


def _kept_at_head(plan: Plan) -> int:
    """Activations that wait for the backward pass when the forward pass is through."""
    if plan.checkpointing:
        return plan.shape.num_layers * _hidden_bytes(plan)
    return plan.shape.num_layers * (plan.num_tokens * saved_per_token(plan) + _saved_constant(plan))


def _kept_at_block(plan: Plan) -> int:
    """Activations that wait while the first block of the backward pass is worked on."""
    if plan.checkpointing:
        return (plan.shape.num_layers - 1) * _hidden_bytes(plan)
    return _kept_at_head(plan)


def _last_block_kept(plan: Plan) -> int:
    return _hidden_bytes(plan) if plan.checkpointing else plan.num_tokens * saved_per_token(plan) + _saved_constant(plan)


def _hidden_bytes(plan: Plan) -> int:
    return plan.num_tokens * plan.shape.hidden_size * plan.weight_bytes


def block_bytes(plan: Plan) -> int:
    """What one block's backward pass adds at its worst instant.

    With checkpointing the block is computed again, so all of it; without, only the gradients that pass through it:
    40 H a token (derived from the counted blocks of Llama shape).
    """
    if not plan.checkpointing:
        return plan.num_tokens * 20 * plan.shape.hidden_size * plan.weight_bytes + _dora_matrices(plan) + _score_bytes(plan)
    return plan.num_tokens * recomputed_per_token(plan) + _dora_matrices(plan) + _score_bytes(plan) + _mask_bytes(plan)


def recomputed_per_token(plan: Plan) -> int:
    """Bytes a token of one checkpointed block: its recomputation and gradients at the worst instant."""
    hidden, query, kv, width, heads = _sizes(plan)
    norms = 4 * (query + kv) if plan.shape.qk_norm else 0
    eager = 6 * heads * plan.sequence_length if plan.attention == "eager" else 0
    if plan.dtype == "float32":
        return 28 * hidden + 8 * query + 8 * kv + 24 * width + ROPE_AND_RANK_BYTES + 2 * norms + 2 * eager
    if plan.kind == "full":
        return 20 * hidden + 4 * query + 4 * kv + 12 * width + 528 + norms + eager
    rank = 14 * (plan.rank - 16)
    dropout = 17 * hidden + 3 * query if plan.dropout > 0 else 0
    if not _targets_mlp(plan):
        return 18 * hidden + 6 * query + 4 * kv + 12 * width + 656 + rank + norms + eager + dropout
    dora = 4 * hidden + 10 * width if plan.use_dora else 0
    return 30 * hidden + 6 * query + 4 * kv + 14 * width + ROPE_AND_RANK_BYTES + rank + norms + eager + dropout + dora


def saved_per_token(plan: Plan) -> int:
    """Bytes a token that one block keeps for its backward pass without checkpointing.

    DoRA keeps the outputs of the base layer and of the adapter besides. A batch whose rows differ in length has a mask, with
    which keys and values are repeated for every head and a bias for each pair of positions is kept (not counted, but derived);
    so are the rows of dropout.
    """
    hidden, query, kv, width, heads = _sizes(plan)
    wide = 2 if plan.dtype == "float32" else 1
    norms = 4 * (query + kv) if plan.shape.qk_norm else 0
    eager = 6 * heads * plan.sequence_length if plan.attention == "eager" else 0
    masked = 4 * (query - kv) + 2 * plan.sequence_length if plan.micro_batch_size > 1 else 0
    scores = 4 * heads * plan.sequence_length + 8 * (query - kv) if plan.makes_scores else 0
    rest = 4 * heads + 8 + wide * (norms + eager + masked) + scores
    if plan.kind == "full":
        row = 24 * hidden + 8 * query + 8 * kv + 16 * width if wide == 2 else 16 * hidden + 4 * query + 4 * kv + 8 * width
        return row + rest
    dropout = 11 * hidden + 3 * query + width if plan.dropout > 0 else 0
    dora = 4 * sum(linear.outputs for linear in linears(plan.shape) if linear.name in plan.targets) if plan.use_dora else 0
    rest += wide * (14 * plan.rank + dropout + dora)
    if wide == 2:
        return 16 * hidden + 8 * query + 8 * kv + 16 * width + rest
    if not _targets_mlp(plan):
        return 14 * hidden + 6 * query + 4 * kv + 6 * width + rest
    return 18 * hidden + 6 * query + 4 * kv + 8 * width + rest


def _saved_constant(plan: Plan) -> int:
    """The 16-bit copies of a block's adapter that autocast keeps."""
    return 0 if plan.kind == "full" or plan.dtype == "float32" else adapter_parameters(plan) // plan.shape.num_layers * 2


def _dora_matrices(plan: Plan) -> int:
    """DoRA's dense matrices, whatever the batch: PEFT multiplies the adapter out through an identity of the input's width.

    The largest module sets it: an identity in float32 with its 16-bit copy, and the dense product (6 in^2 + 2 in * out).
    """
    if not plan.use_dora or plan.kind == "full":
        return 0
    chosen = [linear for linear in linears(plan.shape) if linear.name in plan.targets]
    return max((6 * linear.inputs**2 + 2 * linear.inputs * linear.outputs for linear in chosen), default=0)


def _score_bytes(plan: Plan) -> int:
    """Matrices of scores at the worst instant of a block's backward pass, beyond those that are kept.

    The backward pass of eager attention's softmax makes one more in float32. Where sdpa makes them itself, 2.65 were measured with
    checkpointing (the kept one among them) and 0.87 without (float32, 8B shape, 2 x 2048 tokens, H100).
    """
    matrix = 4 * plan.micro_batch_size * plan.shape.num_heads * plan.sequence_length**2
    if plan.attention == "eager":
        return matrix
    if not plan.makes_scores:
        return 0
    return int(2.7 * matrix) if plan.checkpointing else matrix


def _mask_bytes(plan: Plan) -> int:
    """A batch of rows of different lengths has a mask: one byte and one 16-bit bias for each pair of positions."""
    return 3 * plan.micro_batch_size * plan.sequence_length**2 if plan.micro_batch_size > 1 else 0


def head_bytes(plan: Plan) -> int:
    """The fused head's backward pass: a tile of logits, the rows in the model's format, their gradient in 32 bit and again.

    The worst case is counted: every token has a label. The gradient of a trained head is the caller's.
    """
    tokens, shape, per = plan.num_tokens, plan.shape, plan.weight_bytes
    rows, columns = min(tokens, HEAD_TILE_TOKENS), min(shape.vocab_size, HEAD_TILE_VOCABULARY)
    tile = rows * HEAD_TILE_VOCABULARY * per if plan.has_triton else rows * columns * (per + HEAD_BYTES_WITHOUT_TRITON)
    return tile + tokens * shape.hidden_size * (4 + 2 * per) + 28 * tokens


def optimizer_bytes(plan: Plan, num_trainable: int, bytes_each: int) -> int:
    """States between steps; AdamW's two have the format of the weight that they belong to."""
    if plan.optim == "sgd":
        return 0
    if plan.optim == "adafactor":
        return 4 * num_trainable // max(1, min(plan.shape.hidden_size, 4096) // 2)
    return 2 * bytes_each * num_trainable


def optimizer_transient_bytes(plan: Plan, num_trainable: int, bytes_each: int) -> int:
    """What the update itself needs: the unfused AdamW makes the roots of all second moments at once."""
    if plan.optim == "adamw_torch":
        return bytes_each * num_trainable
    if plan.optim == "adafactor":
        largest = max(linear.inputs * linear.outputs for linear in linears(plan.shape))
        return 8 * (max(largest, plan.shape.head_parameters) if plan.kind == "full" else plan.rank * plan.shape.intermediate_size)
    return 0


def _targets_mlp(plan: Plan) -> bool:
    return any(name in plan.targets for name in ("gate_proj", "up_proj", "down_proj", "gate_up_proj"))


def _sizes(plan: Plan) -> tuple[int, int, int, int, int]:
    shape = plan.shape
    return shape.hidden_size, shape.query_width, shape.kv_width, shape.active_intermediate_size, shape.num_heads
