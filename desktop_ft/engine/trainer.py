"""What every trainer of TRL gets here: sealed checkpoints, evaluations that disturb nothing, and silence on the net."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.utils.data import DataLoader, SequentialSampler
from transformers import PrinterCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalLoopOutput

from desktop_ft.core.config import RunConfig
from desktop_ft.core.data.tokenise import TokenisedExample
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import PhaseChanged
from desktop_ft.core.memory import changed_config
from desktop_ft.engine.checkpoints import CheckpointStore, writing
from desktop_ft.engine.finite import refuse_non_finite
from desktop_ft.engine.methods.dora import make_lean
from desktop_ft.engine.methods.optimizer import build_optimizer
from desktop_ft.engine.methods.start import AdapterStart
from desktop_ft.engine.randomness import undisturbed

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers import Trainer as Base
else:
    Base = object


class RunTrainer(Base):
    """Stands before a trainer of TRL in the bases of a class: ``class SftTraining(RunTrainer, SFTTrainer)``.

    Args:
        store: Where checkpoints go.
        events: Where phases are told.
        **settings: As TRL's trainer.
    """

    def __init__(self, *, store: CheckpointStore, events: EventWriter, **settings: Any) -> None:  # noqa: ANN401 - TRL's own signature
        self._store = store
        self._events = events
        super().__init__(**settings)
        self.remove_callback(PrinterCallback)
        self._config: RunConfig | None = None
        self._start: AdapterStart | None = None
        self._is_in_order = False

    @property
    def trained(self) -> PreTrainedModel | PeftModel:
        """The model that is trained, with its adapter."""
        return cast("PreTrainedModel | PeftModel", self.model)

    @property
    def micro_batch_size(self) -> int:
        """Examples of one forward pass."""
        return self.args.per_device_train_batch_size

    @property
    def gradient_accumulation_steps(self) -> int:
        """Micro-batches of one optimizer step."""
        return self.args.gradient_accumulation_steps

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return int(self.state.global_step)

    def keep_order(self) -> None:
        """Take the rows as they stand instead of shuffled, for measuring chosen micro-batches."""
        self._is_in_order = True

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:  # noqa: ANN401 - as Trainer
        """As Trainer, unless the order is to be kept."""
        if self._is_in_order:
            return SequentialSampler(cast("Sized", train_dataset if train_dataset is not None else self.train_dataset))
        return super()._get_train_sampler(train_dataset)

    def num_rows(self) -> int:
        """Rows of the training set: examples, or packed rows."""
        return len(cast("Sized", self.train_dataset))

    def num_planned_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return int(self.set_initial_training_values(self.args, self.get_train_dataloader())[-1] or 0)

    def load_weights(self, checkpoint: Path) -> None:
        """Take the trained weights of a checkpoint without training on."""
        self._load_from_checkpoint(str(checkpoint))

    def train_from(self, checkpoint: Path | None) -> None:
        """Train to the end, or to a stop; from a checkpoint or from the first step."""
        self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    def evaluation_loop(self, dataloader: DataLoader[Any], *args: Any, **kwargs: Any) -> EvalLoopOutput:  # noqa: ANN401 - as Trainer
        """As Trainer; the evaluation before the first step leaves the random numbers as they were."""
        self._events.write(PhaseChanged(phase="evaluate"))
        # Only the evaluation before the first step is ours; the others draw from the generators as they do in TRL.
        is_before_training = self.state.global_step == 0
        with undisturbed() if is_before_training else contextlib.nullcontext():
            return super().evaluation_loop(dataloader, *args, **kwargs)

    # --- the method ---

    def train_as(self, config: RunConfig, start: AdapterStart, examples: Sequence[TokenisedExample]) -> None:
        """Take the run's method: the adapter's start, lean DoRA, the optimizer, and float32 for what is trained under loss scaling.

        TRL puts the adapters of a 4-bit base in bfloat16, whose gradients torch's GradScaler cannot unscale.
        """
        self._config, self._start = config, start
        tokenizer = cast("PreTrainedTokenizerBase", self.processing_class)
        start.settle(self.trained, examples, cast("int", tokenizer.pad_token_id))
        if config.training.kernels != "none":
            make_lean(self.trained)
        if self.args.fp16:
            for parameter in self.trained.parameters():
                if parameter.requires_grad and parameter.dtype in {torch.bfloat16, torch.float16}:
                    parameter.data = parameter.data.float()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        """As Trainer, keeping number formats: PEFT loads adapters in float32, and TRL trains those of a 4-bit base in bfloat16."""
        formats = {name: parameter.dtype for name, parameter in self.trained.named_parameters()}
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for name, parameter in self.trained.named_parameters():
            parameter.data = parameter.data.to(formats.get(name, parameter.dtype))

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """The run's optimizer; see `build_optimizer`."""
        assert self._config is not None, "train_as() comes before training"
        if cast("torch.optim.Optimizer | None", self.optimizer) is None:
            self.optimizer = build_optimizer(self._config, cast("PreTrainedModel", model or self.trained))
        return self.optimizer

    def begin_at(self, rate: float) -> None:
        """Forget optimizer and schedule; the next training makes new ones at this learning rate."""
        assert self._config is not None, "train_as() comes before training"
        self._config = changed_config(self._config, {"training.learning_rate": rate})
        self.args.learning_rate = rate
        settable = cast("Any", self)
        settable.optimizer, settable.lr_scheduler = None, None

    # --- checkpoints ---

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        """Write, seal, rename; a step that is sealed already and the state before the first step are not written.

        Raises:
            DesktopFtError: ``weights_not_finite``, ``disk_full`` or ``file_not_writable``; the checkpoints before are untouched.
        """
        step = self.state.global_step
        if step == 0 or self._store.has(step):
            return
        refuse_non_finite(self.trained, step)
        folder = self._store.unsealed / f"{PREFIX_CHECKPOINT_DIR}-{step}"
        with writing(folder):
            super()._save_checkpoint(model, trial)
            if self._start is not None:
                self._start.write(folder)
            self._save_more(folder)
        self._store.seal(folder, step)

    def _save_more(self, folder: Path) -> None:
        """What an objective's checkpoint holds besides Trainer's files."""

    def create_model_card(self, *args: object, **kwargs: object) -> None:
        """No card inside checkpoints; exports have one."""

    def _send_telemetry(self) -> None:
        """Nothing leaves this machine."""
