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
    return {
        "name": _tr("Name"),
        "seed": _tr("Seed"),
        "model.adapter": _tr("Go on from adapter"),
        "model.dtype": _tr("Number format"),
        "model.attention": _tr("Attention"),
        "data.eval": _tr("Evaluation file"),
        "data.split.fraction": _tr("Held out"),
        "data.max_length": _tr("Longest example"),
        "data.packing": _tr("Packing"),
        "data.assistant_only_loss": _tr("Learn answers only"),
        "method.kind": _tr("Method"),
        "method.rank": _tr("Rank"),
        "method.alpha": _tr("Alpha"),
        "method.dropout": _tr("Dropout"),
        "method.use_dora": _tr("DoRA"),
        "method.use_rslora": _tr("rsLoRA"),
        "method.init": _tr("Start of the adapter"),
        "method.target_modules": _tr("Target modules"),
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
        "training.kernels": _tr("Kernels"),
        "evaluation.eval_steps": _tr("Evaluate every"),
        "evaluation.sample_max_new_tokens": _tr("Longest sample"),
        "output.save_steps": _tr("Save every"),
        "output.save_total_limit": _tr("Checkpoints kept"),
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
    }
    return words.get(name, name)
