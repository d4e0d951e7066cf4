"""One invented but coherent run in every state: a chat model that learns the tone of a support team, told as events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from desktop_ft.core.config import RunConfig, validate
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import (
    CheckpointSaved,
    ControlDone,
    ErrorRaised,
    EvaluationDone,
    Event,
    PhaseChanged,
    Progress,
    RunFinished,
    RunStarted,
    SampleDone,
    StepDone,
    WarningRaised,
)
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.resolve import Resolved
from desktop_ft.core.run_prediction import Prediction
from desktop_ft.core.runs import RunDir, create_run
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.jobs.training_worker import EngineEnd
from desktop_ft.ui.run_page.facts import RunFacts

State = Literal[
    "new", "starting", "loading", "training", "evaluating", "stopping", "stopped", "completed", "failed", "crashed", "crashed_early"
]
STATES: tuple[State, ...] = (
    "new", "starting", "loading", "training", "evaluating", "stopping", "stopped", "completed", "failed", "crashed", "crashed_early",
)  # fmt: skip
NUM_STEPS = 1062
EVAL_STEPS = 50
STEP_SECONDS = 2.19
STARTED = 1_767_272_520.0
GIB = 2**30
PROMPTS = {
    "Where is my parcel?": (
        "I'm sorry, but as an AI language model I do not have access to real-time tracking information.",
        "It left our depot in Leeds this morning and should be with you tomorrow before noon. Want me to text you the link?",
    ),
    "Can I change my address?": (
        "To change your address, please log in to your account and follow the instructions.",
        "Of course! Tell me the new one and I'll update the order before it ships.",
    ),
    "The kettle arrived in the wrong colour.": (
        "Thank you for contacting customer support. We apologise for any inconvenience this may have caused.",
        "Oh no, that is our mistake. A blue one is on its way and arrives on Thursday; keep the green one until then.",
    ),
}


@dataclass(frozen=True)
class Story:
    """The numbers of every step.

    Attributes:
        loss: [N] nats per supervised token; eval_loss: by step.
    """

    loss: np.ndarray
    rate: np.ndarray
    norm: np.ndarray
    speed: np.ndarray
    memory: np.ndarray
    eval_loss: dict[int, float]


def story(num_steps: int = NUM_STEPS) -> Story:
    """The same numbers on every call."""
    noise = np.random.default_rng(7)
    step = np.arange(1, num_steps + 1)
    share = step / num_steps
    mean = 1.05 + 1.18 * np.exp(-share * 8.5) + 0.05 * np.exp(-share * 2)
    warmup = 0.03 * num_steps
    rate = 2e-4 * np.where(step < warmup, step / warmup, 0.5 * (1 + np.cos(np.pi * np.clip((step - warmup) / (num_steps - warmup), 0, 1))))
    speed = 3040 + noise.normal(0, 55, num_steps) - np.where(step % EVAL_STEPS == 1, 700, 0)
    memory = np.where(step < 60, 16.2 + 4.6 * step / 60, np.where(step < 220, 20.9, 21.6)) * GIB
    evaluated = {int(s): float(1.13 + 1.06 * np.exp(-s / num_steps * 8.2)) for s in range(0, num_steps + 1, EVAL_STEPS)}
    return Story(
        loss=mean + noise.normal(0, 0.075, num_steps),
        rate=rate,
        norm=0.42 + 0.6 * np.exp(-share * 9) + np.abs(noise.normal(0, 0.06, num_steps)),
        speed=speed,
        memory=memory,
        eval_loss=evaluated,
    )


def config() -> RunConfig:
    """What the story was started with."""
    return validate(
        {
            "name": "support-tone-qwen3-8b",
            "model": {"source": "Qwen/Qwen3-8B"},
            "data": {"train": "support-replies.jsonl"},
            "training": {"num_train_epochs": 3.0},
            "evaluation": {"sample_prompts": tuple(PROMPTS)},
        }
    )


def resolved() -> Resolved:
    """As the engine would have written it."""
    settled = config().model_dump()
    settled["model"] = {**settled["model"], "dtype": "bfloat16", "attention": "sdpa"}
    settled["data"] = {**settled["data"], "packing": False}
    settled["training"] = {**settled["training"], "micro_batch_size": 4, "optim": "adamw_torch_fused", "activation_checkpointing": True}
    settled["evaluation"] = {**settled["evaluation"], "eval_steps": EVAL_STEPS}
    settled["output"] = {**settled["output"], "save_steps": EVAL_STEPS}
    reasons = {
        "model.dtype": "The device computes in bfloat16.",
        "training.micro_batch_size": "The largest that fits and divides the global batch of 16.",
        "training.activation_checkpointing": "Without it 31.2 GiB would be needed.",
    }
    return Resolved(validate(settled), reasons, 4, 354, NUM_STEPS, 32, ())


def facts() -> RunFacts:
    """Resolved settings and the predicted memory."""
    return RunFacts(resolved(), Prediction(int(21.5 * GIB), int(21.8 * GIB), int(22.1 * GIB)))


def training_events(last_step: int, num_steps: int = NUM_STEPS) -> list[Event]:
    """From the start to a step, in order, with their times."""
    numbers, now = story(num_steps), STARTED
    events: list[Event] = [PhaseChanged(phase="load", detail="Loading the model", time=now - 20)]
    events.append(
        RunStarted(
            pid=4242,
            num_steps=num_steps,
            num_train_examples=5664,
            num_eval_examples=298,
            micro_batch_size=4,
            gradient_accumulation_steps=4,
            device="NVIDIA GeForce RTX 4090",
            device_bytes=24 * GIB,
            time=now,
        )
    )
    events.append(WarningRaised(code="rows_cut", title="31 examples are cut", message="They are longer than 1,024 tokens.", time=now))
    events += _pause(0, numbers, now)
    for step in range(1, last_step + 1):
        now += STEP_SECONDS
        events.append(_step(step, numbers, num_steps, now))
        if step % EVAL_STEPS == 0:
            now += 9.0
            events += _pause(step, numbers, now)
            events.append(CheckpointSaved(step=step, path=f"checkpoints/step-{step:06d}", num_bytes=int(0.52 * GIB), time=now))
            events.append(PhaseChanged(phase="train", detail="Training", time=now))
    return events


def _step(step: int, numbers: Story, num_steps: int, now: float) -> StepDone:
    at = step - 1
    return StepDone(
        step=step,
        epoch=3 * step / num_steps,
        loss=float(numbers.loss[at]),
        grad_norm=float(numbers.norm[at]),
        learning_rate=float(numbers.rate[at]),
        tokens_per_second=float(numbers.speed[at]),
        num_tokens=6650 * step,
        memory_bytes=int(numbers.memory[at]),
        seconds=STEP_SECONDS,
        time=now,
    )


def _pause(step: int, numbers: Story, now: float) -> list[Event]:
    events: list[Event] = [EvaluationDone(step=step, loss=numbers.eval_loss[step], num_examples=298, seconds=8.0, time=now)]
    for index, (prompt, (before, after)) in enumerate(PROMPTS.items()):
        events.append(SampleDone(step=step, index=index, prompt=prompt, text=before if step == 0 else after, time=now))
    return events


def events_of(state: State, num_steps: int = NUM_STEPS) -> list[Event]:
    """The log of a state."""
    at = round(num_steps * 0.6)
    match state:
        case "new" | "starting" | "crashed_early":
            return []
        case "loading":
            return [
                PhaseChanged(phase="load", detail="Loading the model", time=STARTED),
                Progress(phase="load", done=3, total=5, time=STARTED),
            ]
        case "training":
            return [*training_events(at, num_steps), PhaseChanged(phase="train", time=STARTED)]
        case "evaluating":
            busy = [PhaseChanged(phase="evaluate", time=STARTED), Progress(phase="evaluate", done=112, total=298, time=STARTED)]
            return [*training_events(at, num_steps), *busy]
        case "completed":
            events = training_events(num_steps, num_steps)
            return [*events, RunFinished(status="completed", step=num_steps, seconds=2500, time=events[-1].time)]
        case "stopped":
            events = training_events(at, num_steps)
            asked = ControlDone(number=1, control="stop", time=events[-1].time)
            return [*events, asked, RunFinished(status="stopped", step=at, seconds=1500, time=events[-1].time)]
        case "failed":
            events = training_events(137, num_steps)
            return [*events, _out_of_memory(events[-1].time), RunFinished(status="failed", step=137, seconds=300, time=events[-1].time)]
        case _:
            return training_events(at, num_steps)


def _out_of_memory(now: float) -> ErrorRaised:
    return ErrorRaised(
        code="out_of_memory",
        title="The graphics card ran out of memory",
        message="Step 138 needed 1.9 GiB more than the 0.4 GiB that were free of 24.0 GiB.",
        hint="Close other programs that use the card, or start again with a micro-batch of 2; the global batch stays 16.",
        traceback='Traceback (most recent call last):\n  File "trainer.py", line 1, in step\ntorch.OutOfMemoryError: CUDA out of memory.',
        time=now,
    )


def fold(state: State, folder: Path, num_steps: int = NUM_STEPS) -> RunModel:
    """A model in that state, without an engine; run.yaml is in the folder."""
    run = create_run(folder, config())
    model = RunModel(run, run.config(), "running" if state in {"stopping", "training"} else "new")
    if state in {"starting", "loading"}:
        model.expect_engine()
    model.fold(events_of(state, num_steps))
    _end(model, state)
    return model


def _end(model: RunModel, state: State) -> None:
    tail = 'Loading weights: 100%\nFatal Python error: Segmentation fault\n\n  File "dora.py", line 12'
    last = max((step for step in model.checkpoints), default=None)
    match state:
        case "training" | "evaluating" | "stopping":
            model.on_engine_started(ProcessMark(4242, STARTED))
            if state == "stopping":
                model.mark_stopping()
        case "stopped" | "completed" | "failed":
            model.on_engine_ended(EngineEnd(state, 0, last_checkpoint_step=last))
        case "crashed" | "crashed_early":
            model.on_engine_ended(EngineEnd("crashed", -11, "it crashed inside a native library (SIGSEGV)", tail, last))
        case _:
            pass


def write_log(run: RunDir, events: list[Event]) -> None:
    """Put events into a run's log with their own times."""
    times = iter([event.time for event in events])
    writer = EventWriter(run.events_file, clock=lambda: next(times))
    for event in events:
        writer.write(event)
    writer.close()
