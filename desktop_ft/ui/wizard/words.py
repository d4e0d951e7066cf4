"""Names of settings, choices and formats as people read them. The help of each setting stands where it is declared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import cast

from PySide6.QtCore import QCoreApplication

from desktop_ft.core.config import RunConfig


def _tr(text: str) -> str:
    return QCoreApplication.translate("wizard.words", text)


@cache
def _setting_names() -> Mapping[str, str]:
    return {**_run_names(), **_method_names(), **_offline_names(), **_online_names()}


def _run_names() -> Mapping[str, str]:
    return {
        "name": _tr("Name"),
        "seed": _tr("Seed"),
        "model.adapter": _tr("Go on from adapter"),
        "model.dtype": _tr("Number format"),
        "model.attention": _tr("Attention"),
        "model.added_tokens": _tr("New tokens"),
        "data.eval": _tr("Evaluation file"),
        "data.split.fraction": _tr("Held out"),
        "data.max_length": _tr("Longest example"),
        "data.packing": _tr("Packing"),
        "data.assistant_only_loss": _tr("Learn answers only"),
        "training.num_train_epochs": _tr("Epochs"),
        "training.max_steps": _tr("Most steps"),
        "training.micro_batch_size": _tr("Micro-batch"),
        "training.global_batch_size": _tr("Batch"),
        "training.learning_rate": _tr("Learning rate"),
        "training.lr_scheduler_type": _tr("Schedule"),
        "training.warmup_steps": _tr("Warm-up"),
        "training.weight_decay": _tr("Weight decay"),
        "training.max_grad_norm": _tr("Longest gradient"),
        "training.optim": _tr("Optimizer"),
        "training.activation_checkpointing": _tr("Checkpointing"),
        "training.checkpoint_every_n_layers": _tr("Recompute every"),
        "training.offload_checkpoints": _tr("Wait in main memory"),
        "training.kernels": _tr("Kernels"),
        "evaluation.eval_steps": _tr("Evaluate every"),
        "evaluation.forgetting": _tr("Measure forgetting"),
        "evaluation.sample_max_new_tokens": _tr("Longest sample"),
        "output.save_steps": _tr("Save every"),
        "output.keep_best": _tr("Keep the best"),
        "output.save_total_limit": _tr("Checkpoints kept"),
    }


def _method_names() -> Mapping[str, str]:
    return {
        "method.kind": _tr("Method"),
        "method.rank": _tr("Rank"),
        "method.alpha": _tr("Alpha"),
        "method.dropout": _tr("Dropout"),
        "method.use_dora": _tr("DoRA"),
        "method.use_rslora": _tr("rsLoRA"),
        "method.init": _tr("Start of the adapter"),
        "method.loraplus_lr_ratio": _tr("LoRA+ ratio"),
        "method.target_modules": _tr("Target modules"),
        "method.modules_to_save": _tr("Trained whole"),
        "method.quantization.quant_type": _tr("4-bit values"),
        "method.quantization.double_quant": _tr("Double quantization"),
        "method.quantization.compute_dtype": _tr("Compute in"),
        "method.num_frozen_layers": _tr("Frozen layers"),
        "method.weight_updates": _tr("Small updates"),
    }


def _offline_names() -> Mapping[str, str]:
    return {
        "objective.dpo.beta": _tr("Beta"),
        "objective.dpo.loss_type": _tr("Loss"),
        "objective.dpo.label_smoothing": _tr("Wrong pairs"),
        "objective.dpo.sft_weight": _tr("Weight of SFT"),
        "objective.dpo.precompute_ref_log_probs": _tr("Reference beforehand"),
        "objective.orpo.beta": _tr("Beta"),
        "objective.kto.beta": _tr("Beta"),
        "objective.kto.loss_type": _tr("Loss"),
        "objective.kto.desirable_weight": _tr("Weight of good"),
        "objective.kto.undesirable_weight": _tr("Weight of bad"),
        "objective.reward.center_rewards_coefficient": _tr("Centring"),
        "objective.rlhf.policy": _tr("Policy trained by"),
        "objective.rlhf.prompts": _tr("Prompts"),
        "objective.rlhf.reward_learning_rate": _tr("Rate of the scorer"),
        "objective.rlhf.reward_num_train_epochs": _tr("Epochs of the scorer"),
        "objective.rlhf.reward_global_batch_size": _tr("Batch of the scorer"),
    }


def _online_names() -> Mapping[str, str]:
    return {
        "objective.rewards.model": _tr("Reward model"),
        "objective.rewards.model_weight": _tr("Weight of the model"),
        "objective.rollout.max_completion_length": _tr("Longest answer"),
        "objective.rollout.temperature": _tr("Temperature"),
        "objective.rollout.top_p": _tr("Top p"),
        "objective.grpo.num_generations": _tr("Answers to a prompt"),
        "objective.grpo.num_iterations": _tr("Passes over answers"),
        "objective.grpo.beta": _tr("Weight of KL"),
        "objective.grpo.epsilon": _tr("Clip range"),
        "objective.grpo.loss_type": _tr("Loss"),
        "objective.grpo.scale_rewards": _tr("Scale rewards by"),
        "objective.rloo.num_generations": _tr("Answers to a prompt"),
        "objective.rloo.num_iterations": _tr("Passes over answers"),
        "objective.rloo.beta": _tr("Weight of KL"),
        "objective.rloo.epsilon": _tr("Clip range"),
        "objective.rloo.normalize_advantages": _tr("Normalize advantages"),
        "objective.ppo.kl_coef": _tr("Weight of KL"),
        "objective.ppo.target_kl": _tr("Target KL"),
        "objective.ppo.kl_horizon": _tr("KL horizon"),
        "objective.ppo.gamma": _tr("Gamma"),
        "objective.ppo.lam": _tr("Lambda"),
        "objective.ppo.cliprange": _tr("Clip range"),
        "objective.ppo.cliprange_value": _tr("Clip range of values"),
        "objective.ppo.vf_coef": _tr("Weight of values"),
        "objective.ppo.num_ppo_epochs": _tr("Passes over answers"),
        "objective.ppo.num_mini_batches": _tr("Mini-batches"),
        "objective.ppo.whiten_rewards": _tr("Whiten rewards"),
        "objective.ppo.whiten_advantages": _tr("Whiten advantages"),
        "objective.ppo.missing_eos_penalty": _tr("Penalty without end"),
        "objective.ppo.kl_early_stop": _tr("Early stop at KL"),
    }


def setting_name(path: str) -> str:
    """The words before a setting's field."""
    return _setting_names()[path]


def value_at(config: RunConfig, path: str) -> object:
    """The value of a dotted path."""
    value: object = config
    for part in path.split("."):
        value = cast("object", getattr(value, part))
    return value


def choice_word(choice: str) -> str:
    """A choice in words; names of the field (adamw_torch, cosine) stay as they are, since that is what an expert looks for."""
    words = {
        "auto": _tr("automatic"),
        "on": _tr("on"),
        "off": _tr("off"),
        "none": _tr("none"),
        "default": _tr("default"),
    }
    return words.get(choice, choice)


def format_name(name: str) -> str:
    """A data format in words."""
    words = {
        "messages": _tr("Chat messages"),
        "sharegpt": _tr("ShareGPT"),
        "alpaca": _tr("Alpaca"),
        "prompt_completion": _tr("Prompt, completion"),
        "qa": _tr("Question, answer"),
        "text": _tr("Plain text"),
        "preference": _tr("Preferences"),
        "sharegpt_preference": _tr("ShareGPT preferences"),
        "alpaca_preference": _tr("Alpaca preferences"),
        "hh_rlhf": _tr("HH-RLHF"),
        "ultrafeedback": _tr("UltraFeedback"),
        "ranked": _tr("Ranked answers"),
        "kto": _tr("Judged answers"),
        "prompts": _tr("Prompts"),
        "rl": _tr("Prompts with answers"),
    }
    return words.get(name, name)
