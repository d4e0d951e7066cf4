"""What one block's backward pass has at its worst instant, in bytes, beyond what waits for the blocks below it.

The instants were found, and their coefficients counted, on the real modules with `benchmarks/vram/count_blocks.py` by varying one width
at a time. They equal the counts within 1 % for every family and method, but for eager attention (up to 6 % over) and DoRA with very few
tokens (3 % under).

Symbols as in `desktop_ft.core.memory.kept`; T tokens of a micro-batch.
"""

from __future__ import annotations

from desktop_ft.core.memory.kept import casts_inputs, saved_constant, saved_per_token, targets_mlp, widens_outputs
from desktop_ft.core.memory.plan import Plan, linears


def hidden_bytes(plan: Plan) -> int:
    """The hidden states between two blocks."""
    return plan.num_tokens * plan.shape.hidden_size * (4 if widens_outputs(plan) else plan.weight_bytes)


def kept_bytes(plan: Plan) -> int:
    """What a block keeps that is not computed again."""
    return plan.num_tokens * saved_per_token(plan) + saved_constant(plan)


def block_bytes(plan: Plan, *, recomputes: bool | None = None) -> int:
    """What one block's backward pass adds at its worst instant.

    Args:
        plan: The run.
        recomputes: Whether its activations have to be made again, and so count here; None: as the plan says.
    """
    if plan.checkpointing if recomputes is None else recomputes:
        extra = max(plan.num_tokens * per_token + constant for per_token, constant in _instants(plan))
        scores = _score_bytes(plan) if plan.makes_scores else 0
        return kept_bytes(plan) + extra + plan.num_tokens * _rope_bytes(plan) + mask_bytes(plan) + scores
    return max(plan.num_tokens * per_token + constant for per_token, constant in _tail_instants(plan)) + mask_bytes(plan)


def final_norm_bytes(plan: Plan) -> int:
    """What the norm before the head keeps: its input in float32, and for its weight's gradient what it multiplies.

    Without checkpointing an adapter's lowest norm keeps nothing instead, as no gradient goes below it.
    """
    family, hidden = plan.shape.family, plan.shape.hidden_size
    if plan.kind != "full":
        return 4 * hidden * plan.num_tokens if plan.checkpointing else 0
    scaled = 0 if not family.final_norm else 4 if family.wide_norms or plan.weight_bytes == 4 else plan.compute_bytes
    return (4 + scaled) * hidden * plan.num_tokens


def forward_bytes(plan: Plan) -> int:
    """What one block needs in a forward pass that keeps nothing: a reference, an evaluation, the prompts of answers to be sampled."""
    hidden, width = plan.shape.hidden_size, plan.shape.active_intermediate_size
    inner = 6 if plan.kind == "full" else 8
    return plan.num_tokens * (6 * hidden + inner * width) * plan.compute_bytes // 2 + _dora_matrices(plan)


def mask_bytes(plan: Plan) -> int:
    """A mask is made once: one byte and one 16-bit bias for each pair of positions, for each row where rows differ in length."""
    if not plan.num_masked_layers or plan.attention == "eager":
        return 0
    rows = plan.micro_batch_size if plan.has_mask else 1
    return 3 * rows * plan.sequence_length**2


def _instants(plan: Plan) -> list[tuple[int, int]]:
    """Bytes a token and bytes at once, beyond what the block keeps, at the instants that can be the worst.

    Gradients are on their way through the MLP or the experts, through the norm behind them, or through attention's scores.
    """
    shape = plan.shape
    hidden = shape.hidden_size
    found = [(0, _score_bytes(plan) + 8 * hidden * plan.num_tokens)] if plan.attention == "eager" else []
    if shape.num_sparse_layers:
        return found + _sparse_instants(plan)
    dense = _dora_matrices(plan)
    for at, (of_hidden, of_width) in enumerate(_mlp_instants(plan)):
        found.append((of_hidden * hidden + of_width * shape.intermediate_size, dense if at == 0 else 0))
    if shape.family.num_post_norms:
        norm = (20 if plan.kind == "full" else 24) - (0 if shape.family.norms_per_layer > 2 else 2)
        found.append((norm * hidden, 0))
    return found


def _mlp_instants(plan: Plan) -> list[tuple[int, int]]:
    """Coefficients of H and F, DoRA's first while its dense matrices are there.

    For a float32 adapter the input of down is alive three times: product, copy in 32 and in 16 bit.
    """
    if plan.dtype == "float32":
        return [(4, 8)]
    if plan.kind == "full":
        return [(4, 4)]
    return _adapted_instants(plan)


def _adapted_instants(plan: Plan) -> list[tuple[int, int]]:
    """The same with adapters beside a 16-bit or 4-bit base."""
    residual = 4 if plan.shape.family.scaled_residuals else 0
    if plan.use_dora and not plan.lean_dora:
        return [(12, 2), (0, 12)] if plan.kind == "qlora" else [(16, 4), (18, 8)]
    if plan.dropout:
        return [(12 + residual, 10)] if casts_inputs(plan) else [(12 + residual, 2), (4 + residual, 4)]
    if not targets_mlp(plan):
        return [(4 + residual, 6)]
    if plan.use_dora:
        post_norms = 4 if plan.shape.family.norms_per_layer > 2 else 0
        return [(10 + residual + post_norms, 6)] if casts_inputs(plan) else [(2 if plan.shape.fused else residual, 4)]
    if casts_inputs(plan):
        gemma = 2 if plan.shape.family.norms_per_layer > 2 else 0
        return [(12 + residual + gemma, 6)]
    if residual:
        return [(6, 4), (12, 2)]
    return [(8 if plan.shape.fused else 4, 4)]


def _sparse_instants(plan: Plan) -> list[tuple[int, int]]:
    """Gradients of the rows that went to experts are gathered into three tensors, in float32 where the routing is.

    Before that, where experts have an adapter, the gradient of the folded weights of one of their two matrices is made whole.
    """
    shape = plan.shape
    hidden, width, chosen = shape.hidden_size, shape.expert_intermediate_size, shape.num_experts_per_token
    per = 4 if shape.family.wide_routing or plan.dtype == "float32" else 2
    gathered = 3 * per * chosen * hidden + 4 * hidden + (2 * hidden if shape.shared_intermediate_size else 0)
    if plan.kind != "full" and not plan.adapts_experts and not targets_mlp(plan):
        gathered += 2 * chosen * hidden
    found = [(gathered, 0)]
    if plan.adapts_experts:
        found.append((2 * chosen * (hidden + width) + 4 * hidden, plan.compute_bytes * shape.num_experts * hidden * width))
    return found


def _tail_instants(plan: Plan) -> list[tuple[int, int]]:
    """Without checkpointing, beyond what all blocks keep: the final norm's gradient, that of the uppermost MLP, or that of scores.

    What the uppermost block keeps has gone by then in part.
    """
    shape = plan.shape
    hidden, width = shape.hidden_size, shape.intermediate_size
    wide = shape.family.wide_norms or plan.weight_bytes == 4
    norm = 9 if not shape.family.final_norm else (16 if wide else 18) if plan.kind == "full" else 20
    found = [(norm * hidden, 0)]
    if plan.attention == "eager" or plan.makes_scores:
        found.append((0, _score_bytes(plan, recomputes=False)))
    if shape.num_sparse_layers:
        given_back = (4 if plan.kind == "full" else 2) * hidden
        return found + [(max(0, per_token - given_back), constant) for per_token, constant in _sparse_instants(plan)]
    if plan.dtype == "float32":
        mlp = 8 * width - (4 * hidden if plan.kind == "full" else 0)
    elif plan.use_dora and not plan.lean_dora:
        mlp = 12 * width - 4 * hidden if plan.kind == "qlora" else 14 * width - 6 * hidden
    else:
        mlp = 4 * width - (4 if plan.kind == "full" else 2) * hidden
    return [*found, (mlp, 0)]


def _rope_bytes(plan: Plan) -> int:
    """Cosine and sine of every position; in float32 where the norms are OLMo 2's."""
    wide = plan.dtype == "float32" or plan.shape.qk_norm == "width"
    return (8 if wide else 4) * plan.shape.head_dim + 9


def _dora_matrices(plan: Plan) -> int:
    """DoRA's dense matrices, whatever the batch: PEFT multiplies the adapter out through an identity of the input's width.

    The largest module sets it: an identity in float32 with its 16-bit copy, and the dense product (6 in^2 + 2 in * out). Over a 4-bit
    base the identity is bfloat16, and weight, product and their sum are float32 (2 in^2 + 16 in * out).
    """
    if not plan.use_dora or plan.lean_dora or plan.kind == "full":
        return 0
    chosen = [linear for linear in linears(plan.shape) if linear.name in plan.targets]
    if widens_outputs(plan):
        return max((2 * linear.inputs**2 + 16 * linear.inputs * linear.outputs for linear in chosen), default=0)
    return max((6 * linear.inputs**2 + 2 * linear.inputs * linear.outputs for linear in chosen), default=0)


def _score_bytes(plan: Plan, *, recomputes: bool = True) -> int:
    """Matrices of scores at the worst instant of a block's backward pass, beyond those that are kept.

    The backward pass of eager attention's softmax makes one more in float32. Where sdpa makes them itself, 2.65 were measured with
    checkpointing (the kept one among them) and 0.87 without (float32, 8B shape, 2 x 2048 tokens, H100).
    """
    matrix = 4 * plan.micro_batch_size * plan.shape.num_heads * plan.sequence_length**2
    if plan.attention == "eager":
        return matrix
    if not plan.makes_scores:
        return 0
    return int(1.7 * matrix) if recomputes else matrix
