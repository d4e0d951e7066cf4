"""Going on from a language model's adapter with a reward model: its matrices under a new scoring head.

PEFT puts an adapter of one task on a model of another and leaves out what does not fit without a word, so every key is checked here.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import PreTrainedModel

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.reward_model import find_reward_model
from desktop_ft.engine.load import load_adapter
from desktop_ft.engine.reward_model import HEADS, check_head


def continued_scorer(base: PreTrainedModel, folder: Path, dropout: float) -> PeftModel:
    """The scorer with an adapter to train further.

    Args:
        base: A sequence classifier with one output.
        folder: An adapter of a reward run, which brings its head, or of a language model, whose matrices get the base's head.
        dropout: Share of the adapter's inputs dropped while training: the run's own setting.

    Raises:
        DesktopFtError: ``adapter_missing``, ``adapter_mismatch`` or ``reward_no_head``.
    """
    if not (folder / "adapter_config.json").is_file():
        return load_adapter(base, folder, dropout)  # which says so
    old = PeftConfig.from_pretrained(str(folder))
    if old.task_type == "SEQ_CLS":
        model = load_adapter(base, folder, dropout)
        check_head(model, find_reward_model(folder))
        return model
    if not isinstance(old, LoraConfig):
        raise _mismatch(folder, f"it is a {old.peft_type} adapter; a reward model goes on from a LoRA adapter")
    weights = load_file(str(folder / "adapter_model.safetensors"))
    outputs = [name for name in weights if "lm_head" in name]
    if outputs:
        raise _mismatch(folder, f"it changes the output layer ({outputs[0]}), which a reward model does not have")
    settings = dataclasses.replace(old, task_type="SEQ_CLS", inference_mode=False, init_lora_weights=True, lora_dropout=dropout)
    model = cast("PeftModel", get_peft_model(base, settings))
    _put(model, weights, folder)
    return model


def _put(model: PeftModel, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Every matrix of the adapter, and none missing but the head, which is the model's own."""
    own = get_peft_model_state_dict(model)
    heads = {name: weight for name, weight in own.items() if any(part in HEADS for part in name.split("."))}
    missing, unexpected = sorted(set(own) - set(heads) - set(weights)), sorted(set(weights) - set(own))
    if unexpected or missing:
        wrong = (unexpected or missing)[0]
        raise _mismatch(folder, f"{len(unexpected)} of its matrices have no place and {len(missing)} are missing, first {wrong}")
    try:
        set_peft_model_state_dict(model, {**weights, **heads})
    except RuntimeError as error:
        raise _mismatch(folder, str(error).splitlines()[0][:300]) from error


def _mismatch(folder: Path, why: str) -> DesktopFtError:
    return DesktopFtError(
        "adapter_mismatch",
        "The adapter does not fit the model",
        f"{folder} could not be put on this model: {why}.",
        "Pick the model that the adapter was trained on, or set model.adapter to null.",
    )
