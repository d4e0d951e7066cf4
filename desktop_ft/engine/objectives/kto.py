"""Kahneman-Tversky optimization: TRL's KTOTrainer on single answers marked good or bad.

The loss depends on the micro-batch: TRL estimates the KL divergence from answers paired with the prompts before them in it, so a
micro-batch has two rows at least and rows are read in the order of the data. Where that order is good answers first and bad ones after
them (or the other way round), nearly every micro-batch would hold one kind only: such data are shuffled once by the run's seed, which
is said; with ``kernels: none`` the order stays, as in a plain script.

Source: Ethayarajh et al. 2024, arXiv 2402.01306.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, cast

from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer

from desktop_ft.core.data.records import Example, Judged
from desktop_ft.core.events import WarningRaised
from desktop_ft.engine.arguments import common_arguments
from desktop_ft.engine.objectives.parts import Parts
from desktop_ft.engine.objectives.preference_trainer import ReferenceTrainer
from desktop_ft.engine.objectives.reference import reference_model
from desktop_ft.engine.objectives.rows import judged_rows

_SORTED_BELOW: Final = 0.25
"""Of the changes between good and bad that a random order has on average, fewer than this share count as sorted."""
_WEIGHT_BOUNDS: Final = (1.0, 4 / 3)
"""Ethayarajh et al. 2024, equation 8: weight times number of the good over weight times number of the bad lies between these."""


class KtoTraining(ReferenceTrainer, KTOTrainer):
    """TRL's trainer."""

    def _num_rows(self, inputs: Mapping[str, Any]) -> int:
        return len(inputs["label"])

    def _weight(self, name: str, inputs: Mapping[str, Any]) -> float:
        num_good = int(sum(bool(label) for label in inputs["label"]))
        if name.endswith("/chosen"):
            return num_good
        return self._num_rows(inputs) - num_good if name.endswith("/rejected") else self._num_rows(inputs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Trainer
        """As above; the margin is that of the means, for a batch of one kind has none."""
        output = super().evaluation_loop(*args, **kwargs)
        values = self._eval_values()
        if "rewards/chosen" in values and "rewards/rejected" in values:
            values["rewards/margins"] = [values["rewards/chosen"][0] - values["rewards/rejected"][0]]
        return output


def make(parts: Parts) -> KtoTraining:
    """The trainer of a KTO run."""
    train = parts.data.train_examples
    for warning in advice(train, parts):
        parts.events.write(warning)
    rows = judged_rows(train)
    if is_sorted(train) and parts.config.training.kernels != "none":
        rows = rows.shuffle(seed=parts.config.seed)
    make_trainer = cast("Callable[..., KtoTraining]", KtoTraining)
    return make_trainer(
        store=parts.store,
        events=parts.events,
        model=parts.model,
        ref_model=reference_model(parts, is_precomputed=False),
        args=arguments(parts),
        train_dataset=rows,
        eval_dataset=judged_rows(parts.data.eval_examples) if parts.data.eval_examples else None,
        processing_class=parts.tokenizer,
        peft_config=parts.peft_config,
        callbacks=list(parts.callbacks),
    )


def arguments(parts: Parts) -> KTOConfig:
    """TRL's arguments."""
    kto = parts.config.objective.kto
    return KTOConfig(
        **common_arguments(parts),
        max_length=parts.config.data.max_length,
        beta=kto.beta,
        loss_type=kto.loss_type,
        desirable_weight=kto.desirable_weight,
        undesirable_weight=kto.undesirable_weight,
    )


def is_sorted(examples: Sequence[Example]) -> bool:
    """Whether good and bad answers follow each other in long stretches."""
    labels = [cast("Judged", example).is_good for example in examples]
    num_good = sum(labels)
    expected = 2 * num_good * (len(labels) - num_good) / max(len(labels), 1)
    return sum(one != other for one, other in pairwise(labels)) < _SORTED_BELOW * expected


def advice(examples: Sequence[Example], parts: Parts) -> Iterator[WarningRaised]:
    """What a person should know about the order and the balance of good and bad answers."""
    num_good = sum(cast("Judged", example).is_good for example in examples)
    num_bad = len(examples) - num_good
    if is_sorted(examples):
        is_shuffled = parts.config.training.kernels != "none"
        yield WarningRaised(
            code="kto_sorted",
            title="Good and bad answers stand apart in the data",
            message="KTO compares answers within a micro-batch and reads rows in order. "
            + ("They were shuffled once." if is_shuffled else "With training.kernels: none they stay in this order, as in a plain script."),
            hint="Nothing needs to be done." if is_shuffled else "Shuffle the rows of the file, or set training.kernels to auto.",
        )
    if not num_good or not num_bad:
        yield WarningRaised(
            code="kto_one_kind",
            title=f"There are only {'good' if num_good else 'bad'} answers",
            message="KTO learns from the difference between good and bad answers.",
            hint="Add answers of the other kind.",
        )
        return
    kto = parts.config.objective.kto
    ratio = kto.desirable_weight * num_good / (kto.undesirable_weight * num_bad)
    low, high = _WEIGHT_BOUNDS
    if not low - 0.005 <= ratio <= high + 0.005:
        yield WarningRaised(
            code="kto_balance",
            title="Good and bad answers are out of balance",
            message=f"{num_good} good and {num_bad} bad answers with these weights count {ratio:.2f} : 1; 1 to 1.33 is advised.",
            hint=f"Set objective.kto.desirable_weight to {kto.undesirable_weight * num_bad / num_good:.2f}."
            if ratio < low
            else f"Set objective.kto.undesirable_weight to {kto.desirable_weight * num_good / num_bad:.2f}.",
        )
