"""The optimizer of a run: one road for every objective, whichever trainer drives it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final, cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer_pt_utils import get_parameter_names
from transformers.training_args import OptimizerNames

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.methods import weight_updates
from desktop_ft.core.device_check import BITSANDBYTES_OPTIMIZERS
from desktop_ft.engine.methods.quantization import check_bitsandbytes

NOT_DECAYED: Final = (r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)")
"""Names without weight decay, as `transformers.Trainer.get_decay_parameter_names` has them."""
BETAS: Final = (0.9, 0.999)
EPSILON: Final = 1e-8
"""Adam's as in transformers' TrainingArguments."""
KAHAN_BETAS: Final = (0.9, 0.99)
"""optimi's own: its moments are kept in bfloat16, where a decay of 0.999 rounds away and the second moment never falls."""


def build_optimizer(config: RunConfig, model: PreTrainedModel | PeftModel) -> torch.optim.Optimizer:
    """The optimizer over everything of the model that is trained, at ``training.learning_rate``.

    The groups are `transformers.Trainer`'s: weight decay for all but biases and norms. LoRA+ has PEFT's: the B matrices, and DoRA's
    magnitudes, learn ``method.loraplus_lr_ratio`` times as fast. Kahan summation is optimi's AdamW.

    Args:
        config: Without any ``auto``.
        model: With its adapter, its frozen parameters marked.

    Raises:
        DesktopFtError: ``bitsandbytes_missing``.
    """
    optimizer_class, settings = _class_and_settings(config)
    ratio = config.method.loraplus_lr_ratio
    if ratio is not None and config.method.kind != "full":
        optimizer = _loraplus(optimizer_class, settings, model, ratio, config.training.weight_decay)
    else:
        optimizer = optimizer_class(_groups(model, config.training.weight_decay), **settings)
    if settings.get("optim_bits") == 8:
        _keep_embeddings_in_float32(model)
    return optimizer


def _class_and_settings(config: RunConfig) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    training = config.training
    if config.method.kind == "full" and weight_updates(config)[0] == "kahan":
        from optimi import AdamW

        return AdamW, {"lr": training.learning_rate, "betas": KAHAN_BETAS, "eps": EPSILON, "kahan_sum": True}
    if training.optim in BITSANDBYTES_OPTIMIZERS:
        check_bitsandbytes(f"training.optim: {training.optim}")
    asked = SimpleNamespace(
        optim=OptimizerNames("adamw_torch_fused" if training.optim == "auto" else training.optim),
        learning_rate=training.learning_rate,
        adam_beta1=BETAS[0],
        adam_beta2=BETAS[1],
        adam_epsilon=EPSILON,
        optim_args=None,
    )
    found = Trainer.get_optimizer_cls_and_kwargs(cast("TrainingArguments", asked))
    return cast("tuple[type[torch.optim.Optimizer], dict[str, Any]]", found)


def _groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decayed = set(get_parameter_names(model, [torch.nn.LayerNorm], list(NOT_DECAYED)))
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for name, parameter in trained if name in decayed], "weight_decay": weight_decay},
        {"params": [parameter for name, parameter in trained if name not in decayed], "weight_decay": 0.0},
    ]


def _loraplus(
    optimizer_class: type[torch.optim.Optimizer],
    settings: dict[str, Any],
    model: PreTrainedModel | PeftModel,
    ratio: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Source: Hayou et al. 2024, arXiv 2402.12354."""
    from peft.optimizers import create_loraplus_optimizer

    others = {name: value for name, value in settings.items() if name != "lr"}
    rate = cast("float", settings["lr"])
    return create_loraplus_optimizer(
        cast("PeftModel", model), optimizer_class, lr=rate, loraplus_lr_ratio=ratio, loraplus_weight_decay=weight_decay, **others
    )


def _keep_embeddings_in_float32(model: torch.nn.Module) -> None:
    """As Trainer: 8-bit states are unstable for embeddings (Dettmers et al. 2022, arXiv 2110.02861, section 3.3).

    bitsandbytes remembers the places of such weights for the whole process; an optimizer made later, as in RLHF's second stage, would
    keep float32 states for whatever stands in the same place.
    """
    from bitsandbytes.optim.optimizer import GlobalOptimManager

    manager = GlobalOptimManager.get_instance()
    manager.initialize()
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            manager.register_module_override(module, "weight", {"optim_bits": 32})
