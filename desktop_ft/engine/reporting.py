"""What happens while training, as events: one for every optimizer step and every evaluation, with honest non-finite numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Final, cast

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import EvaluationDone, PhaseChanged, StepDone
from desktop_ft.engine.device import peak_memory_bytes
from desktop_ft.engine.errors import Situation
from desktop_ft.engine.finite import HOW_ON
from desktop_ft.engine.keep_best import BestKeeper

MAX_NON_FINITE_STEPS: Final = 3
"""So many steps in a row without a finite loss end the run; loss scaling in float16 may skip one or two."""


class Reporting(TrainerCallback):
    """Writes step and evaluation events.

    Args:
        events: The run's log.
        device: Whose memory is told.
        num_eval_examples: How many examples an evaluation reads.
        situation: Learns each step.
        best: Judges each evaluation; None: the best checkpoint is not kept.
    """

    def __init__(
        self, events: EventWriter, device: DeviceFacts, num_eval_examples: int, situation: Situation, best: BestKeeper | None = None
    ) -> None:
        self._events = events
        self._best = best
        self._device = device
        self._num_eval_examples = num_eval_examples
        self._situation = situation
        self._num_non_finite = 0
        self._num_tokens = 0
        self._began = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Start the clock of the first step."""
        self._num_tokens = int(state.num_input_tokens_seen)
        self.restart_clock()

    def restart_clock(self) -> None:
        """Let the next step begin now; what was done since the last one is not its time."""
        self._began = time.perf_counter()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Tell a step. Trainer logs evaluations and a closing summary here too; they have no ``loss``."""
        if logs is None or "loss" not in logs:
            return
        seconds = time.perf_counter() - self._began
        num_tokens = int(state.num_input_tokens_seen)
        self._events.write(
            StepDone(
                step=state.global_step,
                epoch=float(state.epoch or 0.0),
                loss=logs["loss"],
                grad_norm=logs.get("grad_norm"),
                learning_rate=logs.get("learning_rate"),
                tokens_per_second=(num_tokens - self._num_tokens) / max(seconds, 1e-9),
                num_tokens=num_tokens,
                memory_bytes=peak_memory_bytes(self._device),
                seconds=seconds,
                metrics=_metrics(logs, ""),
            )
        )
        self._num_tokens = num_tokens
        self._situation.step = state.global_step
        # Every line is in the event log; Trainer would write all of them again into each checkpoint.
        state.log_history.clear()
        self._check_finite(logs["loss"], state.global_step)
        self.restart_clock()

    def _check_finite(self, loss: float, step: int) -> None:
        self._num_non_finite = 0 if math.isfinite(loss) else self._num_non_finite + 1
        if self._num_non_finite >= MAX_NON_FINITE_STEPS:
            raise DesktopFtError(
                "loss_not_finite",
                "The loss is no longer a number",
                f"The loss was {loss} in {MAX_NON_FINITE_STEPS} steps in a row, up to step {step}; training on would not repair the model.",
                HOW_ON,
            )

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Tell an evaluation, have it saved where it is the best so far, and go back to training."""
        found = cast("Mapping[str, float]", metrics or {})
        done = EvaluationDone(
            step=state.global_step,
            loss=found.get("eval_loss"),
            num_examples=self._num_eval_examples,
            seconds=found.get("eval_runtime", 0.0),
            metrics=_metrics(found, "eval_"),
        )
        self._events.write(done)
        if self._best is not None and self._best.improves(done):
            control.should_save = True
        self._events.write(PhaseChanged(phase="train"))
        self.restart_clock()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """A checkpoint is no part of the next step's time."""
        self.restart_clock()


_OWN_FIELDS: Final = frozenset({"loss", "grad_norm", "learning_rate", "epoch", "num_tokens", "num_input_tokens_seen", "step", "runtime"})
_OWN_ENDINGS: Final = ("_runtime", "_per_second")


def _metrics(logs: Mapping[str, float | None], prefix: str) -> dict[str, float]:
    """What the objective tells besides the fields that every step has, under TRL's names; TRL has None where every value was NaN."""
    names = {name.removeprefix(prefix): float(value) for name, value in logs.items() if name.startswith(prefix) and value is not None}
    return {name: value for name, value in names.items() if name not in _OWN_FIELDS and not name.endswith(_OWN_ENDINGS)}
