"""What one block keeps of its forward pass for the backward pass, tensor by tensor, in bytes a token.

Every line names tensors that autograd holds in the modules of transformers 5.23 and PEFT 0.21. `benchmarks/vram/count_blocks.py` counts
them on shape-only tensors for every family and method; the sums here equal its counts.

Symbols: H hidden size, q and kv widths of queries and keys, F MLP width, S tokens of a row, n heads, k experts a token.
"""

from __future__ import annotations

from typing import Final

from desktop_ft.core.memory.parameters import adapter_parameters, expert_parameters
from desktop_ft.core.memory.plan import ATTENTION_NAMES, Plan, linears

MASK_BYTES: Final = 1
"""Of one element of a dropout's mask on CUDA."""
ROUTING_BYTES: Final = 34
"""Of one token's choice of one expert: four 64-bit indices and its weight."""


def saved_per_token(plan: Plan) -> int:
    """Bytes a token that one block keeps for its backward pass without checkpointing, averaged over blocks with a window and without."""
    return _norms(plan) + _attention(plan) + _mlp(plan) + _adapters(plan)


def saved_constant(plan: Plan) -> int:
    """What a block keeps however many tokens there are.

    The 16-bit copies of a float32 adapter that autocast makes; and PEFT folds the adapter of stacked experts into a second copy of
    their weights, which the backward pass needs.
    """
    copies = 2 * adapter_parameters(plan) // plan.shape.num_layers if casts_inputs(plan) else 0
    if not plan.adapts_experts:
        return copies
    router = plan.shape.num_experts * plan.shape.hidden_size
    return copies + (expert_parameters(plan.shape) + router) * plan.compute_bytes


def casts_inputs(plan: Plan) -> bool:
    """Whether each adapter copies its input: PEFT casts it up to a float32 adapter beside a 16-bit base, autocast down again."""
    return plan.kind == "lora" and plan.dtype != "float32"


def widens_outputs(plan: Plan) -> bool:
    """Whether layers with an adapter return float32: DoRA's magnitudes stay float32 beside a bfloat16 adapter over a 4-bit base.

    PEFT's 4-bit layer casts nothing back under autocast (peft/tuners/lora/bnb.py); the residual stream is float32 then, and
    bitsandbytes' layer returns what it was given.
    """
    return plan.kind == "qlora" and plan.use_dora and not plan.lean_dora and plan.dtype != "float32"


def targets_mlp(plan: Plan) -> bool:
    """Whether a layer of the MLP has an adapter."""
    return any(name not in ATTENTION_NAMES for name in plan.targets)


def _norms(plan: Plan) -> int:
    """Each norm keeps its input in float32, the root of its variance, and for its weight's gradient what it multiplies."""
    shape, family = plan.shape, plan.shape.family
    num_norms = max(2, family.norms_per_layer)
    if plan.kind != "full" or not family.norms_per_layer:
        scaled = 0
    else:
        scaled = 4 if family.wide_norms or plan.weight_bytes == 4 else plan.compute_bytes
    moments = 4 if family.norms_per_layer else 8
    per_norm = (4 + scaled) * shape.hidden_size + moments
    return num_norms * per_norm + _query_norms(plan, scaled)


def _query_norms(plan: Plan, scaled: int) -> int:
    shape = plan.shape
    if shape.qk_norm == "none":
        return 0
    roots = 4 * (shape.num_heads + shape.num_kv_heads) if shape.qk_norm == "head" else 8
    return (4 + scaled) * (shape.query_width + shape.kv_width) + roots


def _attention(plan: Plan) -> int:
    """Input of q, k, v; queries and keys with their positions, values; the result; input of o."""
    shape, per = plan.shape, plan.compute_bytes
    query, kv, heads = shape.query_width, shape.kv_width, shape.num_heads
    value = query + 2 * kv if shape.fused else kv
    groups = _kept_input(plan, ("q_proj", "k_proj", "v_proj", "qkv_proj"), shape.hidden_size)
    if plan.attention == "eager":
        return groups + _kept_input(plan, ("o_proj",), query) + 3 * query * per + _eager_scores(plan)
    own = _kept_input(plan, ("o_proj",), query) if casts_inputs(plan) or plan.dropout else 0
    fused = groups + own + per * (query + kv + value + query) + 4 * heads
    scores = 4 * heads * plan.sequence_length + 2 * per * (query - kv) if plan.makes_scores else 0
    share = plan.num_masked_layers / shape.num_layers
    masked = per * (2 * (query - kv) + _mask_rows(plan) * plan.sequence_length)
    return fused + scores + int(share * masked)


def _mask_rows(plan: Plan) -> float:
    """Rows of the 16-bit bias that a mask becomes in each block: one for each row of the batch; of a window alone, one for all."""
    return 1.0 if plan.has_mask else 1 / plan.micro_batch_size


def _eager_scores(plan: Plan) -> int:
    """Probabilities in float32 and as they multiply the values; keys and values are repeated for every head."""
    casts = 0 if plan.compute_bytes == 4 else plan.compute_bytes
    capped = plan.compute_bytes if plan.shape.family.soft_capped else 0
    return (4 + casts + capped) * plan.shape.num_heads * plan.sequence_length


def _mlp(plan: Plan) -> int:
    """Gate, its activation, up, and what they are for: inputs of gate and up, and of down."""
    shape, per = plan.shape, 4 if widens_outputs(plan) else plan.compute_bytes
    if not shape.num_sparse_layers:
        width = shape.intermediate_size
        inputs = _kept_input(plan, ("gate_proj", "up_proj", "gate_up_proj"), shape.hidden_size)
        return inputs + 3 * per * width + _kept_input(plan, ("down_proj",), width)
    width = shape.shared_intermediate_size
    shared = 0
    if width:
        names = ("gate_proj", "up_proj", "gate_up_proj", "shared_expert_gate")
        shared = _kept_input(plan, names, shape.hidden_size) + 3 * per * width + _kept_input(plan, ("down_proj",), width)
        shared += per * shape.hidden_size
    return shared + _experts(plan, has_input=bool(shared and plan.kind == "full"))


def _experts(plan: Plan, *, has_input: bool) -> int:
    """Of every expert that a token visits: its rows, gate and up, activation, product, result; and the router's choice."""
    shape, per = plan.shape, plan.compute_bytes
    hidden, width, chosen = shape.hidden_size, shape.expert_intermediate_size, shape.num_experts_per_token
    learns = plan.kind == "full" or plan.adapts_experts
    each = (8 * width + 4 * hidden if learns else 6 * width + 2 * hidden) * per // 2
    own_input = hidden * per if learns and not has_input else 0
    return own_input + chosen * (each + ROUTING_BYTES) + 4 * shape.num_experts


def _kept_input(plan: Plan, names: tuple[str, ...], width: int) -> int:
    """The input that layers share: once where they read the same tensor, once for each where each makes its own copy.

    A frozen layer keeps nothing; its adapter does.
    """
    per = plan.compute_bytes
    if plan.kind == "full":
        copies = sum(1 for linear in linears(plan.shape) if linear.name in names) if plan.is_mixed and len(names) > 1 else 1
        return copies * per * width
    chosen = sum(1 for name in names if name in plan.targets)
    if plan.dropout:
        return chosen * (per + MASK_BYTES) * width
    if casts_inputs(plan) or (widens_outputs(plan) and names != ("o_proj",)):
        return chosen * per * width
    return per * width if chosen else 0


def _adapters(plan: Plan) -> int:
    """What passes between the two factors of each adapter, and for DoRA both of its products."""
    if plan.kind == "full":
        return 0
    chosen = [linear for linear in linears(plan.shape) if linear.name in plan.targets]
    between = plan.compute_bytes * plan.rank * len(chosen)
    if not plan.use_dora:
        return between
    outputs = sum(linear.outputs for linear in chosen)
    if not widens_outputs(plan):
        return between + 2 * plan.compute_bytes * outputs
    widened = sum(linear.outputs for linear in chosen if linear.name != "o_proj")  # o reads attention's result, which is 16 bit
    return between + 4 * outputs + 2 * widened
