"""What a run or a probe measured, kept for the next estimate on this computer. Nothing here ends a run."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import Final

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail, EventWriter
from desktop_ft.core.events import EvaluationDone, StepDone, WarningRaised
from desktop_ft.core.memory import choose, make_plan
from desktop_ft.core.memory.measured import Measurement, add_measurement, device_key, installed_libraries
from desktop_ft.core.runs import RunDir
from desktop_ft.core.schedule import steps_per_epoch
from desktop_ft.engine.own_memory import OwnMemory
from desktop_ft.engine.prepared import Prepared

NEWEST_STEPS: Final = 200
"""The time of a step is the median of so many."""


def measurement_of(prepared: Prepared, memory: OwnMemory, longest: int | None = None) -> Measurement | None:
    """A measurement of a plan without its times; None where the model's shape or the device has no name to know it by.

    Args:
        prepared: Of the run.
        memory: At its peak.
        longest: Tokens of the longest example that the estimate was made for; None: of the data.
    """
    config, model, device = prepared.config, prepared.model_info, prepared.device
    key = device_key(device)
    if model.shape is None or not key:
        return None
    known = longest or prepared.data.longest
    return Measurement(
        device=key,
        device_name=device.name,
        libraries=installed_libraries(),
        plan=make_plan(config, model, device, choose(config, model, device, known), known),
        objective=config.objective.kind,
        kernels=config.training.kernels,
        gradient_accumulation_steps=config.training.global_batch_size // int(config.training.micro_batch_size),
        process_bytes=memory.process,
        reserved_bytes=memory.reserved,
        context_bytes=memory.context,
    )


def record(measurement: Measurement | None, events: EventWriter) -> None:
    """Keep a measurement; where that fails it is said, and the work goes on."""
    if measurement is None:
        return
    try:
        note = add_measurement(measurement)
    except DesktopFtError as error:
        note = error.message
    if note:
        events.write(WarningRaised(code="measurement_not_kept", title="What was measured could not all be kept", message=note))


def record_run(run: RunDir, prepared: Prepared, memory: OwnMemory, events: EventWriter) -> None:
    """Keep what a run measured that was trained in one go and has seen all its examples, the longest too."""
    steps: list[StepDone] = []
    evaluations: list[float] = []
    for event in EventTail(run.events_file).read_all():
        if isinstance(event, StepDone):
            steps.append(event)
        elif isinstance(event, EvaluationDone):
            evaluations.append(event.seconds)
    if len(steps) < steps_per_epoch(prepared.config, len(prepared.data.train_examples)):
        return
    found = measurement_of(prepared, memory)
    timed = [step.seconds for step in steps[1:][-NEWEST_STEPS:]]  # the first step has everything that is done once
    if found is not None:
        seconds, evaluation = (median(values) if values else None for values in (timed, evaluations))
        record(replace(found, seconds_per_step=seconds, evaluation_seconds=evaluation, source="run"), events)
