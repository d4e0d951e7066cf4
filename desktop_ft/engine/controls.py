"""Requests to the running engine, looked for between micro-batches and between steps: stop, save, sample, set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from desktop_ft.core.config import RunConfig, problems_of, set_value
from desktop_ft.core.control import Control, read_controls
from desktop_ft.core.eventlog import EventTail, EventWriter
from desktop_ft.core.events import ControlDone, PhaseChanged
from desktop_ft.core.runs import EngineDir
from desktop_ft.engine.randomness import RandomState
from desktop_ft.engine.stopping import StopFlag

if TYPE_CHECKING:
    from torch.optim.lr_scheduler import LambdaLR

LEARNING_RATE: Final = "training.learning_rate"
_CLOCK_SECONDS: Final = 2.0
"""How far a process's start and a file's time may be apart where they are the same: start times count from a rounded boot."""

_STALE: Final = "This was asked of an earlier start of the run, which has ended."


class ControlFolder:
    """The run's requests that nobody has answered.

    Args:
        run: The run's folder.
        events: Where requests are answered.
        started: When this child took the folder, seconds since the epoch; what was asked before that was asked of another.
    """

    def __init__(self, run: EngineDir, events: EventWriter, started: float) -> None:
        self._run = run
        self._events = events
        self._last = _last_answered(run)
        for control in read_controls(run.path, self._last):
            if (run.path / "control" / f"{control.number:06d}.json").stat().st_mtime >= started - _CLOCK_SECONDS:
                break
            self.answer(control, accepted=False, message=_STALE)
            self._last = control.number

    def new(self) -> list[Control]:
        """Requests since the last call."""
        controls = read_controls(self._run.path, self._last)
        if controls:
            self._last = controls[-1].number
        return controls

    def answer_stop(self) -> bool:
        """Whether a stop waits; it is answered, the others stay for the first step."""
        stop = self._waiting_stop()
        if stop is not None:
            self.answer(stop)
        return stop is not None

    def stop_waits(self) -> bool:
        """Whether a stop waits; it goes on waiting."""
        return self._waiting_stop() is not None

    def _waiting_stop(self) -> Control | None:
        return next((control for control in read_controls(self._run.path, self._last) if control.kind == "stop"), None)

    def answer(self, control: Control, *, accepted: bool = True, message: str = "") -> None:
        """Say what became of a request."""
        self._events.write(ControlDone(number=control.number, control=control.kind, accepted=accepted, message=message))


def _last_answered(run: EngineDir) -> int:
    answers = [event.number for event in EventTail(run.events_file).read_all() if isinstance(event, ControlDone)]
    return max(answers, default=0)


@dataclass(frozen=True)
class _Boundary:
    """The moment after the last optimizer step: a checkpoint of a stop in mid-step must be of this moment."""

    random: RandomState
    num_tokens: int


class Controls(TrainerCallback):
    """Obeys requests while training.

    Args:
        folder: Where they come from.
        stop: Also set by a signal.
        config: What ``set`` would change.
        sample: Lets the model answer the run's prompts for this step; False where there are none.
        events: Where phases are told.
    """

    def __init__(
        self, folder: ControlFolder, stop: StopFlag, config: RunConfig, sample: Callable[[int], bool], events: EventWriter
    ) -> None:
        self._folder = folder
        self._stop = stop
        self._config = config
        self._sample = sample
        self._events = events
        self._saves: list[Control] = []
        self._boundary: _Boundary | None = None
        self._is_epoch_new = False

    def stop_waits(self) -> bool:
        """Whether the run is to stop; for work within a micro-batch that takes long."""
        return self._stop.is_set or self._folder.stop_waits()

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Reading the first batch of an epoch draws random numbers, so its boundary lies before that."""
        self._mark_boundary(args, state)
        self._is_epoch_new = True

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """The boundary of every other step."""
        if not self._is_epoch_new:
            self._mark_boundary(args, state)
        self._is_epoch_new = False

    def _mark_boundary(self, args: TrainingArguments, state: TrainerState) -> None:
        self._boundary = _Boundary(RandomState.capture(), int(state.num_input_tokens_seen))

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """A micro-batch is done, the step is not; or it is left while its answers are sampled."""
        self._obey(state, kwargs)
        if self._stop.is_set:
            if self._boundary is not None:
                self._boundary.random.restore()
                state.num_input_tokens_seen = self._boundary.num_tokens
            control.should_training_stop = True
            control.should_save = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """A step is done."""
        self._obey(state, kwargs)
        if self._saves:
            control.should_save = True
        if self._stop.is_set:
            control.should_training_stop = True
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """The checkpoint that was asked for is there."""
        for request in self._saves:
            self._folder.answer(request, message=f"Saved at step {state.global_step}.")
        self._saves.clear()

    def _obey(self, state: TrainerState, context: Mapping[str, object]) -> None:
        for request in self._folder.new():
            if request.kind == "stop":
                self._stop.set()
                self._folder.answer(request)
            elif request.kind == "save":
                self._saves.append(request)
            elif request.kind == "sample":
                self._obey_sample(request, state.global_step)
            else:
                self._obey_set(request, state.global_step, context)

    def _obey_sample(self, request: Control, step: int) -> None:
        if self._sample(step):
            self._folder.answer(request)
            self._events.write(PhaseChanged(phase="train"))
        else:
            self._folder.answer(request, accepted=False, message="This run has no sample prompts (evaluation.sample_prompts).")

    def _obey_set(self, request: Control, step: int, context: Mapping[str, object]) -> None:
        problem = self._why_not(request.values)
        if problem:
            self._folder.answer(request, accepted=False, message=problem)
            return
        rate = float(cast("float", request.values[LEARNING_RATE]))
        set_learning_rate(cast("LambdaLR", context["lr_scheduler"]), rate)
        self._folder.answer(request, message=f"The learning rate follows its schedule from {rate:g} after step {step}.")

    def _why_not(self, values: Mapping[str, object]) -> str:
        others = sorted(set(values) - {LEARNING_RATE})
        if others or not values:
            return f"Only {LEARNING_RATE} can change while training, not {', '.join(others) or 'nothing'}."
        tree = set_value(self._config.model_dump(mode="json"), LEARNING_RATE, values[LEARNING_RATE])
        return "; ".join(f"{problem.path}: {problem.message}" for problem in problems_of(tree))


def set_learning_rate(scheduler: LambdaLR, rate: float) -> None:
    """Give the schedule another height from here on; its shape stays, and checkpoints keep it.

    Args:
        scheduler: The schedule of the run, possibly in accelerate's wrapper.
        rate: What it is a multiple of. A group with a higher rate than the others (LoRA+) keeps its ratio.
    """
    inner = cast("LambdaLR", getattr(scheduler, "scheduler", scheduler))
    lowest = min(inner.base_lrs)
    inner.base_lrs = [rate * (base / lowest) if lowest else rate for base in inner.base_lrs]
    for group, base, shape in zip(inner.optimizer.param_groups, inner.base_lrs, inner.lr_lambdas, strict=True):
        height = base * shape(inner.last_epoch)
        group["initial_lr"] = base
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(height)
        else:
            group["lr"] = height
    # Trainer tells what get_last_lr() says, which torch otherwise renews only in the schedule's next step.
    vars(inner)["_last_lr"] = [float(group["lr"]) for group in inner.optimizer.param_groups]
