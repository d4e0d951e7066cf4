"""What TRL's four preference trainers get here beyond `RunTrainer`: evaluations over rows, and dropped rows told.

TRL averages an evaluation's metrics over batches, so that a last batch of one row counts as much as a full one. Here every row counts
the same; the smallest and the largest score are those of all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from datasets import Dataset, IterableDataset
from torch.utils.data import DataLoader
from transformers.trainer_utils import EvalLoopOutput

from desktop_ft.core.events import PhaseChanged, Progress
from desktop_ft.engine.objectives.rows import check_kept
from desktop_ft.engine.trainer import RunTrainer

if TYPE_CHECKING:
    from collections.abc import MutableMapping

Inputs = Mapping[str, Any]


class PreferenceTrainer(RunTrainer):
    """Stands before a preference trainer of TRL in the bases of a class."""

    _sums: dict[str, float]
    _weights: dict[str, float]

    # --- what differs between TRL's trainers ---

    def _eval_values(self) -> MutableMapping[str, list[float]]:
        """Where TRL collects a value a batch."""
        return cast("dict[str, dict[str, list[float]]]", cast("Any", self)._metrics)["eval"]

    def _num_rows(self, inputs: Inputs) -> int:
        """Rows of a batch: pairs, or judged answers."""
        return len(inputs["input_ids"]) // 2

    def _weight(self, name: str, inputs: Inputs) -> float:
        """How many rows a metric of a batch is the mean of."""
        return self._num_rows(inputs)

    # --- evaluation ---

    def evaluation_loop(self, dataloader: DataLoader[Any], *args: Any, **kwargs: Any) -> EvalLoopOutput:  # noqa: ANN401 - as Trainer
        """As Trainer, with every number a mean over rows."""
        self._sums, self._weights = {}, {}
        self._eval_values().clear()
        output = super().evaluation_loop(dataloader, *args, **kwargs)
        means = {name: value / self._weights.get(name, 1.0) for name, value in self._sums.items()}
        if output.metrics is not None and "loss" in means:
            output.metrics["eval_loss"] = means.pop("loss")
        for name, value in means.items():  # TRL takes the mean of these lists next
            self._eval_values()[name] = [value]
        return output

    def prediction_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> Any:  # noqa: ANN401 - TRL's trainers differ in its type
        """As TRL, keeping weighted sums of the loss and of what TRL collected for this batch."""
        before = {name: len(values) for name, values in self._eval_values().items()}
        loss, logits, labels = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        self._add("loss", float(cast("torch.Tensor", loss)), self._num_rows(inputs))
        for name, values in self._eval_values().items():
            if len(values) > before.get(name, 0):
                self._add(name, values[-1], self._weight(name, inputs))
        return loss, logits, labels

    def _add(self, name: str, value: float, weight: float) -> None:
        bound = min if name.startswith("min_") else max if name.startswith("max_") else None
        if bound is not None:
            self._sums[name] = bound(self._sums.get(name, value), value)
            return
        self._sums[name] = self._sums.get(name, 0.0) + value * weight
        self._weights[name] = self._weights.get(name, 0.0) + weight

    # --- rows ---

    def _prepare_dataset(
        self,
        dataset: Dataset | IterableDataset,
        processing_class: Any,  # noqa: ANN401 - TRL's trainers differ in its type
        args: Any,  # noqa: ANN401 - and in this one
        dataset_name: str,
    ) -> Dataset | IterableDataset:
        """As TRL; says how many rows were left out."""
        assert isinstance(dataset, Dataset)
        self._events.write(PhaseChanged(phase="tokenize", detail=f"Turning {len(dataset)} rows into tokens"))
        prepared = cast("Dataset", cast("Any", super())._prepare_dataset(dataset, processing_class, args, dataset_name))
        check_kept(len(dataset), len(prepared), cast("int", args.max_length), self._events)
        return prepared


class ReferenceTrainer(PreferenceTrainer):
    """A preference trainer that compares with a reference: the model as it started.

    With a new adapter the reference is the model with the adapter off; going on from an adapter TRL keeps a frozen copy of it; with
    full fine-tuning it is a second copy of the model, or its log-probabilities are computed once before the training.
    """

    _num_referenced = 0

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """As TRL; says how far it is."""
        self._events.write(PhaseChanged(phase="evaluate", detail=f"Computing the reference's log-probabilities of {len(dataset)} rows"))
        self._num_referenced, self._num_to_reference = 0, len(dataset)
        return cast("Dataset", cast("Any", super())._precompute_ref_logps(dataset, name, batch_size))

    def compute_ref_log_probs(self, model: torch.nn.Module, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """As TRL."""
        result = cast("tuple[torch.Tensor, torch.Tensor]", cast("Any", super()).compute_ref_log_probs(model, inputs))
        self._num_referenced += self._num_rows(inputs)
        self._events.write(Progress(phase="evaluate", done=self._num_referenced, total=self._num_to_reference))
        return result
