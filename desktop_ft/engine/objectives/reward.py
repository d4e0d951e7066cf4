"""A reward model: TRL's RewardTrainer on pairs, over a sequence classifier with one output.

The loss is that of Bradley and Terry: the chosen answer's score above the rejected one's. TRL leaves out pairs that are longer than
``max_length``, for a score is of a whole answer.

Source: Ouyang et al. 2022, arXiv 2203.02155, section 3.5.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from peft import PeftModel, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from desktop_ft.engine.adapter_start import continued_scorer
from desktop_ft.engine.arguments import common_arguments
from desktop_ft.engine.load import lora_config
from desktop_ft.engine.methods.base import prepare_base
from desktop_ft.engine.methods.quantization import quantization_of
from desktop_ft.engine.objectives.preference_trainer import PreferenceTrainer
from desktop_ft.engine.objectives.rows import whole_rows
from desktop_ft.engine.reward_model import head_of, load_scorer, tell_padding

if TYPE_CHECKING:
    from desktop_ft.core.config import RunConfig
    from desktop_ft.core.device import DeviceFacts
    from desktop_ft.engine.device import Precision
    from desktop_ft.engine.objectives.parts import Parts


class RewardTraining(PreferenceTrainer, RewardTrainer):
    """TRL's trainer."""


def load_model(
    config: RunConfig, folder: Path, tokenizer: PreTrainedTokenizerBase, precision: Precision, device: DeviceFacts, *, is_new: bool
) -> PreTrainedModel | PeftModel:
    """The base with a scoring head, and with its adapter unless every weight is trained.

    The head and then the adapter are drawn from the run's seed, in the order in which TRL draws them from a model's path.

    Args:
        config: Resolved.
        folder: The base model's.
        tokenizer: Its own.
        precision: Of the weights.
        device: Where it goes.
        is_new: False where a checkpoint's weights will follow.

    Raises:
        DesktopFtError: ``reward_architecture``, ``adapter_missing``, ``adapter_mismatch``, as `lora_config`.
    """
    set_seed(config.seed)
    base = load_scorer(folder, precision.weights, config.model.attention, device, quantization_of(config))
    tell_padding(base, tokenizer)
    prepare_base(config, base, tokenizer)
    if config.method.kind == "full":
        return base
    if config.model.adapter is not None:
        model = continued_scorer(base, Path(config.model.adapter), config.method.dropout)
    else:
        settings = lora_config(config, base, "score", is_new=is_new)
        model = cast("PeftModel", get_peft_model(base, settings))
    return model


def _settle_head(model: PreTrainedModel | PeftModel, precision: Precision, *, is_stock: bool) -> None:
    """Give an adapter's head the format to train in.

    Under autocast that is float32, as PEFT has it for the adapter's matrices but not for modules trained whole: in bfloat16 small updates
    would be rounded away, and loss scaling refuses float16. Without autocast it is the base's own, also over a 4-bit base, where TRL makes
    everything that is trained bfloat16.
    """
    if not isinstance(model, PeftModel):
        return
    has_autocast = precision.fp16 or precision.bf16
    if precision.fp16 or (has_autocast and not is_stock):
        head_of(model).data = head_of(model).data.to(torch.float32)
    elif not has_autocast:
        head_of(model).data = head_of(model).data.to(precision.weights)


def make(parts: Parts) -> RewardTraining:
    """The trainer of a reward run; its model has its adapter already."""
    data = parts.data
    make_trainer = cast("Callable[..., RewardTraining]", RewardTraining)
    training = make_trainer(
        store=parts.store,
        events=parts.events,
        model=parts.model,
        args=arguments(parts),
        train_dataset=whole_rows(data.train_examples),
        eval_dataset=whole_rows(data.eval_examples) if data.eval_examples else None,
        processing_class=parts.tokenizer,
        callbacks=list(parts.callbacks),
    )
    _settle_head(training.trained, parts.precision, is_stock=parts.config.training.kernels == "none")
    return training


def arguments(parts: Parts) -> RewardConfig:
    """TRL's arguments."""
    return RewardConfig(
        **common_arguments(parts),
        max_length=parts.config.data.max_length,
        center_rewards_coefficient=parts.config.objective.reward.center_rewards_coefficient,
    )
