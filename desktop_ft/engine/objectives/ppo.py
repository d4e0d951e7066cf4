"""Proximal policy optimization: ours, since TRL has none. Who plays which part is decided here."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel, set_seed

from desktop_ft.core.events import WarningRaised
from desktop_ft.core.reward_model import RewardSource, find_reward_model
from desktop_ft.engine.checkpointing import checkpoint_as_stated
from desktop_ft.engine.controls import Controls
from desktop_ft.engine.methods.dora import make_lean
from desktop_ft.engine.methods.optimizer import build_optimizer
from desktop_ft.engine.objectives.parts import Parts
from desktop_ft.engine.ppo.loop import PpoTraining
from desktop_ft.engine.ppo.reward_role import can_share, put_reward_adapter, shared_reward_model
from desktop_ft.engine.ppo.roles import ADAPTERS, Roles, SeparateModels, SharedBase, add_copy, new_value_head, without_dropout
from desktop_ft.engine.ppo.sampling import Sampler
from desktop_ft.engine.reward_model import RewardModel, load_reward_model, read_head
from desktop_ft.engine.rewards import make_rewards


def make(parts: Parts) -> PpoTraining:
    """The training of a PPO run.

    Raises:
        DesktopFtError: As `make_rewards` and `find_reward_model`; ``adapter_mismatch``.
    """
    config = parts.config
    set_seed(config.seed)
    stated = config.objective.rewards.model
    source = None if stated is None else find_reward_model(Path(stated))
    roles, reward_model = _apart(parts, source) if config.method.kind == "full" else _on_one_base(parts, source)
    if without_dropout(roles.learning):
        _tell_dropout(parts)
    if config.training.activation_checkpointing:
        for model in roles.models:
            checkpoint_as_stated(config.training, model)
            model.activation_checkpointing_enable()
    controls = next((callback for callback in parts.callbacks if isinstance(callback, Controls)), None)
    return PpoTraining(
        parts,
        roles,
        Sampler(roles.models[0], parts.tokenizer, config.objective.rollout, cast("int", config.training.micro_batch_size)),
        make_rewards(parts, reward_model),
        controls.stop_waits if controls else lambda: False,
        build_optimizer(config, cast("PreTrainedModel", roles.learning)),
    )


def _on_one_base(parts: Parts, source: RewardSource | None) -> tuple[Roles, RewardModel | None]:
    """Every part an adapter of the base in memory; the reward model too, where it is one of the same base.

    Where the run goes on from an adapter, the reference is a copy of that; otherwise it is the base alone. The value function starts as
    the reward model does (Ouyang et al. 2022, appendix C.4), else as the policy.
    """
    if isinstance(parts.model, PeftModel):
        model = parts.model
        add_copy(model, ADAPTERS["policy"], ADAPTERS["reference"])
    else:
        model = cast("PeftModel", get_peft_model(parts.model, cast("LoraConfig", parts.peft_config)))
    base = cast("PreTrainedModel", model.get_base_model())
    is_shared = source is not None and can_share(source, parts.model_dir)
    if source is not None and is_shared:
        put_reward_adapter(model, source)
        add_copy(model, ADAPTERS["reward"], ADAPTERS["value"])
    else:
        add_copy(model, ADAPTERS["policy"], ADAPTERS["value"], without=_output_name(base))
    if parts.config.training.kernels != "none":
        make_lean(model)
    head = new_value_head(base, read_head(source) if source is not None and is_shared else None)
    roles = SharedBase(model, head, parts.config.objective.rollout.temperature)
    if source is None:
        return roles, None
    if is_shared:
        return roles, shared_reward_model(roles, source)
    _tell_apart(parts, source)
    return roles, load_reward_model(source, parts.device)


def _output_name(model: PreTrainedModel) -> str:
    """What the output matrix is called, which a value function has no use for."""
    output = model.get_output_embeddings()
    return next((name.split(".")[-1] for name, module in model.named_modules() if module is output), "")


def _apart(parts: Parts, source: RewardSource | None) -> tuple[Roles, RewardModel | None]:
    """Every part a model of its own; the value function starts as the reward model where that is of the same kind and size."""
    model = cast("PreTrainedModel", parts.model)
    reward_model = None if source is None else load_reward_model(source, parts.device)
    weights: dict[str, torch.Tensor] = {}
    if reward_model is not None and isinstance(reward_model.model, PreTrainedModel):
        theirs, own = reward_model.model.base_model.state_dict(), model.base_model.state_dict()
        is_alike = {name: weight.shape for name, weight in theirs.items()} == {name: weight.shape for name, weight in own.items()}
        weights = theirs if is_alike else {}
    head = new_value_head(model, read_head(reward_model.source) if reward_model is not None and weights else None)
    return SeparateModels(model, head, parts.config.objective.rollout.temperature, weights), reward_model


def _tell_dropout(parts: Parts) -> None:
    parts.events.write(
        WarningRaised(
            code="ppo_no_dropout",
            title="PPO trains without dropout",
            message="method.dropout, and the model's own dropout, do not apply: with them a policy would differ from itself.",
        )
    )


def _tell_apart(parts: Parts, source: RewardSource) -> None:
    parts.events.write(
        WarningRaised(
            code="ppo_reward_model_apart",
            title="The reward model takes memory of its own",
            message=f"{source.folder} is a whole model, or stands on another base: it is loaded beside the model in training.",
            hint="A reward model that was trained as an adapter of the same base model shares its memory.",
        )
    )
