"""Closed formulas for the phases of a training step: stock TRL + PEFT with torch's fused attention and TRL's fused head.

The peak is the largest of a step's phases, not the sum of everything that is ever alive: when the head's backward pass runs the
blocks' gradients do not exist yet, and when the last block's gradient is made the checkpoints are gone.

Measured: LoRA, DoRA and full fine-tuning with SFT, QLoRA with SFT, DPO with LoRA (tests/core/test_memory.py has the runs). Derived from
the code of TRL 1.16: the other objectives, mixed precision, and whatever else says so where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from desktop_ft.core.memory.activations import block_bytes, final_norm_bytes, forward_bytes, hidden_bytes, kept_bytes
from desktop_ft.core.memory.parameters import (
    adapter_bytes,
    adapter_state_bytes,
    model_bytes,
    optimizer_bytes,
    optimizer_transient_bytes,
    trained_adapter_bytes,
    trained_parameters,
)
from desktop_ft.core.memory.plan import Plan, linears

HEAD_TILE_TOKENS: Final = 4096
HEAD_TILE_VOCABULARY: Final = 32768
"""Largest piece of the logits that TRL's fused head makes at once (trl/kernels/chunked_logprob.py)."""
HEAD_BYTES_WITHOUT_TRITON: Final = 29
"""Without Triton (a CPU, Windows, macOS) the same file works on a tile with torch's operators: at the worst instant seven
float32 copies of it and one byte a logit for the mask of the targets."""


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
    auxiliary: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.adapter + self.gradients + self.optimizer + self.activations + self.logits + self.auxiliary

    @property
    def moving(self) -> int:
        """What comes and goes within a step."""
        return self.gradients + self.activations + self.logits


def phases(plan: Plan) -> tuple[Phase, ...]:
    """Every moment of a run that could need most, from loading to saving."""
    found = _full_phases(plan) if plan.kind == "full" else _adapter_phases(plan)
    auxiliary = plan.auxiliary_bytes + plan.num_kept_adapters * adapter_bytes(plan)
    return tuple(replace(phase, auxiliary=auxiliary) for phase in [*found, *_quiet_phases(found[0], plan), *_sampling_phases(plan)])


def peak_phase(plan: Plan) -> Phase:
    """The phase of a step that needs most."""
    return max(phases(plan), key=lambda phase: phase.total)


def _quiet_phases(step: Phase, plan: Plan) -> list[Phase]:
    """Moments without gradients: loading (of a 4-bit base one matrix is there in 16 bit besides), evaluation, saving."""
    shape = plan.shape
    largest = max(shape.head_parameters, *(linear.inputs * linear.outputs for linear in linears(shape)))
    arriving = largest * plan.compute_bytes if plan.quantized_weight_bytes else 0
    there = Phase("load", step.weights, 0, 0, 0, 0, 0, arriving)
    evaluated = Phase("evaluation", step.weights, step.adapter, 0, step.optimizer, forward_bytes(plan), _head_forward_bytes(plan))
    return [there, evaluated, Phase("save", step.weights, step.adapter, 0, step.optimizer)]


def _adapter_phases(plan: Plan) -> list[Phase]:
    """Weights, adapter, its gradients and states stay; head or one block comes on top."""
    weights, adapter, optimizer = model_bytes(plan), trained_adapter_bytes(plan), adapter_state_bytes(plan)
    gradients = adapter
    kept, block = _kept_at_head(plan), _kept_at_block(plan)
    head = head_bytes(plan) + (plan.shape.head_parameters * (4 + plan.weight_bytes) if plan.trains_head else 0)
    transient = optimizer_transient_bytes(plan, trained_parameters(plan), plan.weight_bytes if plan.quantized_weight_bytes else 4)
    phases = [
        Phase("head", weights, adapter, gradients, optimizer, kept, head),
        Phase("block", weights, adapter, gradients, optimizer, block + _dequantized_bytes(plan)),
        Phase("optimizer", weights, adapter, gradients, optimizer + transient),
    ]
    if plan.has_reference:
        phases.append(Phase("reference", weights, adapter, gradients, optimizer, kept + forward_bytes(plan), _head_forward_bytes(plan)))
    return phases


def _full_phases(plan: Plan) -> list[Phase]:
    """As gradients appear from the head down, the kept activations go; with accumulation the gradients are there all along.

    Float32 weights are computed with as 16-bit copies, which autocast keeps until the forward pass and its recomputation are over.
    """
    shape, per = plan.shape, plan.weight_bytes
    weights, trained = plan.num_parameters * per, trained_parameters(plan)
    states = optimizer_bytes(plan, trained, per)
    all_gradients = trained * per
    trains_head = not (plan.num_frozen_layers and shape.tied) and plan.head != "score"
    head_gradient, layer_gradient = shape.head_parameters * per if trains_head else 0, shape.layer_parameters * per
    before = all_gradients if plan.accumulates else 0
    head = head_bytes(plan) + (shape.head_parameters * (4 + plan.compute_bytes) if trains_head and plan.head == "tiles" else 0)
    after_head = all_gradients + layer_gradient if plan.accumulates else head_gradient + layer_gradient
    last = block_bytes(plan) + _last_block_kept(plan)
    tied_copy = head_gradient if shape.tied else 0
    transient = optimizer_transient_bytes(plan, trained, per)
    copies = plan.num_parameters * plan.compute_bytes if plan.is_mixed else 0
    kept, block = _kept_at_head(plan) + copies, _kept_at_block(plan) + copies
    phases = [
        Phase("head", weights, 0, before, states, kept, head),
        Phase("first block", weights, 0, after_head, states, block),
        Phase("last block", weights, 0, all_gradients, states, last + copies),
        Phase("embedding", weights, 0, all_gradients + tied_copy, states, plan.num_tokens * shape.hidden_size * per),
        Phase("optimizer", weights, 0, all_gradients, states + transient),
    ]
    if plan.has_reference:
        phases.append(Phase("reference", weights, 0, before, states, kept + forward_bytes(plan), _head_forward_bytes(plan)))
    return phases


def _sampling_phases(plan: Plan) -> list[Phase]:
    """While answers are sampled: keys and values of all of them, one position's logits twice (as they are and in float32), no gradients.

    Growing the cache makes a copy of one layer's keys or values. Derived; the prompts' forward pass is that of a block.
    """
    rollout = plan.rollout
    if rollout is None:
        return []
    per, shape = plan.compute_bytes, plan.shape
    tokens = rollout.num_answers * (rollout.prompt_length + rollout.completion_length)
    cache = 2 * tokens * shape.kv_width * per * shape.num_layers
    growing = 2 * tokens * shape.kv_width * per
    prompts = replace(plan, micro_batch_size=rollout.num_answers, sequence_length=rollout.prompt_length)
    working = max(forward_bytes(prompts), growing + forward_bytes(replace(prompts, sequence_length=1)))
    logits = rollout.num_answers * shape.vocab_size * (per + 8)
    if plan.kind == "full":
        states = optimizer_bytes(plan, trained_parameters(plan), plan.weight_bytes)
        return [Phase("sampling", plan.num_parameters * plan.weight_bytes, 0, 0, states, cache + working, logits)]
    weights, adapter, states = model_bytes(plan), trained_adapter_bytes(plan), adapter_state_bytes(plan)
    return [Phase("sampling", weights, adapter, 0, states, cache + working, logits)]


def _kept_at_head(plan: Plan) -> int:
    """Activations that wait for the backward pass when the forward pass is through."""
    return _waiting(plan, plan.num_trained_layers) + final_norm_bytes(plan)


def _kept_at_block(plan: Plan) -> int:
    """The worst of the backward pass through the blocks: what waits below a block, and what its own pass adds.

    Of blocks that are computed again the uppermost is the worst; where others lie above it, so may be the very beginning.
    """
    num_layers = plan.num_trained_layers
    if not plan.checkpointing:
        return _kept_at_head(plan) + block_bytes(plan)
    uppermost = (num_layers - 1) // plan.checkpoint_every * plan.checkpoint_every
    again = _waiting(plan, uppermost) + block_bytes(plan)
    if uppermost == num_layers - 1:
        return again
    return max(again, _kept_at_head(plan) + block_bytes(plan, recomputes=False))


def _waiting(plan: Plan, num_layers: int) -> int:
    """What the lowest blocks hold: each that is computed again its input, on the device or in main memory, the others everything."""
    if not plan.checkpointing:
        return num_layers * kept_bytes(plan)
    again = -(-num_layers // plan.checkpoint_every)
    on_device = min(again, 1) if plan.offloads else again
    return on_device * hidden_bytes(plan) + (num_layers - again) * (kept_bytes(plan) if num_layers > again else 0)


def _last_block_kept(plan: Plan) -> int:
    """While the lowest block is worked on, nothing else waits."""
    return 0 if plan.checkpointing else kept_bytes(plan)


def _dequantized_bytes(plan: Plan) -> int:
    """The largest matrix of a block in 16 bit again, for the product that it takes part in.

    With many tokens it is gone at the worst instant, but its place in the allocator's segments stays: 8B with 4 rows of 2048 tokens
    reserved 0.8 GiB more than is alive (H100).
    """
    if not plan.quantized_weight_bytes:
        return 0
    return max(linear.inputs * linear.outputs for linear in linears(plan.shape)) * plan.compute_bytes


def head_bytes(plan: Plan) -> int:
    """What the loss needs at its worst instant, without the gradient of a trained head, which is the caller's.

    tiles: the fused head's backward pass: a tile of logits, the last hidden states, the rows with a label, their gradient in 32 bit
    and again; the worst case is counted, in which every token has a label. logits (ORPO, read in TRL's code): all logits, and for
    the log-softmax a float32 copy with its gradient. score: one number for each token.
    """
    tokens, shape, per = plan.num_tokens, plan.shape, plan.compute_bytes
    if plan.head == "score":
        return tokens * 8
    if plan.head == "logits":
        return tokens * shape.vocab_size * (2 * per + 8)
    casts = HEAD_TILE_VOCABULARY * shape.hidden_size * per if plan.is_mixed else 0
    return _tile_bytes(plan) + tokens * shape.hidden_size * (4 + 3 * per) + 28 * tokens + casts


def _head_forward_bytes(plan: Plan) -> int:
    if plan.head != "tiles":
        return head_bytes(plan)
    return _tile_bytes(plan) + plan.num_tokens * (plan.shape.hidden_size * plan.compute_bytes + 28)


def _tile_bytes(plan: Plan) -> int:
    rows, columns = min(plan.num_tokens, HEAD_TILE_TOKENS), min(plan.shape.vocab_size, HEAD_TILE_VOCABULARY)
    if plan.has_triton:
        return rows * HEAD_TILE_VOCABULARY * plan.compute_bytes
    return rows * columns * (plan.compute_bytes + HEAD_BYTES_WITHOUT_TRITON)
