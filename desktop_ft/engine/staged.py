"""A run of several stages, one after the other in one child: RLHF's reward model, then its policy.

Each stage is trained in a folder of its own (`desktop_ft.core.stages`) and told in the log of the whole run, where steps count through.
A resume goes on in the stage that was interrupted.
"""

from __future__ import annotations

import dataclasses
import gc
import shutil

import torch

from desktop_ft.core.config import RunConfig
from desktop_ft.core.eventlog import EventTail, EventWriter
from desktop_ft.core.events import (
    CheckpointSaved,
    EvaluationDone,
    Event,
    GeneralLoss,
    RunStarted,
    SampleDone,
    StageStarted,
    StepDone,
)
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.resolve import load_resolved
from desktop_ft.core.runs import RunDir
from desktop_ft.core.stages import Stage, stages_of
from desktop_ft.engine.controls import ControlFolder
from desktop_ft.engine.errors import Situation
from desktop_ft.engine.stopping import StopFlag, StopRequested
from desktop_ft.engine.train import Outcome, TrainingRun


class StageEvents(EventWriter):
    """The log of the whole run as one stage writes to it.

    Args:
        events: The log.
        stage: Whose events these are.
        offset: Steps of the stages before.
    """

    def __init__(self, events: EventWriter, stage: Stage, offset: int) -> None:
        self._whole = events
        self._prefix = stage.run.path.parent.name + "/" + stage.run.path.name
        self._offset = offset

    def write(self, event: Event) -> Event:
        """Append one event with the run's own step."""
        return self._whole.write(self._shifted(event))

    def close(self) -> None:
        """The log belongs to the run."""

    def _shifted(self, event: Event) -> Event:
        match event:
            case RunStarted(num_steps=num_steps, start_step=start):
                return dataclasses.replace(event, num_steps=num_steps + self._offset, start_step=start + self._offset)
            case CheckpointSaved(step=step, path=path):
                return dataclasses.replace(event, step=step + self._offset, path=f"{self._prefix}/{path}")
            case StepDone(step=step) | EvaluationDone(step=step) | SampleDone(step=step) | GeneralLoss(step=step):
                return dataclasses.replace(event, step=step + self._offset)
            case _:
                return event


class StagedRun:
    """One child's work on a run of stages.

    Args:
        run: The whole run's folder.
        config: Its configuration.
        events: Its log.
        stop: Set when the run is to stop.
        mark: This process.
        controls: Requests to the run.
        situation: Kept up to date for the translation of errors.
    """

    def __init__(
        self,
        run: RunDir,
        config: RunConfig,
        events: EventWriter,
        stop: StopFlag,
        mark: ProcessMark,
        controls: ControlFolder,
        situation: Situation,
    ) -> None:
        self._run = run
        self._stages = stages_of(run, config)
        self._events = events
        self._stop = stop
        self._mark = mark
        self._controls = controls
        self._situation = situation

    def train(self) -> Outcome:
        """Train every stage that is not done.

        Raises:
            DesktopFtError: As `TrainingRun.train`.
            StopRequested: Where the stop came before there was a step to finish.
        """
        offset = 0
        for number, stage in enumerate(self._stages, start=1):
            if not self._is_done(stage):
                outcome = self._train(stage, number, offset)
                if outcome.status != "completed":
                    return dataclasses.replace(outcome, step=outcome.step + offset)
                _release_memory()
            if self._stop.is_set:
                raise StopRequested
            offset += self._num_steps(stage)
        self._take_result(self._stages[-1].run)
        return Outcome("completed", offset)

    def _is_done(self, stage: Stage) -> bool:
        has_result = self._run.adapter.is_dir() or self._run.model.is_dir()
        return stage.is_done or (stage is self._stages[-1] and has_result)

    def _train(self, stage: Stage, number: int, offset: int) -> Outcome:
        folder = stage.open()
        self._events.write(StageStarted(stage=stage.name, number=number, total=len(self._stages), first_step=offset + 1))
        self._situation.step = offset
        events = StageEvents(self._events, stage, offset)
        return TrainingRun(folder, events, self._stop, self._mark, self._controls, self._situation).train()

    def _num_steps(self, stage: Stage) -> int:
        """Steps that a finished stage took."""
        if stage.run.resolved_file.exists():
            return load_resolved(stage.run.resolved_file).num_steps
        started = [event.num_steps for event in EventTail(self._run.events_file).read_all() if isinstance(event, RunStarted)]
        return started[-1] if started else 0

    def _take_result(self, last: RunDir) -> None:
        """What the last stage trained is what the run trained."""
        for name in ("adapter", "model"):
            if (last.path / name).is_dir():
                (last.path / name).rename(self._run.path / name)
        for theirs, ours in ((last.resolved_file, self._run.resolved_file), (last.environment_file, self._run.environment_file)):
            shutil.copyfile(theirs, ours)


def _release_memory() -> None:
    """Give the finished stage's memory back before the next one loads its model."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
