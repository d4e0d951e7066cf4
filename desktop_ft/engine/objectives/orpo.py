"""Odds-ratio preference optimization: TRL's ORPOTrainer on the pairs that core read; it needs no reference.

Its loss depends on the micro-batch: the supervised part is a mean over the micro-batch's tokens. TRL puts the tokenizer's bos token
before a prompt that does not begin with it, and learns the chosen answer together with its prompt.

Source: Hong et al. 2024, arXiv 2403.07691.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, cast

import torch
from datasets import Dataset
from trl.experimental.orpo.orpo_config import ORPOConfig
from trl.experimental.orpo.orpo_trainer import ORPOTrainer

from desktop_ft.engine.arguments import common_arguments
from desktop_ft.engine.objectives.parts import Parts
from desktop_ft.engine.objectives.preference_trainer import PreferenceTrainer
from desktop_ft.engine.objectives.rows import check_kept, pair_rows
from desktop_ft.engine.reward_model import pad_id


class OrpoTraining(PreferenceTrainer, ORPOTrainer):
    """TRL's trainer, without the rows of which no token of an answer is left."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - TRL's own signature
        cast("Callable[..., None]", super().__init__)(**settings)
        self.train_dataset = self._whole(self.train_dataset)
        held_out = cast("Dataset | None", self.eval_dataset)
        if held_out is not None:
            self.eval_dataset = self._whole(held_out)

    def _whole(self, dataset: Dataset) -> Dataset:
        kept = dataset.filter(_has_answers)
        check_kept(len(dataset), len(kept), self.max_length, self._events)
        return kept

    def _eval_values(self) -> MutableMapping[str, list[float]]:
        return cast("MutableMapping[str, list[float]]", self._stored_metrics["eval"])

    def _num_rows(self, inputs: Mapping[str, Any]) -> int:
        return len(inputs["chosen_labels"])

    def _track_num_input_tokens(self, inputs: Mapping[str, torch.Tensor]) -> None:
        """Trainer looks for ``input_ids``; here both answers count, as in DPO."""
        masks = (inputs["chosen_attention_mask"], inputs["rejected_attention_mask"])
        self.state.num_input_tokens_seen += int(sum(mask.sum() for mask in masks))


def _has_answers(row: Mapping[str, list[int]]) -> bool:
    return all(any(label != -100 for label in row[f"{side}_labels"]) for side in ("chosen", "rejected"))


def make(parts: Parts) -> OrpoTraining:
    """The trainer of an ORPO run."""
    data, tokenizer = parts.data, parts.tokenizer
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = pad_id(tokenizer)
    make_trainer = cast("Callable[..., OrpoTraining]", OrpoTraining)
    return make_trainer(
        store=parts.store,
        events=parts.events,
        model=parts.model,
        args=arguments(parts),
        train_dataset=pair_rows(data.train_examples),
        eval_dataset=pair_rows(data.eval_examples) if data.eval_examples else None,
        processing_class=tokenizer,
        peft_config=parts.peft_config,
        callbacks=list(parts.callbacks),
    )


def arguments(parts: Parts) -> ORPOConfig:
    """TRL's arguments; its collator reads columns that the model does not know."""
    return ORPOConfig(
        **common_arguments(parts),
        max_length=parts.config.data.max_length,
        beta=parts.config.objective.orpo.beta,
        remove_unused_columns=False,
    )
