"""What the methods of fine-tuning ask for, decided from settings alone: how weights take updates, which settings contradict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from desktop_ft.core.config.schema import RunConfig
from desktop_ft.core.errors import Problem

WeightUpdates = Literal["float32", "kahan", "plain"]
BASE_MOVING_INITS: Final = frozenset({"pissa", "pissa_niter_4", "olora"})
"""Starts that move a part of the base's weights into the adapter: the base alone is another model while they train."""
ADAMW: Final = frozenset({"auto", "adamw_torch", "adamw_torch_fused"})


def weight_updates(config: RunConfig) -> tuple[WeightUpdates, str]:
    """How full fine-tuning keeps updates that 16 bits would lose, and why.

    Args:
        config: With ``model.dtype`` resolved.
    """
    stated, dtype = config.method.weight_updates, config.model.dtype
    assert dtype != "auto", "resolve model.dtype first"
    if stated != "auto":
        return stated, "As stated."
    if dtype != "bfloat16":
        return "float32", "The weights are trained in float32, which loses nothing."
    if config.training.kernels == "none":
        return "plain", "As stock TRL trains bfloat16 weights."
    if config.training.optim not in ADAMW:
        return "float32", f"float32 weights: {config.training.optim} has no Kahan summation."
    return "kahan", "bfloat16 weights that carry along what rounding lost: 10 bytes for each weight in place of float32's 16."


def method_problems(config: RunConfig) -> Iterator[Problem]:
    """Settings of the method that contradict each other or the objective; those without effect are `ignored_settings`."""
    method = config.method
    if method.kind == "full":
        yield from _update_problems(config)
    elif config.model.adapter is None:
        yield from _start_problems(config)


def _start_problems(config: RunConfig) -> Iterator[Problem]:
    """Of how a new adapter starts."""
    init, rank, kind = config.method.init, config.method.rank, config.objective.kind
    if init == "orthogonal" and rank % 2:
        yield Problem("method.rank", f"orthogonal needs an even rank, not {rank}.", f"Set it to {rank + 1}.")
    if init == "orthogonal" and config.method.kind == "qlora":
        why = "orthogonal draws the adapter in the format of the base's weights, and in 4 bit that holds no numbers."
        yield Problem("method.init", why, "Set method.init to default or gaussian, or method.kind to lora.")
    if init == "eva" and kind not in {"sft", "pretrain"}:
        why = f"eva looks at how the model reads whole training rows, which {kind} does not have."
        yield Problem("method.init", why, "Set it to default, orthogonal or gaussian.")
    if init in BASE_MOVING_INITS:
        yield from _moving_problems(config)


def _moving_problems(config: RunConfig) -> Iterator[Problem]:
    init, kind = config.method.init, config.objective.kind
    if config.method.kind == "qlora":
        yield Problem(
            "method.init",
            f"{init} changes the base's weights, and in 4 bit what is left would be rounded anew.",
            "Set method.init to default or gaussian, or method.kind to lora.",
        )
    needs_reference = kind in {"dpo", "kto", "rloo", "ppo", "rlhf"} or (kind == "grpo" and config.objective.grpo.beta > 0)
    if needs_reference:
        yield Problem(
            "method.init",
            f"the model without its adapter, with which {kind} compares, is another than the start under {init}.",
            "Set method.init to default, orthogonal or gaussian.",
        )


def _update_problems(config: RunConfig) -> Iterator[Problem]:
    path, stated, dtype = "method.weight_updates", config.method.weight_updates, config.model.dtype
    if stated == "plain" and config.training.kernels != "none":
        yield Problem(path, "plain 16-bit weights hardly move at the usual rates.", "Set it to auto; only kernels: none takes plain.")
    if stated == "plain" and dtype == "float16":
        yield Problem(path, "float16 weights cannot be trained under loss scaling.", "Set it to auto.")
    if stated == "kahan" and dtype in {"float32", "float16"}:
        yield Problem(path, f"kahan carries what bfloat16 loses; the weights are {dtype}.", "Set model.dtype to auto or bfloat16.")
    if stated == "kahan" and config.training.optim not in ADAMW:
        yield Problem("training.optim", f"kahan comes with its own AdamW, not {config.training.optim}.", "Set it to auto.")
