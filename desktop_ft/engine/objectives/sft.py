"""Supervised fine-tuning and continued pretraining: TRL's SFTTrainer on the ids that core made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch.utils.data import DataLoader
from transformers.trainer_utils import EvalLoopOutput
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from desktop_ft.engine.arguments import common_arguments
from desktop_ft.engine.examples import to_dataset
from desktop_ft.engine.objectives.parts import Parts
from desktop_ft.engine.trainer import RunTrainer


class SftTraining(RunTrainer, SFTTrainer):
    """TRL's trainer with an evaluation loss over tokens: Trainer averages batches, which gives a short answer the weight of a long one."""

    _eval_loss_sum = 0.0
    _num_eval_tokens = 0

    def evaluation_loop(self, dataloader: DataLoader[Any], *args: Any, **kwargs: Any) -> EvalLoopOutput:  # noqa: ANN401 - as Trainer
        """As Trainer, with the loss in nats per supervised token over all examples."""
        self._eval_loss_sum, self._num_eval_tokens = 0.0, 0
        output = super().evaluation_loop(dataloader, *args, **kwargs)
        if output.metrics is not None and self._num_eval_tokens:
            output.metrics["eval_loss"] = self._eval_loss_sum / self._num_eval_tokens
        return output

    def prediction_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """As TRL, keeping the sum of the losses."""
        loss, logits, labels = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        num_tokens = int((inputs["labels"][:, 1:] != -100).sum())
        if num_tokens:
            self._eval_loss_sum += float(cast("torch.Tensor", loss)) * num_tokens
            self._num_eval_tokens += num_tokens
        return loss, logits, labels


def make(parts: Parts) -> SftTraining:
    """The trainer of an SFT or pretraining run."""
    data = parts.data
    make_trainer = cast("Callable[..., SftTraining]", SftTraining)
    return make_trainer(
        store=parts.store,
        events=parts.events,
        model=parts.model,
        args=arguments(parts),
        train_dataset=to_dataset(data.train),
        eval_dataset=to_dataset(data.eval) if data.eval else None,
        processing_class=parts.tokenizer,
        peft_config=parts.peft_config,
        callbacks=list(parts.callbacks),
    )


def arguments(parts: Parts) -> SFTConfig:
    """TRL's arguments; core made and cut the ids, so TRL prepares them only to pack."""
    packing = cast("bool", parts.config.data.packing)
    return SFTConfig(
        **common_arguments(parts),
        max_length=parts.config.data.max_length,
        packing=packing,
        eval_packing=False,
        dataset_kwargs={"skip_prepare_dataset": not packing},
    )
