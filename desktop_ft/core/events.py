"""What a run says while it goes: typed events, one JSON line each.

The event log is at once the stream, the record and the test fixture. Every line has ``v``, ``kind``, ``seq`` and ``time``
(seconds since the epoch, UTC). A number that is not finite is written as ``null`` and its field is named in ``non_finite``.
Unknown kinds and fields are ignored, so that an older program can read a newer log of the same version.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, cast

from desktop_ft.core.errors import DesktopFtError

EVENT_VERSION: Final = 1

Phase = Literal["load", "tokenize", "train", "evaluate", "generate", "save", "export"]
FinishStatus = Literal["completed", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """What every event has.

    Attributes:
        seq: Position in the log, from 0, without gaps; goes on after a resume.
        time: Seconds since the epoch, UTC.
        non_finite: Names of fields whose value was NaN or infinite and is ``None`` here.
    """

    kind: ClassVar[str] = ""
    seq: int = 0
    time: float = 0.0
    non_finite: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """The engine's child is up and knows what it will do. Written at every start and resume.

    Attributes:
        pid: Process id of the engine.
        num_steps: Optimizer steps of the whole run.
        start_step: Steps already done when this child took over (0 for a new run).
        device: What trains, in words, such as ``NVIDIA GeForce RTX 4090`` or ``CPU, 2 threads``.
        device_bytes: Memory of the device (main memory for a CPU).
    """

    kind: ClassVar[str] = "run_started"
    pid: int
    num_steps: int
    start_step: int = 0
    num_train_examples: int = 0
    num_eval_examples: int = 0
    micro_batch_size: int = 1
    gradient_accumulation_steps: int = 1
    device: str = ""
    device_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class PhaseChanged(Event):
    """The engine does something else now; ``detail`` is one sentence for a person."""

    kind: ClassVar[str] = "phase_changed"
    phase: Phase
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """How far the current phase is, in its own unit (files, examples, prompts). ``total`` 0: unknown."""

    kind: ClassVar[str] = "progress"
    phase: Phase
    done: int
    total: int
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class StepDone(Event):
    """One optimizer step.

    Attributes:
        loss: Nats per supervised token, mean over the global batch.
        grad_norm: Norm of the gradients before clipping.
        tokens_per_second: Non-padding tokens of this step over its wall time.
        num_tokens: Non-padding tokens trained on since the start of the run.
        memory_bytes: Peak memory of the engine so far: reserved by torch on a GPU, resident on a CPU.
        seconds: Wall time of the step.
    """

    kind: ClassVar[str] = "step"
    step: int
    epoch: float
    loss: float | None = None
    grad_norm: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    num_tokens: int = 0
    memory_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EvaluationDone(Event):
    """Loss on the held-out examples, nats per supervised token over all of them."""

    kind: ClassVar[str] = "evaluation"
    step: int
    loss: float | None = None
    num_examples: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SampleDone(Event):
    """Text that the model wrote for a fixed prompt, greedily. Step 0 is before training."""

    kind: ClassVar[str] = "sample"
    step: int
    index: int
    prompt: str
    text: str
    finished: bool = True


@dataclass(frozen=True, kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint is complete on disk; ``path`` is relative to the run's folder."""

    kind: ClassVar[str] = "checkpoint_saved"
    step: int
    path: str
    num_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class ControlDone(Event):
    """A control file was obeyed (or refused, with the reason in ``message``)."""

    kind: ClassVar[str] = "control_done"
    number: int
    control: str
    accepted: bool = True
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class WarningRaised(Event):
    """Something a person should know that does not end the run."""

    kind: ClassVar[str] = "warning"
    code: str
    title: str
    message: str
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class ErrorRaised(Event):
    """What ended the run, in a person's words, with the traceback for Details."""

    kind: ClassVar[str] = "error"
    code: str
    title: str
    message: str
    hint: str = ""
    traceback: str = ""


@dataclass(frozen=True, kw_only=True)
class Verified(Event):
    """An export was loaded again and compared with the trained model on held-out prompts.

    Attributes:
        top1_agreement: Share of positions with the same most likely token.
        mean_kl: Mean KL divergence, nats per token, trained model || export.
        max_kl: Largest of them.
    """

    kind: ClassVar[str] = "verified"
    num_prompts: int
    top1_agreement: float | None = None
    mean_kl: float | None = None
    max_kl: float | None = None
    chat_template_equal: bool = False
    stop_token_ok: bool = False


@dataclass(frozen=True, kw_only=True)
class Exported(Event):
    """Something to take away is complete on disk; ``path`` is absolute."""

    kind: ClassVar[str] = "exported"
    path: str
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """The last event of a child that ended in order."""

    kind: ClassVar[str] = "run_finished"
    status: FinishStatus
    step: int = 0
    seconds: float = 0.0


EVENT_TYPES: Final[Mapping[str, type[Event]]] = {
    event.kind: event
    for event in (
        RunStarted, PhaseChanged, Progress, StepDone, EvaluationDone, SampleDone, CheckpointSaved, ControlDone,
        WarningRaised, ErrorRaised, Verified, Exported, RunFinished,
    )
}  # fmt: skip


def encode_event(event: Event) -> str:
    """One line of JSON without the line end; numbers that are not finite become ``null``."""
    fields: dict[str, object] = {"v": EVENT_VERSION, "kind": event.kind}
    bad = list(event.non_finite)
    for field in dataclasses.fields(event):
        value = cast("object", getattr(event, field.name))
        if isinstance(value, float) and not math.isfinite(value):
            bad.append(field.name)
            value = None
        fields[field.name] = value
    del fields["non_finite"]
    if bad:
        fields["non_finite"] = sorted(set(bad))
    return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def decode_event(line: str) -> Event | None:
    """The event of one line, or None where the line is no event that this version knows.

    Raises:
        DesktopFtError: ``events_too_new`` where the line was written by a newer version of the program.
    """
    fields = _parse_object(line)
    if fields is None:
        return None
    version = fields.get("v")
    if isinstance(version, int) and version > EVENT_VERSION:
        raise DesktopFtError(
            "events_too_new",
            "This run was made by a newer version",
            f"Its event log has version {version}; this program reads up to version {EVENT_VERSION}.",
            "Update Desktop FT to open this run.",
        )
    event_type = EVENT_TYPES.get(str(fields.get("kind")))
    return None if event_type is None else _build(event_type, fields)


def _parse_object(line: str) -> dict[str, object] | None:
    try:
        value = cast("object", json.loads(line))
    except ValueError:
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _build(event_type: type[Event], fields: Mapping[str, object]) -> Event | None:
    known: dict[str, object] = {}
    for field in dataclasses.fields(event_type):
        if field.name not in fields:
            continue
        value = fields[field.name]
        if field.name == "non_finite":
            value = tuple(str(name) for name in cast("list[object]", value)) if isinstance(value, list) else ()
        elif not _matches(str(field.type), value):
            return None
        known[field.name] = value
    try:
        return cast("Callable[..., Event]", event_type)(**known)
    except TypeError:
        return None


def _matches(annotation: str, value: object) -> bool:
    """Whether a JSON value suits a field's annotation; literals are strings here."""
    names = {name.strip() for name in annotation.split("|")}
    if value is None:
        return "None" in names
    if isinstance(value, bool):
        return "bool" in names
    if isinstance(value, int):
        return bool(names & {"int", "float"})
    if isinstance(value, float):
        return "float" in names
    return isinstance(value, str) and not names & {"int", "float", "bool"}
