"""Direct preference optimization: TRL's DPOTrainer on the pairs that core read.

Accumulating micro-batches gives the gradient of one large batch, except for ``aot`` and ``aot_unpaired``, which sort within a
micro-batch, and for ``sft_weight``, whose loss is a mean over the tokens of a micro-batch.

Source: Rafailov et al. 2023, arXiv 2305.18290; the other losses are named in `desktop_ft.core.config.objectives.DpoConfig`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from desktop_ft.engine.arguments import common_arguments
from desktop_ft.engine.objectives.parts import Parts
from desktop_ft.engine.objectives.preference_trainer import ReferenceTrainer
from desktop_ft.engine.objectives.reference import reference_model
from desktop_ft.engine.objectives.rows import pair_rows


class DpoTraining(ReferenceTrainer, DPOTrainer):
    """TRL's trainer."""


def make(parts: Parts) -> DpoTraining:
    """The trainer of a DPO run."""
    data = parts.data
    make_trainer = cast("Callable[..., DpoTraining]", DpoTraining)
    return make_trainer(
        store=parts.store,
        events=parts.events,
        model=parts.model,
        ref_model=reference_model(parts, is_precomputed=parts.config.objective.dpo.precompute_ref_log_probs),
        args=arguments(parts),
        train_dataset=pair_rows(data.train_examples),
        eval_dataset=pair_rows(data.eval_examples) if data.eval_examples else None,
        processing_class=parts.tokenizer,
        peft_config=parts.peft_config,
        callbacks=list(parts.callbacks),
    )


def arguments(parts: Parts) -> DPOConfig:
    """TRL's arguments; a supervised loss on the chosen answers stands beside the preference loss where it has a weight."""
    dpo = parts.config.objective.dpo
    has_sft = dpo.sft_weight > 0
    return DPOConfig(
        **common_arguments(parts),
        max_length=parts.config.data.max_length,
        beta=dpo.beta,
        loss_type=[dpo.loss_type, "sft"] if has_sft else [dpo.loss_type],
        loss_weights=[1.0, dpo.sft_weight] if has_sft else None,
        label_smoothing=dpo.label_smoothing,
        precompute_ref_log_probs=dpo.precompute_ref_log_probs,
    )
