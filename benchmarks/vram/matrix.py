"""The cases that are measured, in groups; the matrix takes turns among the groups, so that any part of it from the front is a fair one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Final

from benchmarks.vram.archive import RowKind
from benchmarks.vram.cases import Case, Values
from benchmarks.vram.shapes import Shape, shape_of
from desktop_ft.core.config.check import SETTINGS

_FULL: Final[Values] = {"method.kind": "full", "training.learning_rate": 1e-5}
METHODS: Final[Mapping[str, Values]] = {
    "lora": {"method.kind": "lora", "method.use_dora": False},
    "dora": {"method.kind": "lora", "method.use_dora": True},
    "rslora": {"method.kind": "lora", "method.use_dora": False, "method.use_rslora": True, "method.rank": 64},
    "qlora": {"method.kind": "qlora", "method.use_dora": False},
    "qdora": {"method.kind": "qlora", "method.use_dora": True},
    "full": {**_FULL, "method.weight_updates": "kahan"},
    "full-float32": {**_FULL, "method.weight_updates": "float32"},
    "full-plain": {**_FULL, "method.weight_updates": "plain", "training.kernels": "none"},
}
OPTIMIZERS: Final = ("adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd")
REWARDS: Final[Values] = {"objective.rewards.rules": [{"kind": "length", "max_tokens": 64}]}
OBJECTIVES: Final[Mapping[str, Values]] = {
    "sft": {},
    "pretrain": {"objective.kind": "pretrain"},
    "dpo": {"objective.kind": "dpo"},
    "dpo-precomputed": {"objective.kind": "dpo", "objective.dpo.precompute_ref_log_probs": True},
    "orpo": {"objective.kind": "orpo"},
    "kto": {"objective.kind": "kto"},
    "reward": {"objective.kind": "reward"},
    "grpo": {"objective.kind": "grpo", "objective.grpo.num_generations": 4, **REWARDS},
    "grpo-kl": {"objective.kind": "grpo", "objective.grpo.num_generations": 4, "objective.grpo.beta": 0.04, **REWARDS},
    "rloo": {"objective.kind": "rloo", "objective.rloo.num_generations": 4, **REWARDS},
    "ppo": {"objective.kind": "ppo", "objective.ppo.num_ppo_epochs": 2, **REWARDS},
}
PREFERENCES: Final = ("dpo", "dpo-precomputed", "orpo", "kto", "reward")
EAGER_ONLY: Final = frozenset({"gemma2"})
"""Model types that transformers refuses sdpa for: scores are capped before the softmax."""
LARGE: Final[Mapping[str, int]] = {
    "llama-3b": 10, "llama-8b": 8, "smollm2-1.7b": 12, "qwen2.5-7b": 8, "qwen2.5-14b": 8, "qwen3-4b": 12, "qwen3-8b": 8,
    "mistral-7b": 8, "mistral-nemo-12b": 6, "gemma2-2b": 12, "phi3-mini": 10, "phi4-14b": 6, "olmo2-7b": 8, "olmoe-7b": 6,
    "qwen3-30b-a3b": 4,
}  # fmt: skip
"""Blocks that are kept of the larger models, except where the whole is measured."""


def case(
    shape: str | Shape,
    method: str,
    objective: str = "sft",
    batch: tuple[int, int] = (2, 1024),
    *,
    checkpointing: bool = True,
    accumulation: int = 1,
    rows: RowKind = "dense",
    note: str = "",
    reward_model: bool = False,
    more: Mapping[str, object] | None = None,
) -> Case:
    """One case.

    Args:
        shape: Name of the model, which a large one is cut for; or the shape itself.
        method: Of `METHODS`.
        objective: Of `OBJECTIVES`.
        batch: Examples of a micro-batch, and the tokens of a row (of a prompt, where answers are sampled).
        checkpointing: Whether activations are computed again.
        accumulation: Micro-batches of a step.
        rows: Of one length or not.
        note: What is special, for the id.
        reward_model: Whether rewards come from a model.
        more: Further settings by dotted path.
    """
    micro, length = batch
    kept = shape if isinstance(shape, Shape) else shape_of(shape, LARGE.get(shape))
    settings: Values = {
        "training.micro_batch_size": micro, "training.global_batch_size": micro * accumulation, "data.max_length": length,
        "training.activation_checkpointing": checkpointing, "training.optim": "adamw_torch_fused", "data.packing": False,
        **METHODS[method], **OBJECTIVES[objective],
    }  # fmt: skip
    if kept.config["model_type"] in EAGER_ONLY:
        settings["model.attention"] = "eager"
    settings |= more or {}
    parts = [kept.name, method, objective, f"{micro}x{length}", "checkpointing" if checkpointing else "kept", note]
    parts += [f"accumulation {accumulation}"] * (accumulation > 1) + [rows] * (rows != "dense")
    alone = str(settings["training.optim"]).startswith("paged")
    return Case(" / ".join(part for part in parts if part), kept, settings, rows=rows, reward_model=reward_model, alone=alone)


def _families() -> Iterator[Case]:
    """LoRA on every shape, with and without recomputation."""
    names = (
        "llama-1b", "qwen3-0.6b", "mistral-7b", "gemma2-2b", "gemma3-1b", "phi3-mini", "olmo2-1b", "smollm2-135m", "qwen2.5-0.5b",
        "llama-8b", "qwen2.5-7b", "qwen3-4b", "mistral-nemo-12b", "smollm2-1.7b", "phi4-14b", "olmo2-7b", "smollm2-360m", "llama-3b",
        "qwen2.5-1.5b", "qwen3-8b", "qwen2.5-14b",
    )  # fmt: skip
    for name in names:
        yield case(name, "lora", batch=(4, 1024))
        yield case(name, "lora", batch=(2, 1024), checkpointing=False)


def _quantized() -> Iterator[Case]:
    for name in ("llama-1b", "qwen2.5-1.5b", "qwen3-4b", "mistral-7b", "gemma3-1b", "phi3-mini", "olmo2-1b", "llama-8b", "gemma2-2b"):
        yield case(name, "qlora", batch=(4, 1024))
        yield case(name, "qlora", batch=(2, 1024), checkpointing=False)
    yield case("qwen2.5-14b", "qlora", batch=(2, 2048))
    yield case("phi4-14b", "qlora", batch=(2, 2048))


def _full() -> Iterator[Case]:
    for name in ("qwen2.5-0.5b", "llama-1b", "qwen3-0.6b", "smollm2-360m", "gemma3-1b", "smollm2-135m"):
        yield case(name, "full", batch=(4, 1024))
        yield case(name, "full", batch=(2, 1024), checkpointing=False)
    for name, blocks in (("mistral-7b", 4), ("phi3-mini", 6), ("llama-8b", 4), ("olmo2-1b", 16)):
        yield case(shape_of(name, blocks), "full", batch=(2, 2048))


def _updates() -> Iterator[Case]:
    """How full fine-tuning keeps its weights and its optimizer's states."""
    for name in ("qwen2.5-0.5b", "llama-1b"):
        yield case(name, "full-float32", batch=(2, 1024))
        yield case(name, "full-plain", batch=(4, 1024))
        for optim in OPTIMIZERS:
            yield case(name, "full-float32", batch=(2, 1024), note=optim, more={"training.optim": optim})
    yield case("llama-1b", "full", batch=(2, 1024), note="8 frozen", more={"method.num_frozen_layers": 8})
    yield case("llama-1b", "full-float32", batch=(2, 1024), checkpointing=False)
    yield case("llama-8b", "lora", batch=(2, 1024), note="paged 8-bit", more={"training.optim": "paged_adamw_8bit"})
    yield case("llama-1b", "qlora", batch=(2, 1024), note="8-bit", more={"training.optim": "adamw_8bit"})


def _adapters() -> Iterator[Case]:
    for name in ("llama-1b", "llama-8b", "qwen3-4b"):
        yield case(name, "dora")
        yield case(name, "dora", batch=(2, 512), checkpointing=False)
    yield case("llama-1b", "rslora", batch=(4, 1024))
    yield case("llama-1b", "qdora")
    yield case("llama-1b", "lora", note="attention", more={"method.target_modules": "attention"})
    yield case("llama-1b", "lora", checkpointing=False, note="attention", more={"method.target_modules": "attention"})
    yield case("llama-1b", "lora", note="dropout", more={"method.dropout": 0.05})
    yield case("llama-1b", "lora", checkpointing=False, note="dropout", more={"method.dropout": 0.05})
    yield case("llama-1b", "lora", note="q, v", more={"method.target_modules": ["q_proj", "v_proj"]})
    yield case("llama-8b", "lora", note="embeddings trained", more={"method.modules_to_save": ["embed_tokens", "lm_head"]})
    yield case("llama-1b", "lora", note="token added", more={"model.added_tokens": ["<|extra|>"]})
    yield case("llama-1b", "qlora", note="single quantization", more={"method.quantization.double_quant": False})
    yield case("llama-1b", "qlora", checkpointing=False, note="dropout", more={"method.dropout": 0.05})
    yield case("qwen2.5-1.5b", "rslora", batch=(2, 1024), note="rank 256", more={"method.rank": 256})


def _preferences() -> Iterator[Case]:
    yield from (case("llama-1b", "lora", objective, (2, 1024)) for objective in PREFERENCES)
    yield from (case("qwen2.5-0.5b", "full", objective, (2, 512)) for objective in PREFERENCES)
    for objective in ("dpo", "kto", "reward", "orpo"):
        yield case("llama-1b", "lora", objective, (2, 512), checkpointing=False)
        yield case("qwen3-0.6b", "qlora", objective, (2, 512))
    yield case("llama-8b", "lora", "dpo", (2, 1024))
    yield case("mistral-7b", "qlora", "reward", (2, 1024))
    yield case("gemma3-1b", "lora", "dpo", (2, 512))
    yield case("llama-1b", "dora", "dpo", (2, 512))


def _online() -> Iterator[Case]:
    more: Values = {"objective.rollout.max_completion_length": 64}
    policies = ("grpo", "rloo", "ppo")
    yield from (case("llama-1b", "lora", objective, (4, 512), accumulation=4, more=more) for objective in policies)
    for objective in policies:
        yield case("qwen2.5-0.5b", "qlora", objective, (4, 512), accumulation=2, more=more)
        yield case("smollm2-135m", "full", objective, (4, 512), accumulation=2, more=more)
    yield case("llama-1b", "lora", "grpo-kl", (4, 512), accumulation=8, more=more)
    yield case("qwen3-0.6b", "lora", "grpo", (4, 256), accumulation=16, checkpointing=False, more=more)
    yield case("llama-1b", "lora", "ppo", (4, 512), accumulation=2, note="reward model", reward_model=True, more=more)
    yield case("llama-1b", "qlora", "ppo", (4, 512), accumulation=2, note="reward model", reward_model=True, more=more)


def _lengths() -> Iterator[Case]:
    for batch in ((1, 512), (1, 4096), (8, 1024), (16, 512), (1, 8192), (8, 2048)):
        yield case("llama-1b", "lora", batch=batch)
        yield case("qwen2.5-1.5b", "qlora", batch=batch)
    for batch in ((1, 256), (1, 2048), (8, 256), (4, 2048)):
        yield case("llama-1b", "lora", batch=batch, checkpointing=False)
    yield case("qwen2.5-0.5b", "full", batch=(1, 4096))
    yield case("qwen2.5-0.5b", "full", batch=(8, 2048))


def _attention() -> Iterator[Case]:
    for name, batch in (("llama-1b", (2, 1024)), ("gemma2-2b", (2, 512)), ("qwen2.5-0.5b", (4, 512))):
        yield case(name, "lora", batch=batch, note="eager", more={"model.attention": "eager"})
        yield case(name, "lora", batch=batch, checkpointing=False, note="eager", more={"model.attention": "eager"})
    for checkpointing in (True, False):
        yield case("llama-1b", "lora", batch=(2, 512), checkpointing=checkpointing, note="float32", more={"model.dtype": "float32"})
    yield case("llama-1b", "lora", note="float16", more={"model.dtype": "float16"})


def _packing_and_stock() -> Iterator[Case]:
    for batch in ((1, 1024), (2, 1024), (1, 2048)):
        yield case("llama-1b", "lora", batch=batch, note="packed", more={"data.packing": True})
    yield case("llama-1b", "lora", batch=(2, 1024), checkpointing=False, note="packed", more={"data.packing": True})
    for method in ("lora", "qlora", "dora"):
        yield case("llama-1b", method, batch=(4, 1024), note="stock", more={"training.kernels": "none"})
    yield case("llama-1b", "lora", "dpo", (2, 1024), note="stock", more={"training.kernels": "none"})
    yield case("llama-8b", "lora", batch=(2, 2048), note="stock", more={"training.kernels": "none"})


def _ragged_and_accumulated() -> Iterator[Case]:
    for method in ("lora", "qlora", "full"):
        yield case("qwen2.5-0.5b", method, batch=(4, 1024), rows="ragged")
        yield case("qwen2.5-0.5b", method, batch=(2, 1024), accumulation=2)
    yield case("llama-1b", "lora", batch=(4, 1024), checkpointing=False, rows="ragged")
    yield case("llama-1b", "lora", "dpo", (2, 1024), rows="ragged")
    yield case("llama-1b", "full", batch=(2, 1024), accumulation=2)
    yield case("llama-1b", "full", batch=(2, 1024), accumulation=2, checkpointing=False)
    yield case("llama-1b", "full-float32", batch=(2, 1024), accumulation=2)
    yield case("llama-1b", "lora", "pretrain", (4, 1024), rows="ragged")
    longer: Values = {"training.max_steps": 12, "evaluation.eval_steps": 6}
    for method, objective in (("lora", "dpo"), ("qlora", "dpo"), ("lora", "reward"), ("lora", "sft"), ("lora", "kto"), ("full", "sft")):
        yield case("llama-1b", method, objective, (4, 512), checkpointing=False, rows="varied", note="12 steps", more=longer)
    yield case("qwen2.5-0.5b", "full", "pretrain", (4, 1024))


def _whole() -> Iterator[Case]:
    yield case(shape_of("llama-8b"), "lora", batch=(4, 2048))
    yield case(shape_of("qwen2.5-14b"), "qlora", batch=(1, 1024))
    yield case(shape_of("llama-8b"), "qlora", batch=(2, 2048))
    yield case(shape_of("qwen3-4b"), "lora", batch=(2, 1024), checkpointing=False)
    yield case(shape_of("mistral-nemo-12b"), "lora", batch=(1, 1024))
    yield case(shape_of("phi3-mini"), "lora", batch=(2, 1024))


def _mixtures() -> Iterator[Case]:
    for name in ("olmoe-7b", "qwen3-30b-a3b"):
        yield case(name, "lora")
        yield case(name, "lora", batch=(2, 512), checkpointing=False)
        yield case(name, "lora", note="attention", more={"method.target_modules": "attention"})
        yield case(name, "qlora", note="attention", more={"method.target_modules": "attention"})


def _checkpoints() -> Iterator[Case]:
    """Settings of checkpointing, as far as this version has them."""
    if "training.checkpoint_every_n_layers" in SETTINGS:
        for every in (2, 4):
            yield case("llama-1b", "lora", note=f"every {every}", more={"training.checkpoint_every_n_layers": every})
            yield case("qwen2.5-0.5b", "full", note=f"every {every}", more={"training.checkpoint_every_n_layers": every})
    if "training.offload_checkpoints" in SETTINGS:
        yield case("llama-1b", "lora", batch=(8, 2048), note="offloaded", more={"training.offload_checkpoints": True})
        yield case("qwen2.5-1.5b", "qlora", batch=(4, 2048), note="offloaded", more={"training.offload_checkpoints": True})


_GROUPS: Final = (
    _families, _quantized, _full, _updates, _adapters, _preferences, _online, _lengths, _attention, _packing_and_stock,
    _ragged_and_accumulated, _whole, _mixtures, _checkpoints,
)  # fmt: skip


def matrix() -> list[Case]:
    """Every case, the groups taking turns, the larger ones with more cases a turn."""
    queues = [list(group()) for group in _GROUPS]
    paced = [_paced(queue) for queue in queues]
    return [one for turn in zip_longest(*paced, fillvalue=()) for taken in turn for one in taken]


def _paced(queue: Sequence[Case]) -> list[Sequence[Case]]:
    pace = max(1, len(queue) // 6)
    return [queue[start : start + pace] for start in range(0, len(queue), pace)]


def tiny_matrix() -> list[Case]:
    """A few cases of the smallest shape, for a machine without a card."""
    more: Values = {"objective.rollout.max_completion_length": 16}
    return [
        case("tiny", "lora", batch=(2, 64)),
        case("tiny", "full-float32", batch=(2, 64), accumulation=2, checkpointing=False),
        case("tiny", "qlora", batch=(2, 64), rows="ragged"),
        case("tiny", "dora", "dpo", (2, 64)),
        case("tiny", "lora", "ppo", (2, 64), note="reward model", reward_model=True, more=more),
        case("tiny", "lora", "grpo", (4, 64), more=more),
    ]


__all__ = ["case", "matrix", "tiny_matrix"]
