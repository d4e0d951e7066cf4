"""TRL's SFTTrainer with three differences: sealed checkpoints, an evaluation loss over tokens, and silence on the net."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch.utils.data import DataLoader
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalLoopOutput
from trl.trainer.sft_trainer import SFTTrainer

from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import PhaseChanged
from desktop_ft.engine.checkpoints import CheckpointStore, writing
from desktop_ft.engine.randomness import undisturbed


class RunTrainer(SFTTrainer):
    """Trains one run.

    Args:
        store: Where checkpoints go.
        events: Where phases are told.
        **settings: As `SFTTrainer`.
    """

    def __init__(self, *, store: CheckpointStore, events: EventWriter, **settings: Any) -> None:  # noqa: ANN401 - TRL's own signature
        self._store = store
        self._events = events
        self._eval_loss_sum = 0.0
        self._num_eval_tokens = 0
        super().__init__(**settings)

    def num_rows(self) -> int:
        """Rows of the training set: examples, or packed rows."""
        return len(cast("Sized", self.train_dataset))

    def num_planned_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return int(self.set_initial_training_values(self.args, self.get_train_dataloader())[-1] or 0)

    def load_weights(self, checkpoint: Path) -> None:
        """Take the trained weights of a checkpoint without training on."""
        self._load_from_checkpoint(str(checkpoint))

    # --- evaluation: Trainer averages the losses of batches, which gives every short answer the weight of a long one ---

    def evaluation_loop(self, dataloader: DataLoader[Any], *args: Any, **kwargs: Any) -> EvalLoopOutput:  # noqa: ANN401 - as Trainer
        """As Trainer, with the loss in nats per supervised token over all examples."""
        self._events.write(PhaseChanged(phase="evaluate"))
        self._eval_loss_sum, self._num_eval_tokens = 0.0, 0
        # Only the evaluation before the first step is ours; the others draw from the generators as they do in TRL.
        is_before_training = self.state.global_step == 0
        with undisturbed() if is_before_training else contextlib.nullcontext():
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
            self._eval_loss_sum += float(loss) * num_tokens
            self._num_eval_tokens += num_tokens
        return loss, logits, labels

    # --- checkpoints ---

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        """Write, seal, rename; a step that is sealed already and the state before the first step are not written."""
        step = self.state.global_step
        if step == 0 or self._store.has(step):
            return
        folder = self._store.unsealed / f"{PREFIX_CHECKPOINT_DIR}-{step}"
        with writing(folder):
            super()._save_checkpoint(model, trial)
        self._store.seal(folder, step)

    def create_model_card(self, *args: object, **kwargs: object) -> None:
        """No card inside checkpoints; exports have one."""

    def _send_telemetry(self) -> None:
        """Nothing leaves this machine."""


TRAINERS: Final[Mapping[str, type[RunTrainer]]] = {"sft": RunTrainer}
"""Which trainer teaches each objective."""
