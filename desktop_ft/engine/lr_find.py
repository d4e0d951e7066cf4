"""A sweep of learning rates: a few steps with each, every time from the same weights, optimizer, random numbers and examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from desktop_ft.core.config import load_config
from desktop_ft.core.events import LrPoint, LrSuggested
from desktop_ft.core.job import JobDir, LrFindRequest
from desktop_ft.core.lr_finder import check_can_sweep, final_loss, has_diverged, suggest, sweep_config, sweep_rates
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.runs import RunDir
from desktop_ft.engine.randomness import RandomState
from desktop_ft.engine.train import TrainingRun

if TYPE_CHECKING:
    from desktop_ft.engine.jobs import JobWork
    from desktop_ft.engine.trainer import RunTrainer


class Watch(TrainerCallback):
    """Collects the losses of one rate and ends its steps where they are enough; nothing is saved or evaluated.

    Args:
        work: Asked whether to stop.
    """

    def __init__(self, work: JobWork) -> None:
        self._work = work
        self.losses: list[float] = []

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """No checkpoint, no evaluation."""
        control.should_save = control.should_evaluate = False
        if self._work.is_stopping():
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """A step's loss."""
        state.log_history.clear()
        if logs is not None and "loss" in logs:
            self.losses.append(logs["loss"])
            if has_diverged(self.losses):
                control.should_training_stop = True


def find_rate(job: JobDir, request: LrFindRequest, work: JobWork, mark: ProcessMark) -> None:
    """Carry a sweep out: an `LrPoint` for each rate, up to the first that diverges, then `LrSuggested`.

    Raises:
        DesktopFtError: As `TrainingRun.train`; ``lr_find_online``.
        StopRequested: Where the person asked for it.
    """
    config = load_config(job.path / "run.yaml")
    check_can_sweep(config)
    watch = Watch(work)
    run = TrainingRun(RunDir(job.path), work.events, work.stop, mark, work.controls, work.situation)
    trainer = cast("RunTrainer", run.bare(sweep_config(config, request.num_steps), lambda _: (watch,)).training)
    start = _Start(trainer.trained)
    rates = sweep_rates(request.low, request.high, request.num_rates)
    work.enter("train", f"Trying {len(rates)} learning rates, {request.num_steps} steps each")
    points: list[LrPoint] = []
    for rate in rates:
        start.restore()
        watch.losses = []
        trainer.begin_at(rate)
        trainer.train_from(None)
        work.progress(len(points) + 1, len(rates), f"Learning rate {rate:.2g}")
        points.append(_point(rate, watch.losses))
        work.emit(points[-1])
        if points[-1].has_diverged:
            break
    found = suggest(points)
    work.emit(LrSuggested(rate=found.rate, message=found.message))


def _point(rate: float, losses: list[float]) -> LrPoint:
    diverged = has_diverged(losses) or not all(map(math.isfinite, losses))
    loss = losses[-1] if diverged else final_loss(losses)
    return LrPoint(rate=rate, loss=loss, first_loss=losses[0], num_steps=len(losses), has_diverged=diverged)


class _Start:
    """Where every rate begins: what is trained, and the random numbers."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._weights = [(weight, weight.detach().to("cpu", copy=True)) for weight in model.parameters() if weight.requires_grad]
        self._random = RandomState.capture()

    def restore(self) -> None:
        """Go back to it."""
        with torch.no_grad():
            for weight, value in self._weights:
                weight.copy_(value)
                weight.grad = None
        self._random.restore()
