"""Closed formulas for the activations of a block: what it keeps for its backward pass, and what that pass adds at its worst instant.

Symbols: T tokens of a micro-batch, H hidden size, q and kv widths of queries and keys, F MLP width, L blocks, V vocabulary,
R rank. All coefficients are bytes per token and block. Those of bfloat16 were counted tensor by tensor over 8 to 12 shapes
with the real modules of transformers 5.23 and PEFT 0.21 (error 0.0 %); what is derived rather than counted says so.
"""

from __future__ import annotations

from typing import Final

from desktop_ft.core.memory.parameters import adapter_parameters
from desktop_ft.core.memory.plan import Plan, linears

ROPE_AND_RANK_BYTES: Final = 752
"""Cosine, sine and the rank's terms at rank 16 in the recomputed block; 14 bytes for each further rank."""


def hidden_bytes(plan: Plan) -> int:
    """The hidden states between two blocks."""
    return plan.num_tokens * plan.shape.hidden_size * plan.weight_bytes


def block_bytes(plan: Plan) -> int:
    """What one block's backward pass adds at its worst instant.

    With checkpointing the block is computed again, so all of it; without, only the gradients that pass through it:
    40 H a token (derived from the counted blocks of Llama shape).
    """
    if not plan.checkpointing:
        return plan.num_tokens * 20 * plan.shape.hidden_size * plan.compute_bytes + _dora_matrices(plan) + _score_bytes(plan)
    return plan.num_tokens * recomputed_per_token(plan) + _dora_matrices(plan) + _score_bytes(plan) + _mask_bytes(plan)


def forward_bytes(plan: Plan) -> int:
    """What one block needs in a forward pass that keeps nothing: a reference, an evaluation, the prompts of answers to be sampled."""
    hidden, width = plan.shape.hidden_size, plan.shape.active_intermediate_size
    inner = 6 if plan.kind == "full" else 8
    return plan.num_tokens * (6 * hidden + inner * width) * plan.compute_bytes // 2 + _dora_matrices(plan)


def recomputed_per_token(plan: Plan) -> int:
    """Bytes a token of one checkpointed block: its recomputation and gradients at the worst instant.

    LoRA over a 16-bit base pays for float32 adapters: PEFT casts every input. Over a 4-bit base the adapters are bfloat16. The row of
    mixed precision, DoRA's over a 4-bit base and that of attention alone there are derived.
    """
    hidden, query, kv, width, heads = _sizes(plan)
    norms = 4 * (query + kv) if plan.shape.qk_norm else 0
    eager = 6 * heads * plan.sequence_length if plan.attention == "eager" else 0
    if plan.dtype == "float32":
        return 28 * hidden + 8 * query + 8 * kv + 24 * width + ROPE_AND_RANK_BYTES + 2 * norms + 2 * eager
    if plan.is_mixed:
        return 28 * hidden + 6 * query + 6 * kv + 12 * width + 528 + norms + eager
    if plan.kind == "full":
        return 20 * hidden + 4 * query + 4 * kv + 12 * width + 528 + norms + eager
    rank = 14 * (plan.rank - 16)
    dropout = 17 * hidden + 3 * query if plan.dropout > 0 else 0
    dora = 4 * hidden + 10 * width if plan.use_dora else 0
    rest = rank + norms + eager + dropout
    if plan.kind == "qlora":
        constant = ROPE_AND_RANK_BYTES - 32 if _targets_mlp(plan) else 656
        return 16 * hidden + 4 * query + 4 * kv + 12 * width + constant + rest + dora
    if not _targets_mlp(plan):
        return 18 * hidden + 6 * query + 4 * kv + 12 * width + 656 + rest
    return 30 * hidden + 6 * query + 4 * kv + 14 * width + ROPE_AND_RANK_BYTES + rest + dora


def saved_per_token(plan: Plan) -> int:
    """Bytes a token that one block keeps for its backward pass without checkpointing.

    DoRA keeps the outputs of the base layer and of the adapter besides; over a 4-bit base in float32, since its magnitudes stay
    float32 beside a bfloat16 adapter (1B shape, 4 x 1024 tokens, H100: 20.2 GiB measured, 14.6 predicted without that). A batch
    whose rows differ in length has a mask, with which keys and values are repeated for every head and a bias for each pair of
    positions is kept (not counted, but derived); so are the rows of dropout.
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
        return row + rest + (10 * hidden if plan.is_mixed else 0)
    dropout = 11 * hidden + 3 * query + width if plan.dropout > 0 else 0
    outputs = sum(linear.outputs for linear in linears(plan.shape) if linear.name in plan.targets)
    dora = (8 if plan.kind == "qlora" else 4) * outputs if plan.use_dora else 0
    rest += wide * (14 * plan.rank + dropout + dora)
    if wide == 2:
        return 16 * hidden + 8 * query + 8 * kv + 16 * width + rest
    if plan.kind == "qlora":
        return 12 * hidden + 4 * query + 4 * kv + (8 if _targets_mlp(plan) else 6) * width + rest
    if not _targets_mlp(plan):
        return 14 * hidden + 6 * query + 4 * kv + 6 * width + rest
    return 18 * hidden + 6 * query + 4 * kv + 8 * width + rest


def saved_constant(plan: Plan) -> int:
    """The 16-bit copies of a block's float32 adapter that autocast keeps."""
    return 0 if plan.kind != "lora" or plan.dtype == "float32" else adapter_parameters(plan) // plan.shape.num_layers * 2


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


def _targets_mlp(plan: Plan) -> bool:
    return any(name in plan.targets for name in ("gate_proj", "up_proj", "down_proj", "gate_up_proj"))


def _sizes(plan: Plan) -> tuple[int, int, int, int, int]:
    shape = plan.shape
    return shape.hidden_size, shape.query_width, shape.kv_width, shape.active_intermediate_size, shape.num_heads
