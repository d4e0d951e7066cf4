"""What a run says while it goes: typed events, one JSON line each.

The event log is at once the stream, the record and the test fixture. Every line has ``v``, ``kind``, ``seq`` and ``time``
(seconds since the epoch, UTC). A number that is not finite is written as ``null`` and its field is named in ``non_finite``.
Unknown kinds and fields are ignored, so that an older program can read a newer log of the same version.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Union, cast, get_args, get_origin, get_type_hints

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
        metrics: What the objective tells besides, under TRL's names, such as ``rewards/margins``, ``kl`` or
            ``completions/mean_length``. A value that was not finite is left out and named in ``non_finite`` as ``metrics.NAME``.
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
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])


@dataclass(frozen=True, kw_only=True)
class EvaluationDone(Event):
    """Loss on the held-out examples: of an SFT run nats per supervised token over all of them, else the objective's loss.

    ``metrics`` are named as in `StepDone`.
    """

    kind: ClassVar[str] = "evaluation"
    step: int
    loss: float | None = None
    num_examples: int = 0
    seconds: float = 0.0
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])


@dataclass(frozen=True, kw_only=True)
class GeneralLoss(Event):
    """Loss on a small general text that is not trained on, nats per token; its rise since step 0 is forgetting."""

    kind: ClassVar[str] = "general_loss"
    step: int
    loss: float | None = None
    num_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class StageStarted(Event):
    """A run of several stages (RLHF: reward, then policy) begins one; ``first_step`` is the run's first step in it."""

    kind: ClassVar[str] = "stage_started"
    stage: str
    number: int
    total: int
    first_step: int = 1


@dataclass(frozen=True, kw_only=True)
class SampleDone(Event):
    """Text that the model wrote for a fixed prompt, greedily, or while it was trained by reward. Step 0 is before training.

    Attributes:
        finished: Whether the model ended it; otherwise it was cut at the limit.
        reward: What the answer scored, where something scores answers.
        sampled: Whether it was sampled in training (ppo, grpo, rloo) rather than asked of the run's fixed prompts.
    """

    kind: ClassVar[str] = "sample"
    step: int
    index: int
    prompt: str
    text: str
    finished: bool = True
    reward: float | None = None
    sampled: bool = False


@dataclass(frozen=True, kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint is complete on disk; ``path`` is relative to the run's folder.

    Attributes:
        is_best: Whether it measured better on held-out examples than every one before; then it is kept when others go.
    """

    kind: ClassVar[str] = "checkpoint_saved"
    step: int
    path: str
    num_bytes: int = 0
    is_best: bool = False


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
class LrPoint(Event):
    """One rate of a sweep of learning rates was tried for a few steps.

    Attributes:
        loss: The mean of the last third of its steps; of a rate that diverged, the last one.
        first_loss: Of its first step, before anything was learnt; the same for every rate.
        num_steps: Steps that were done; fewer than asked for where it diverged.
    """

    kind: ClassVar[str] = "lr_point"
    rate: float
    loss: float | None = None
    first_loss: float | None = None
    num_steps: int = 0
    has_diverged: bool = False


@dataclass(frozen=True, kw_only=True)
class LrSuggested(Event):
    """What a sweep of learning rates suggests; ``rate`` None: the curve shows none. ``message`` says why."""

    kind: ClassVar[str] = "lr_suggested"
    rate: float | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class ProbeMeasured(Event):
    """One worst-case step of a run was measured on this device.

    Attributes:
        fits: Whether all of it was done; otherwise the memory was full, and ``message`` says with numbers where.
        process_bytes: Peak of the process as the driver shows it; resident on a CPU.
        peak_allocated_bytes: Peak of torch's tensors; None on a CPU.
        peak_reserved_bytes: Peak that torch reserved for them; None on a CPU.
        context_bytes: What the driver shows beyond that; None on a CPU and where it could not be asked.
        peak_phase: When the peak was reached: load, train, evaluate or save.
        seconds_per_step: Of an optimizer step with all its micro-batches, on the longest rows; None where none was done.
        tokens_per_second: Non-padding tokens over the time of a step.
        evaluation_seconds: Of one evaluation of all held-out examples; None without any.
        sequence_length: Tokens of the longest row, sampled answers included.
    """

    kind: ClassVar[str] = "probe_measured"
    fits: bool
    process_bytes: int = 0
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    context_bytes: int | None = None
    peak_phase: Phase = "load"
    seconds_per_step: float | None = None
    tokens_per_second: float | None = None
    evaluation_seconds: float | None = None
    micro_batch_size: int = 0
    gradient_accumulation_steps: int = 0
    sequence_length: int = 0
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class DryRunDone(Event):
    """The exact estimate: what a run will need at its peak, from its own trainer on tensors without content.

    Attributes:
        total_bytes: What nvidia-smi will show for the process; resident memory on a CPU.
        allocated_bytes: Held by tensors at the peak.
        reserved_bytes: Taken from the driver by torch's allocator; as ``allocated_bytes`` on a CPU.
        paged_bytes: Optimizer states that lie past torch's allocator and can move to the host.
        holes_bytes: What rows of different lengths may add to the total in a long run, as the allocator keeps blocks of every size.
        terms: Bytes by part, under the names of the closed estimate; they add up to the total.
        phase: The part of a step that needs most.
        num_layers: Blocks of the model.
        num_layers_run: Blocks of the shallow model that was run; the others are repetitions of them.
        versions: Of the libraries that were run.
        modelled: What was put in place of a graphics card's own kernels, and what was left out, in sentences.
    """

    kind: ClassVar[str] = "dry_run_done"
    total_bytes: int
    allocated_bytes: int
    reserved_bytes: int
    paged_bytes: int = 0
    holes_bytes: int = 0
    terms: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])
    phase: str = ""
    seconds: float = 0.0
    num_layers: int = 0
    num_layers_run: int = 0
    versions: str = ""
    modelled: str = ""


@dataclass(frozen=True, kw_only=True)
class Verified(Event):
    """An export was loaded again and compared with the trained model on held-out prompts.

    Attributes:
        top1_agreement: Share of positions with the same most likely token.
        mean_kl: Mean KL divergence, nats per token, trained model || export.
        max_kl: Largest of them.
        max_score_difference: Of a reward model, in place of the distributions: largest difference of a score.
        stop_token_ok: Of a reward model true, for it writes nothing.
    """

    kind: ClassVar[str] = "verified"
    num_prompts: int
    top1_agreement: float | None = None
    mean_kl: float | None = None
    max_kl: float | None = None
    max_score_difference: float | None = None
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
        RunStarted, PhaseChanged, Progress, StepDone, EvaluationDone, GeneralLoss, StageStarted, SampleDone, CheckpointSaved, ControlDone,
        WarningRaised, ErrorRaised, LrPoint, LrSuggested, ProbeMeasured, DryRunDone, Verified, Exported, RunFinished,
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
        elif isinstance(value, Mapping):
            numbers = cast("Mapping[str, float]", value)
            bad += [f"{field.name}.{name}" for name, number in numbers.items() if not math.isfinite(number)]
            value = {name: number for name, number in numbers.items() if math.isfinite(number)}
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
        value = cast("object", _DECODER.decode(line))
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _refuse_constant(name: str) -> object:
    """NaN and Infinity are no JSON, and Python reads them all the same."""
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def _build(event_type: type[Event], fields: Mapping[str, object]) -> Event | None:
    known: dict[str, object] = {}
    for name, allowed in _ALLOWED[event_type].items():
        if name in fields:
            value = fields[name]
            if not allowed.suits(value):
                return None
            known[name] = _without_lone_surrogates(value) if type(value) is str else value
    known["non_finite"] = _names(fields.get("non_finite"))
    try:
        return cast("Callable[..., Event]", event_type)(**known)
    except TypeError:
        return None


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(name) for name in cast("list[object]", value)) if isinstance(value, list) else ()


def _without_lone_surrogates(text: str) -> str:
    """Half a UTF-16 pair is valid in JSON and cannot be shown or written."""
    return text if text.isascii() else text.encode("utf-8", errors="replace").decode("utf-8")


@dataclass(frozen=True)
class _Allowed:
    """What JSON may hold for a field; ``choices`` is empty where any text will do."""

    types: frozenset[type]
    choices: frozenset[str]

    def suits(self, value: object) -> bool:
        kind = type(value)
        if kind not in self.types:
            return False
        if kind is int:
            return -_INT_LIMIT <= cast("int", value) < _INT_LIMIT
        if kind is float:
            return math.isfinite(cast("float", value))
        if kind is dict:
            return all(_is_number(number) for number in cast("dict[str, object]", value).values())
        return kind is not str or not self.choices or value in self.choices


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(cast("float", value))


def _allowed(annotation: object) -> _Allowed:
    if get_origin(annotation) is abc.Mapping:
        return _Allowed(frozenset({dict}), frozenset())
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    choices = frozenset(str(choice) for member in members if get_origin(member) is Literal for choice in get_args(member))
    plain = {str if get_origin(member) is Literal else cast("type", member) for member in members}
    return _Allowed(frozenset(plain | ({int} if float in plain else set())), choices)


_INT_LIMIT: Final = 1 << 63
_ALLOWED: Final[Mapping[type[Event], Mapping[str, _Allowed]]] = {
    event_type: {
        name: _allowed(annotation)
        for name, annotation in get_type_hints(event_type).items()
        if name not in ("kind", "non_finite")
    }
    for event_type in EVENT_TYPES.values()
}  # fmt: skip
