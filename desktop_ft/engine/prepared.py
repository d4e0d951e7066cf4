"""What a run is made from, before its model is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from desktop_ft.core.config import RunConfig
from desktop_ft.core.data.dataset import TrainingData
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.models import ModelInfo
from desktop_ft.core.runs import Checkpoint


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before the model is loaded.

    Attributes:
        config: Without any ``auto``.
        model_info: Of the base model.
        tokenizer: The model's.
        device: What computes.
        data: To learn from and held out.
        checkpoint: What the run goes on from; None: it is new.
    """

    config: RunConfig
    model_info: ModelInfo
    tokenizer: PreTrainedTokenizerBase
    device: DeviceFacts
    data: TrainingData
    checkpoint: Checkpoint | None
