"""Settings that were changed and will have no effect: no error, but told before the start. Nothing is left out silently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from desktop_ft.core.config.check import SETTINGS
from desktop_ft.core.config.defaults import defaults_for
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.config.schema import RunConfig

PARTS: Final[Mapping[ObjectiveName, tuple[str, ...]]] = {
    "sft": (), "pretrain": (), "dpo": ("dpo",), "orpo": ("orpo",), "kto": ("kto",), "reward": ("reward",),
    "grpo": ("grpo", "rewards", "rollout"), "rloo": ("rloo", "rewards", "rollout"), "ppo": ("ppo", "rewards", "rollout"),
    "rlhf": ("rlhf", "reward", "rewards", "rollout"),
}  # fmt: skip
"""Sections below ``objective`` that each objective reads; rlhf reads that of its policy besides."""
_KEPT_BY_ADAPTER: Final = ("rank", "alpha", "use_dora", "use_rslora", "init", "target_modules", "modules_to_save")
_ADAPTER_ONLY: Final = (*_KEPT_BY_ADAPTER, "loraplus_lr_ratio")
_WITHOUT_DROPOUT: Final = ("dpo", "orpo", "kto", "reward", "ppo")
"""TRL's trainers of these (`disable_dropout`), and our PPO, turn every dropout off: its noise would hide how two answers differ."""
_FULL_ONLY: Final = ("num_frozen_layers", "weight_updates")


def ignored_settings(config: RunConfig) -> Mapping[str, str]:
    """Settings that differ from their default and that this run does not look at.

    Returns:
        Dotted paths in the order of declaration, each with the reason as a sentence.
    """
    values: object = config.model_dump()
    defaults = defaults_for(config.method.kind, config.objective.kind)
    found: dict[str, str] = {}
    for path, info in SETTINGS.items():
        if _value_at(values, path) not in (info.default, defaults.get(path, info.default)):
            why = why_ignored(config, path)
            if why:
                found[path] = why
    return found


def ignored_note(config: RunConfig) -> str:
    """The same as one sentence; empty where every setting counts."""
    paths = ", ".join(ignored_settings(config))
    return f"Without effect in this run: {paths}." if paths else ""


def _value_at(value: object, path: str) -> object:
    for part in path.split("."):
        value = cast("Mapping[str, object]", value)[part]
    return value


def why_ignored(config: RunConfig, path: str) -> str:
    """Why a setting has no effect in this run; empty where it has one."""
    section, _, rest = path.partition(".")
    match section:
        case "objective":
            return _why_objective_ignores(config, rest)
        case "method":
            return _why_method_ignores(config, rest)
        case "training":
            return _why_training_ignores(config, rest)
        case "data" if rest == "assistant_only_loss" and config.objective.kind != "sft":
            return f"Only sft distinguishes the assistant's turns; {config.objective.kind} does not."
        case "evaluation" if rest in ("sample_prompts", "sample_max_new_tokens") and config.objective.kind == "reward":
            return "A reward model scores answers and writes none."
        case _:
            return ""


def _why_objective_ignores(config: RunConfig, rest: str) -> str:
    objective, part = config.objective, rest.partition(".")[0]
    if part == "kind":
        return ""
    if part not in (*PARTS[objective.kind], *((objective.rlhf.policy,) if objective.kind == "rlhf" else ())):
        return f"It belongs to another objective; this run trains {objective.kind}."
    if rest == "rewards.model_weight" and objective.rewards.model is None and objective.kind != "rlhf":
        return "There is no reward model."
    if rest == "ppo.kl_horizon" and objective.ppo.target_kl is None:
        return "kl_coef is fixed, as target_kl is not set."
    return ""


def _why_method_ignores(config: RunConfig, rest: str) -> str:
    kind, name = config.method.kind, rest.partition(".")[0]
    if name == "quantization" and kind != "qlora":
        return f"Only qlora keeps the model in 4 bit; this run trains {kind}."
    if name in _ADAPTER_ONLY and kind == "full":
        return "Full fine-tuning has no adapter."
    if name == "dropout" and config.objective.kind in _WITHOUT_DROPOUT:
        return f"{config.objective.kind} compares answers without dropout."
    if name in _FULL_ONLY and kind != "full":
        return f"The model's weights are frozen; this run trains {kind}."
    if name in _KEPT_BY_ADAPTER and config.model.adapter is not None:
        return "The run goes on from an adapter, which keeps its own."
    return ""


def _why_training_ignores(config: RunConfig, rest: str) -> str:
    training = config.training
    if rest == "num_train_epochs" and training.max_steps is not None:
        return f"max_steps ends the run after {training.max_steps:,} steps."
    if rest == "warmup_steps" and training.lr_scheduler_type == "constant":
        return "A constant learning rate has no warm-up; constant_with_warmup has."
    if rest in ("checkpoint_every_n_layers", "offload_checkpoints") and training.activation_checkpointing is False:
        return "Activation checkpointing is off: nothing is computed again."
    return ""
