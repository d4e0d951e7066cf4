"""Changes of settings that lower the memory, the least painful first, and the three that a person may want to turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.combinations import REWARDED, least_micro_batch, num_generations
from desktop_ft.core.config.defaults import default_rate
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.device_check import BITSANDBYTES_DEVICES, OFFLOAD_DEVICES, PAGED_DEVICES
from desktop_ft.core.memory.autos import LARGEST_NUM_ROWS, Choices
from desktop_ft.core.memory.objectives import rows_per_example, sequence_length
from desktop_ft.core.memory.plan import Plan
from desktop_ft.core.memory.row_lengths import RowLengths

SHORTEST_LENGTH: Final = 256
"""Examples are not advised to be cut below this."""
SHORTEST_ANSWER: Final = 64
"""Sampled answers are not advised to be cut below this."""
RECOMPUTATION_SLOWDOWN: Final = 1.33
"""A step with every block recomputed costs a forward pass more: 4 of 3 (six against four products for LoRA is 1.5 at worst)."""
DORA_SPEED: Final = 0.47
"""DoRA against LoRA, 8B on an H100 with stock PEFT: 2840 against 6055 tokens a second."""
LEAN_DORA_SPEED: Final = 0.9
"""The engine's own DoRA against LoRA: a step took 1.05 and 1.15 times as long on one CPU core (H 1024, 512 and 1024 tokens, float32,
`benchmarks/dora_speed.py`; PEFT's 1.4 times in the same runs). Not measured on a GPU."""
QLORA_SLOWDOWN: Final = 1.3
"""QLoRA against LoRA, 8B on an H100, two rows of 2048 tokens: 4656 against 6055 tokens a second (with four rows it is faster)."""
PAGED_SLOWDOWN: Final = 1.1
"""Paged 8-bit AdamW against fused AdamW, full fine-tuning of 1B on an H100: 29605 against 32056 tokens a second."""

OFFLOAD_SLOWDOWN: Final = 1.15
"""Checkpoints in main memory: copies on the stream that computes. Assumed, not measured."""


@dataclass(frozen=True)
class Suggestion:
    """A change of settings that lowers the memory.

    Attributes:
        set: Dotted paths and their new values, for `Draft.with_values`.
        title: What it does, in a few words.
        saves_bytes: By how much the estimate falls.
        slowdown: Time of a step afterwards over before; 1.0 for none, below 1 where it is faster too.
        share_cut: Share of the rows that would be cut, 0 to 1, where their lengths are known and something is cut.
        is_set: Whether it is several changes that only together are enough.
    """

    set: Mapping[str, object]
    title: str
    saves_bytes: int
    slowdown: float
    share_cut: float | None = None
    is_set: bool = False


def without_dora(plan: Plan) -> float:
    """Time of a step of plain LoRA over that of the plan's DoRA; 1.0 where it has none."""
    if not plan.use_dora:
        return 1.0
    return LEAN_DORA_SPEED if plan.lean_dora else DORA_SPEED


def changes_of(
    config: RunConfig,
    plan: Plan,
    choices: Choices,
    device: DeviceFacts,
    longest_example: int | None,
    lengths: RowLengths | None = None,
) -> Iterator[Suggestion]:
    """What could be changed: first what leaves the result the same, then what changes it."""
    yield from _same_result(config, plan, choices, device)
    yield from _shorter(config, plan, longest_example, lengths)
    yield from _smaller_method(config, plan, device)


def _same_result(config: RunConfig, plan: Plan, choices: Choices, device: DeviceFacts) -> Iterator[Suggestion]:
    micro, whole, least = choices.micro_batch_size, config.training.global_batch_size, least_micro_batch(config)
    if plan.use_dora:
        yield Suggestion({"method.use_dora": False}, "Plain LoRA instead of DoRA", 0, without_dora(plan))
    smaller = [size for size in range(least, micro) if whole % size == 0]
    if smaller:
        size = smaller[-1] if micro <= 2 else max((s for s in smaller if s <= micro // 2), default=smaller[-1])
        yield Suggestion({"training.micro_batch_size": size}, f"Micro-batch of {size}; the global batch stays {whole}", 0, 1.1)
        if size > least:
            yield Suggestion({"training.micro_batch_size": least}, f"Micro-batch of {least}; the global batch stays {whole}", 0, 1.3)
    if not choices.activation_checkpointing:
        changed = {"training.activation_checkpointing": True}
        yield Suggestion(changed, "Compute activations again (activation checkpointing)", 0, RECOMPUTATION_SLOWDOWN)
    elif choices.activation_checkpointing and plan.checkpoint_every > 1:
        yield Suggestion({"training.checkpoint_every_n_layers": 1}, "Compute every layer's activations again", 0, 1.2)
    if choices.activation_checkpointing and not plan.offloads and device.kind in OFFLOAD_DEVICES:
        title = "What waits for recomputation waits in main memory"
        yield Suggestion({"training.offload_checkpoints": True}, title, 0, OFFLOAD_SLOWDOWN)
    if plan.attention == "eager" and not plan.shape.family.soft_capped:
        yield Suggestion({"model.attention": "sdpa"}, "PyTorch's fused attention", 0, 0.8)
    if plan.kind == "full" and config.objective.kind == "dpo" and not config.objective.dpo.precompute_ref_log_probs:
        yield Suggestion({"objective.dpo.precompute_ref_log_probs": True}, "Ask the reference once, before training", 0, 1.0)
    if device.kind in PAGED_DEVICES and choices.optim in ("adamw_torch", "adamw_torch_fused") and plan.updates != "kahan":
        yield Suggestion({"training.optim": "paged_adamw_8bit"}, "Optimizer states in 8 bit", 0, PAGED_SLOWDOWN)


def _shorter(config: RunConfig, plan: Plan, longest_example: int | None, lengths: RowLengths | None) -> Iterator[Suggestion]:
    length = sequence_length(config, longest_example)
    if config.objective.kind in REWARDED:
        completion, whole = config.objective.rollout.max_completion_length, config.training.global_batch_size
        if completion > SHORTEST_ANSWER:
            shorter = 1 << ((completion - 1).bit_length() - 1)
            yield Suggestion(
                {"objective.rollout.max_completion_length": shorter},
                f"Sampled answers of at most {shorter:,} tokens",
                0,
                shorter / completion,
            )
        if plan.rollout is not None and whole % 2 == 0 and (whole // 2) % num_generations(config) == 0:
            yield Suggestion({"training.global_batch_size": whole // 2}, f"{whole // 2} sampled answers a step instead of {whole}", 0, 0.55)
        length -= completion
    if length > SHORTEST_LENGTH:
        shorter = 1 << ((length - 1).bit_length() - 1)
        share = None if lengths is None else lengths.share_over(shorter)
        cut = "" if share is None else f"; {share:.0%} of them are longer" if share >= 0.005 else "; hardly any is longer"
        yield Suggestion({"data.max_length": shorter}, f"Cut examples at {shorter:,} tokens{cut}", 0, shorter / length, share)


def _smaller_method(config: RunConfig, plan: Plan, device: DeviceFacts) -> Iterator[Suggestion]:
    kind, has_4_bit = config.objective.kind, device.kind in BITSANDBYTES_DEVICES
    rates = {"training.learning_rate": default_rate("lora", kind)} if plan.kind == "full" else {}
    if plan.kind == "full":
        yield Suggestion({"method.kind": "lora", "method.use_dora": False, **rates}, "LoRA instead of full fine-tuning", 0, 0.8)
    if plan.kind != "qlora" and has_4_bit:
        instead = "full fine-tuning" if plan.kind == "full" else "LoRA"
        changed = {"method.kind": "qlora", "method.use_dora": False, **rates}
        yield Suggestion(changed, f"QLoRA instead of {instead}: the frozen model in 4 bit", 0, QLORA_SLOWDOWN)
    if plan.kind != "full" and plan.rank > 8:
        changed = {"method.rank": max(8, plan.rank // 2), "method.alpha": config.method.alpha * max(8, plan.rank // 2) / plan.rank}
        yield Suggestion(changed, f"Rank {max(8, plan.rank // 2)} instead of {plan.rank}", 0, 0.98)


def lever_changes(config: RunConfig, plan: Plan, choices: Choices, longest_example: int | None) -> Iterator[Suggestion]:
    """Three settings that move the memory most, each turned the other way."""
    if plan.kind == "full":
        yield Suggestion({"method.kind": "lora", "method.use_dora": False}, "LoRA instead of full fine-tuning", 0, 1.0)
    elif plan.use_dora:
        yield Suggestion({"method.use_dora": False}, "Plain LoRA instead of DoRA", 0, 1.0)
    else:
        yield Suggestion({"method.use_dora": True}, "DoRA instead of plain LoRA", 0, 1.0)
    switched = not choices.activation_checkpointing
    title = "Activation checkpointing on" if switched else "Activation checkpointing off"
    yield Suggestion({"training.activation_checkpointing": switched}, title, 0, 1.0)
    micro, whole = choices.micro_batch_size, config.training.global_batch_size
    smaller = [size for size in range(1, micro) if whole % size == 0 and size <= max(1, micro // 2)]
    length = sequence_length(config, longest_example)
    if smaller:
        yield Suggestion({"training.micro_batch_size": smaller[-1]}, f"Micro-batch of {smaller[-1]} instead of {micro}", 0, 1.0)
    elif length >= 2 * SHORTEST_LENGTH:
        yield Suggestion({"data.max_length": length // 2}, f"Cut examples at {length // 2:,} tokens", 0, 1.0)


def speed_ups(config: RunConfig, plan: Plan, choices: Choices) -> Iterator[Suggestion]:
    """The other way: what memory that is left over could be spent on, the greatest gain first."""
    if choices.activation_checkpointing:
        yield Suggestion({"training.activation_checkpointing": False}, "Activation checkpointing off", 0, 1 / RECOMPUTATION_SLOWDOWN)
        for every in (4, 2):
            if plan.checkpoint_every < every < plan.shape.num_layers:
                speed = (1 + (RECOMPUTATION_SLOWDOWN - 1) / every) / (1 + (RECOMPUTATION_SLOWDOWN - 1) / plan.checkpoint_every)
                changed = {"training.activation_checkpointing": True, "training.checkpoint_every_n_layers": every}
                yield Suggestion(changed, f"Compute only one layer in {every} again", 0, speed)
        if plan.offloads:
            yield Suggestion({"training.offload_checkpoints": False}, "Checkpoints stay on the card", 0, 1 / OFFLOAD_SLOWDOWN)
    if plan.kind == "qlora":
        yield Suggestion({"method.kind": "lora"}, "LoRA instead of QLoRA: the frozen model in 16 bit", 0, 1 / QLORA_SLOWDOWN)
    micro, whole = choices.micro_batch_size, config.training.global_batch_size
    larger = [size for size in range(micro + 1, LARGEST_NUM_ROWS // rows_per_example(config.objective.kind) + 1) if whole % size == 0]
    for size in reversed(larger):
        gain = 1.1 ** max(1, (size // micro).bit_length() - 1)
        yield Suggestion({"training.micro_batch_size": size}, f"Micro-batch of {size}; the global batch stays {whole}", 0, 1 / gain)
