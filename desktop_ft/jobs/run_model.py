"""The state of one run as the window shows it, folded from events. No widgets; `RunModel.fold` needs no thread.

Signals say what changed, once for a whole batch of events; who listens reads the attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

import numpy as np
from PySide6.QtCore import QObject, Signal, SignalInstance, Slot

from desktop_ft.core.config import RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import (
    CheckpointSaved,
    ControlDone,
    ErrorRaised,
    EvaluationDone,
    Event,
    GeneralLoss,
    Phase,
    PhaseChanged,
    Progress,
    RunFinished,
    RunStarted,
    SampleDone,
    StageStarted,
    StepDone,
    WarningRaised,
)
from desktop_ft.core.health import HealthNote, health
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.runs import RunDir, RunStatus
from desktop_ft.jobs.curves import Curve, CurveStore
from desktop_ft.jobs.pace import Pace, TimeLeft
from desktop_ft.jobs.training_worker import EngineEnd, TrainingWorker

Part = Literal["status", "progress", "curves", "samples", "checkpoints", "messages"]
_PARTS: Final = cast("tuple[Part, ...]", get_args(Part))
_PACE_STEPS: Final = 500
"""Of a long batch only the newest steps say anything about the pace."""
MOST_SAMPLED: Final = 200
"""Answers sampled in training that are kept; the newest."""


@dataclass(frozen=True)
class BestEvaluation:
    """The lowest loss on the held-out examples so far, nats per supervised token."""

    step: int
    loss: float


class RunModel(QObject):
    """One run's state.

    Attributes:
        run: Its folder.
        config: As written; None where run.yaml can no longer be read.
        status: What became of it.
        is_stopping: A stop was asked for and the engine still goes.
        phase: What the engine does now, and ``phase_detail`` in a sentence; None before the first.
        phase_done: How far the phase is, of ``phase_total`` (0: unknown).
        step: Optimizer steps done, of ``num_steps`` (0: unknown yet); ``epoch`` as a fraction.
        started_time: When the first engine started, seconds since the epoch; None before.
        session_time: When the present (or last) engine started.
        last_time: Time of the newest event.
        curves: Every series by step.
        evaluations: Every one, by step.
        best_evaluation: The lowest evaluation loss.
        samples: By prompt, in order of the prompts; each list rises by step, step 0 is before training.
        sampled: Answers sampled in training with their rewards, oldest first; the newest `MOST_SAMPLED`.
        general_losses: Losses on the general text that is not trained on, by step; their rise is forgetting.
        stage: The stage that goes, of a run of several; None where there is only one. ``stages`` has every begin of one, by time.
        warnings: As they came.
        sessions: Every start and resume of an engine, by time; ``finishes`` every end in order.
        requests: Answers to requests, as they came.
        error: What ended the run, or why it can't be followed; None where all is well.
        error_details: Traceback or console tail for "Details".
        checkpoints: Saved by the run, by step; older ones may have been removed since.
        last_checkpoint_step: Known once the engine has ended: where a resume would go on.
        engine: The process that works on it now.
        end: How the last engine ended.
        device: In words, with ``device_bytes`` of memory.
        predicted_bytes: What the memory estimate said; set by who reads it.
        own_bytes: What its process was seen to hold of the device, by step; only of the time in which it was watched.
    """

    status_changed = Signal()
    progress_changed = Signal()
    curves_changed = Signal()
    samples_changed = Signal()
    messages_changed = Signal()
    checkpoints_changed = Signal()
    request_answered = Signal(object)
    """`ControlDone`."""

    def __init__(self, run: RunDir, config: RunConfig | None = None, status: RunStatus = "new", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.run = run
        self.config = config
        self.status: RunStatus = status
        self.is_stopping = False
        self.phase: Phase | None = None
        self.phase_detail = ""
        self.phase_done = 0
        self.phase_total = 0
        self.step = 0
        self.num_steps = 0
        self.epoch = 0.0
        self.num_tokens = 0
        self.started_time: float | None = None
        self.session_time: float | None = None
        self.last_time: float | None = None
        self.curves = CurveStore()
        self.evaluations: list[EvaluationDone] = []
        self.best_evaluation: BestEvaluation | None = None
        self.samples: dict[str, list[SampleDone]] = {}
        self.sampled: list[SampleDone] = []
        self.general_losses: list[GeneralLoss] = []
        self.stage: StageStarted | None = None
        self.stages: list[StageStarted] = []
        self.warnings: list[WarningRaised] = []
        self.sessions: list[RunStarted] = []
        self.finishes: list[RunFinished] = []
        self.requests: list[ControlDone] = []
        self.error: DesktopFtError | None = None
        self.error_details = ""
        self.checkpoints: dict[int, CheckpointSaved] = {}
        self.last_checkpoint_step: int | None = None
        self.engine: ProcessMark | None = None
        self.end: EngineEnd | None = None
        self.facts: RunStarted | None = None
        self.predicted_bytes: int | None = None
        self.own_bytes = Curve()
        self.pace = Pace()
        self._session_pid: int | None = None
        self._is_expecting_engine = False
        self._changed: set[Part] = set()

    # --- what is asked often -----------------------------------------------------------------------------------------

    @property
    def is_live(self) -> bool:
        """Whether an engine works on it now."""
        return self.status in {"starting", "running"}

    @property
    def can_resume(self) -> bool:
        """Whether it ended before its last step."""
        return self.status in {"stopped", "failed", "crashed"}

    @property
    def device(self) -> str:
        """What trains, in words; empty before the engine said so."""
        return "" if self.facts is None else self.facts.device

    @property
    def device_bytes(self) -> int:
        """Memory of the device; 0 before the engine said so."""
        return 0 if self.facts is None else self.facts.device_bytes

    def time_left(self) -> TimeLeft | None:
        """How long it still takes; None where it does not go or too little was seen."""
        return self.pace.time_left(self.step, self.num_steps) if self.status == "running" else None

    def health(self, high_bytes: int | None = None) -> tuple[HealthNote, ...]:
        """What the curves say in words, the worst first; from the first and the newest steps where there are many.

        Args:
            high_bytes: The upper end of the memory estimate.
        """
        return health(
            self.curves.steps_at_both_ends(),
            self.evaluations,
            objective="sft" if self.config is None else self.config.objective.kind,
            general=self.general_losses,
            samples=self.sampled,
            predicted_bytes=self.predicted_bytes,
            high_bytes=high_bytes,
        )

    # --- folding -----------------------------------------------------------------------------------------------------

    @Slot(object)
    def fold(self, events: Iterable[Event]) -> None:
        """Take in a batch of events, then say once what changed."""
        steps: list[StepDone] = []
        for event in events:
            if isinstance(event, StepDone):
                steps.append(event)
                continue
            self._fold_steps(steps)
            steps = []
            self._fold(event)
        self._fold_steps(steps)
        self._announce()

    def _fold_steps(self, steps: Sequence[StepDone]) -> None:
        """A replay holds thousands in a row; the curves take them at once."""
        if not steps:
            return
        last = steps[-1]
        self.step, self.epoch, self.num_tokens, self.last_time = last.step, last.epoch, last.num_tokens, last.time
        self.curves.add_steps(steps)
        for event in steps[-_PACE_STEPS:]:
            self.pace.add_step(event.step, event.time, event.seconds)
        self._changed |= {"progress", "curves"}

    def _fold(self, event: Event) -> None:
        self.last_time = event.time
        match event:
            case RunStarted():
                self._on_run_started(event)
            case RunFinished():
                self.finishes.append(event)
                self._set_status_of_session(event.status)
                self._changed.add("progress")
            case PhaseChanged() | Progress():
                self._on_progress(event)
            case EvaluationDone():
                self._on_evaluation(event)
            case SampleDone():
                self._on_sample(event)
            case GeneralLoss():
                self.general_losses = [*(earlier for earlier in self.general_losses if earlier.step < event.step), event]
                self._changed.add("curves")
            case StageStarted():
                self.stage = event
                self.stages.append(event)
                self._changed.add("progress")
            case CheckpointSaved():
                self.checkpoints[event.step] = event
                self._changed.add("checkpoints")
            case WarningRaised():
                self.warnings.append(event)
                self._changed.add("messages")
            case ErrorRaised():
                self.error = DesktopFtError(event.code, event.title, event.message, event.hint)
                self.error_details = event.traceback
                self._changed.add("messages")
            case ControlDone():
                self.requests.append(event)
                self._changed.add("messages")
                self.request_answered.emit(event)
            case _:
                pass

    def _on_run_started(self, event: RunStarted) -> None:
        self.facts = event
        self.sessions.append(event)
        self.num_steps, self.step = event.num_steps, event.start_step
        self.started_time = event.time if self.started_time is None else self.started_time
        self.session_time = event.time
        self._session_pid = event.pid
        self.error, self.error_details, self.end = None, "", None
        self._forget_after(event.start_step)
        self.pace.restart()
        self._set_status_of_session("running")
        self._changed |= {"progress", "curves", "samples", "messages", "checkpoints"}

    def _on_progress(self, event: PhaseChanged | Progress) -> None:
        self.phase, self.phase_detail = event.phase, event.detail or self.phase_detail
        self.phase_done, self.phase_total = (event.done, event.total) if isinstance(event, Progress) else (0, 0)
        self._changed.add("progress")

    def _on_evaluation(self, event: EvaluationDone) -> None:
        self.curves.add_evaluation(event)
        self.evaluations = [*(earlier for earlier in self.evaluations if earlier.step < event.step), event]
        self.best_evaluation = _best(self.evaluations)
        self.pace.add_pause(event.seconds)
        self._changed.add("curves")

    def _on_sample(self, event: SampleDone) -> None:
        if event.sampled:
            self.sampled = [*self.sampled, event][-MOST_SAMPLED:]
        else:
            kept = [sample for sample in self.samples.get(event.prompt, []) if _goes_before(sample, event)]
            self.samples[event.prompt] = [*kept, event]
        self._changed.add("samples")

    def _forget_after(self, step: int) -> None:
        """What a resumed run does again must not be there twice."""
        self.curves.cut(step)
        self.own_bytes.cut(step)
        self.sampled = [sample for sample in self.sampled if sample.step <= step]
        self.general_losses = [event for event in self.general_losses if event.step <= step]
        if self.stage is not None and self.stage.first_step > step + 1:
            self.stage = None
        self.samples = {prompt: [sample for sample in found if sample.step <= step] for prompt, found in self.samples.items()}
        self.checkpoints = {saved: event for saved, event in self.checkpoints.items() if saved <= step}
        self.evaluations = [event for event in self.evaluations if event.step <= step]
        self.best_evaluation = _best(self.evaluations)

    # --- what the worker says ----------------------------------------------------------------------------------------

    def follow(self, worker: TrainingWorker) -> None:
        """Take in everything that a worker hands over."""
        worker.events_received.connect(self.fold)
        worker.engine_started.connect(self.on_engine_started)
        worker.engine_ended.connect(self.on_engine_ended)
        worker.failed.connect(self.on_failed)

    def expect_engine(self) -> None:
        """An engine is being started; what the last one said about its end no longer holds."""
        self.error, self.error_details, self.end = None, "", None
        self.is_stopping = False
        self.phase, self.phase_detail = None, ""
        self._set_status("starting")
        self._is_expecting_engine = True
        self._changed |= {"progress", "messages"}
        self._announce()

    @Slot(object)
    def on_engine_started(self, mark: ProcessMark) -> None:
        """The log has been read up to the start of this engine (or to the present, where it was running already)."""
        self.engine = mark
        if not (self.status == "running" and self._session_pid == mark.pid):
            self.expect_engine()
        self._is_expecting_engine = False
        self._changed.add("status")
        self._announce()

    def note_own_bytes(self, num_bytes: int) -> None:
        """What its process holds of the device now; of several looks at one step the largest stays."""
        before = self.own_bytes.at(self.step)
        if before is None or num_bytes > before:
            self.own_bytes.extend(np.array([self.step], np.int64), np.array([num_bytes], np.float64))
            self._changed.add("curves")
            self._announce()

    def mark_stopping(self) -> None:
        """A stop was asked for."""
        self.is_stopping = self.is_live
        self._changed.add("status")
        self._announce()

    @Slot(object)
    def on_engine_ended(self, end: EngineEnd) -> None:
        """The engine is gone; all its events have been folded."""
        if self._is_expecting_engine:
            return  # The end of an earlier one, told late.
        self.engine, self.end, self.is_stopping = None, end, False
        self.last_checkpoint_step = end.last_checkpoint_step
        if end.status in {"crashed", "failed"} and self.error is None:
            where = f"at step {self.step} of {self.num_steps}" if self.num_steps else "before the first step"
            self.error = crash_error(end, where, checkpoints=True)
        if end.status == "crashed" and not self.error_details:
            self.error_details = end.console_tail
        self._set_status(end.status)
        self._changed |= {"status", "progress", "messages", "checkpoints"}
        self._announce()

    @Slot(object)
    def on_failed(self, error: DesktopFtError) -> None:
        """The run can't be followed (its engine, if any, goes on)."""
        self.error = error
        self._is_expecting_engine = False
        self._changed.add("messages")
        if self.is_live:
            self._set_status("failed")
        self._announce()

    def _set_status(self, status: RunStatus) -> None:
        if status != self.status:
            self.status = status
            self._changed.add("status")

    def _set_status_of_session(self, status: RunStatus) -> None:
        """While an engine is being started, what earlier ones did is read again and is not the run's status."""
        if not self._is_expecting_engine:
            self._set_status(status)

    def _announce(self) -> None:
        changed, self._changed = self._changed, set()
        for part in _PARTS:
            if part in changed:
                cast("SignalInstance", getattr(self, f"{part}_changed")).emit()


def _goes_before(sample: SampleDone, event: SampleDone) -> bool:
    """Of a scored pair both answers to a prompt come at one step; a step that comes again replaces its own answers."""
    return sample.step < event.step or (sample.step == event.step and sample.index < event.index)


def _best(evaluations: Iterable[EvaluationDone]) -> BestEvaluation | None:
    measured = [BestEvaluation(event.step, event.loss) for event in evaluations if event.loss is not None]
    return min(measured, key=lambda best: best.loss, default=None)


def crash_error(end: EngineEnd, where: str = "", checkpoints: bool = False) -> DesktopFtError:
    """What to show for an engine that ended without a word of its own.

    Args:
        end: How it ended.
        where: How far it was, such as ``at step 7 of 20``.
        checkpoints: Whether there is something to resume.
    """
    because = f": {end.reason}" if end.reason else ""
    hint = "Details shows the last lines that it printed."
    if checkpoints and end.last_checkpoint_step is None:
        hint = f"It has no checkpoint yet: Resume starts from the beginning. {hint}"
    elif checkpoints:
        hint = f"Resume goes on from the checkpoint at step {end.last_checkpoint_step}. {hint}"
    title = "The engine's process is gone"
    return DesktopFtError("engine_crashed", title, f"It ended unexpectedly{' ' if where else ''}{where}{because}.", hint)
