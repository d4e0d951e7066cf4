"""What an objective's trainer is made from, and what the run asks of any trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from desktop_ft.core.config import RunConfig
from desktop_ft.core.data.dataset import TrainingData
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.engine.checkpoints import CheckpointStore
from desktop_ft.engine.device import Precision
from desktop_ft.engine.methods.start import AdapterStart


@dataclass(frozen=True)
class Parts:
    """Everything that a trainer needs.

    Attributes:
        config: Without any ``auto``.
        model_dir: The base model's folder.
        model: On the device; with an adapter to go on from, a `PeftModel`.
        peft_config: Of a new adapter; None where there is one, or none is wanted. TRL seeds before it wraps the model, so that the
            adapter starts as in a plain script.
        callbacks: Of the run: reporting, samples, controls.
        is_new: Whether the run starts from its first step; then it is evaluated before.
        start: Of a new adapter.
    """

    config: RunConfig
    model_dir: Path
    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    peft_config: PeftConfig | None
    device: DeviceFacts
    precision: Precision
    data: TrainingData
    store: CheckpointStore
    events: EventWriter
    callbacks: Sequence[TrainerCallback]
    is_new: bool
    start: AdapterStart


class Training(Protocol):
    """What the run asks of a trainer, TRL's or ours."""

    @property
    def trained(self) -> PreTrainedModel | PeftModel:
        """The model that is trained, with its adapter."""
        ...

    @property
    def micro_batch_size(self) -> int:
        """Examples of one forward pass."""
        ...

    @property
    def gradient_accumulation_steps(self) -> int:
        """Micro-batches of one optimizer step."""
        ...

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        ...

    def num_rows(self) -> int:
        """Rows of the training set."""
        ...

    def num_planned_steps(self) -> int:
        """Optimizer steps of the whole run."""
        ...

    def load_weights(self, checkpoint: Path) -> None:
        """Take the trained weights of a checkpoint without training on."""
        ...

    def train_from(self, checkpoint: Path | None) -> None:
        """Train to the end, or to a stop; from a checkpoint or from the first step."""
        ...
