"""Jobs other than training: a request in a folder, with the same log, console, control and lock as a run.

    job.json        what is asked for, with its version
    events.jsonl    what happened
    console.log, control/, lock.json

One child of the engine carries out one job; like a run it outlives the window that asked for it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal, cast, get_args

from desktop_ft.core.config.schema import DtypeName
from desktop_ft.core.device import DeviceKind
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_error, write_json
from desktop_ft.core.runs import EngineDir, RunDir

JOB_VERSION: Final = 1
ExportTarget = Literal["adapter", "merged"]
EXPORT_TARGETS: Final[tuple[str, ...]] = get_args(ExportTarget)
DTYPES: Final[tuple[str, ...]] = get_args(DtypeName)
_START_AGAIN: Final = "Start the export, generation, sweep or probe again."


@dataclass(frozen=True)
class ExportRequest:
    """Take what a run trained away.

    Attributes:
        run_dir: The run's folder.
        to: ``adapter``: the small adapter alone; ``merged``: a whole model that needs nothing of ours.
        out: The folder to make.
        overwrite: Whether a folder that is there already may be replaced.
        checkpoint: Step of the checkpoint to export; None: the run's final state, else its last sound checkpoint.
        dtype: Number format of the merged weights. auto: that of the base model (bfloat16 for full fine-tuning of a float32 base).
    """

    kind: ClassVar[str] = "export"
    run_dir: Path
    to: ExportTarget
    out: Path
    overwrite: bool = False
    checkpoint: int | None = None
    dtype: DtypeName = "auto"


@dataclass(frozen=True)
class GenerateRequest:
    """Let a model answer prompts.

    Attributes:
        model: A folder, a Hub id that is on this machine, or 'demo'.
        adapter: Folder of an adapter to put on the model.
        prompts: What the person says; each is answered alone.
        system: What the system turn says; None: what the model's template says by itself.
        max_new_tokens: Longest answer, tokens.
        temperature: 0: always the most likely token; above 0: sampled.
        top_p: Sample from the most likely tokens that together have this probability.
        seed: Start of the random numbers; the same seed gives the same answers on the same machine.
        dtype: Number format of the weights. auto: as stored, float32 on a CPU.
    """

    kind: ClassVar[str] = "generate"
    model: str
    prompts: tuple[str, ...]
    adapter: Path | None = None
    revision: str = "main"
    system: str | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 42
    dtype: DtypeName = "auto"


@dataclass(frozen=True)
class ScoreRequest:
    """Let a reward model score answers to one prompt; each becomes a `SampleDone` with its reward.

    Attributes:
        source: The folder of a reward run, of its adapter, or of a sequence classifier with one output.
        prompt: What the person says.
        answers: What is scored, each alone.
        dtype: Number format of the weights. auto: as stored, float32 on a CPU.
    """

    kind: ClassVar[str] = "score"
    source: Path
    prompt: str
    answers: tuple[str, ...]
    dtype: DtypeName = "auto"


@dataclass(frozen=True)
class LrFindRequest:
    """Try learning rates for the run whose run.yaml lies in the job's folder (`desktop_ft.core.lr_finder.create_sweep`).

    Attributes:
        low: The lowest rate.
        high: The highest rate.
        num_steps: Optimizer steps for each.
        num_rates: How many, evenly spaced on a logarithmic scale.
    """

    kind: ClassVar[str] = "lr_find"
    low: float
    high: float
    num_steps: int = 8
    num_rates: int = 11


@dataclass(frozen=True)
class ProbeRequest:
    """Measure one worst-case step of the run whose run.yaml lies in the job's folder (`desktop_ft.core.probe.create_probe`).

    Attributes:
        longest: Tokens of the longest example that the estimate was made for; None: as the engine finds it in the data.
    """

    kind: ClassVar[str] = "probe"
    longest: int | None = None


@dataclass(frozen=True)
class DryRunRequest:
    """Compute the memory of the run whose run.yaml lies in the job's folder (`desktop_ft.core.memory.dry_run.create_dry_run`).

    Attributes:
        device_kind: What it would train on, as `desktop_ft.core.device.DeviceFacts` has it; the device need not be here.
        longest_example: Tokens of the longest example; 0: as ``data.max_length``.
        rows_differ: Whether the rows of a batch differ in length, so that attention needs a mask.
        expandable_segments: Whether torch's allocator grows its segments (``PYTORCH_ALLOC_CONF``).
        time_limit_seconds: It gives up after this.
    """

    kind: ClassVar[str] = "dry_run"
    device_kind: str
    device_name: str
    device_bytes: int
    free_bytes: int
    supports_bf16: bool
    longest_example: int = 0
    rows_differ: bool = True
    expandable_segments: bool = False
    time_limit_seconds: float = 120.0


JobRequest = ExportRequest | GenerateRequest | ScoreRequest | LrFindRequest | ProbeRequest | DryRunRequest
REQUEST_TYPES: Final[Mapping[str, type[JobRequest]]] = {
    "export": ExportRequest, "generate": GenerateRequest, "score": ScoreRequest, "lr_find": LrFindRequest, "probe": ProbeRequest,
    "dry_run": DryRunRequest,
}  # fmt: skip


@dataclass(frozen=True)
class JobDir(EngineDir):
    """Names of everything in a job's folder."""

    @property
    def job_file(self) -> Path:
        """What is asked for."""
        return self.path / "job.json"


# --- making and reading a job ------------------------------------------------------------------------------------------


def create_job(parent: RunDir, request: JobRequest) -> JobDir:
    """A new job of a run, in the next free folder such as ``jobs/export-0001``.

    Raises:
        DesktopFtError: ``request_invalid``, ``disk_full`` or ``file_not_writable``.
    """
    return create_job_in(parent.jobs, request)


def create_job_in(folder: Path, request: JobRequest) -> JobDir:
    """A new job that belongs to no run, in the next free folder such as ``folder/generate-0001``.

    Raises:
        DesktopFtError: ``request_invalid``, ``disk_full`` or ``file_not_writable``.
    """
    problem = _problem_of(request)
    if problem:
        raise _invalid(problem)
    job = JobDir(_new_folder(folder.absolute(), request.kind))
    write_json(job.job_file, encode_request(request))
    return job


def _new_folder(parent: Path, kind: str) -> Path:
    number = max((_number_of(path, kind) for path in parent.glob(f"{kind}-*")), default=0) + 1
    while True:
        folder = parent / f"{kind}-{number:04d}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise write_error(folder, error) from error
        else:
            return folder


def _number_of(path: Path, kind: str) -> int:
    match = re.fullmatch(rf"{kind}-(\d+)", path.name)
    return int(match[1]) if match else 0


def is_job(folder: Path) -> bool:
    """Whether the folder holds a job rather than a run."""
    return JobDir(folder).job_file.is_file()


def list_jobs(run: RunDir, kind: str) -> list[JobDir]:
    """The run's jobs of one kind, oldest first."""
    return [JobDir(path) for path in sorted(run.jobs.glob(f"{kind}-*")) if is_job(path)]


def read_job(folder: Path) -> JobRequest:
    """What is asked for in a job's folder.

    Raises:
        DesktopFtError: ``job_missing``, ``job_unreadable``, ``job_too_new`` or ``request_invalid``.
    """
    path = JobDir(folder).job_file
    try:
        value = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise DesktopFtError("job_missing", "There is no job here", f"{folder} has no job.json.", _START_AGAIN) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(value, dict):
        raise _unreadable(path, "it holds no request.")
    return decode_request(cast("dict[str, object]", value), path)


# --- requests as JSON -----------------------------------------------------------------------------------------------------


def encode_request(request: JobRequest) -> dict[str, object]:
    """The content of job.json."""
    return {"v": JOB_VERSION, "kind": request.kind, "request": {name: _plain(value) for name, value in _fields(request).items()}}


def _fields(request: JobRequest) -> dict[str, object]:
    return {field.name: cast("object", getattr(request, field.name)) for field in dataclasses.fields(request)}


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    return list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value


def decode_request(value: Mapping[str, object], path: Path) -> JobRequest:
    """The request in job.json's content; ``path`` is for messages.

    Raises:
        DesktopFtError: ``job_unreadable``, ``job_too_new`` or ``request_invalid``.
    """
    version = value.get("v")
    if isinstance(version, int) and version > JOB_VERSION:
        raise DesktopFtError(
            "job_too_new",
            "This job was made by a newer version",
            f"{path.name} has version {version}; this program knows up to {JOB_VERSION}.",
            "Update Desktop FT, or start the job again.",
        )
    request_type = REQUEST_TYPES.get(str(value.get("kind")))
    fields = value.get("request")
    if request_type is None or not isinstance(fields, dict):
        raise _unreadable(path, f"'{value.get('kind')}' is no job. Known: {', '.join(REQUEST_TYPES)}.")
    request = _build(request_type, cast("dict[str, object]", fields), path)
    problem = _problem_of(request)
    if problem:
        raise _invalid(problem)
    return request


def _build(request_type: type[JobRequest], fields: Mapping[str, object], path: Path) -> JobRequest:
    known = {field.name: str(field.type) for field in dataclasses.fields(request_type)}
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise _unreadable(path, f"it has unknown fields: {', '.join(unknown)}.")
    values = {name: _revive(known[name], value, name, path) for name, value in fields.items()}
    try:
        return cast("Callable[..., JobRequest]", request_type)(**values)
    except TypeError as error:
        raise _unreadable(path, str(error)) from error


def _revive(annotation: str, value: object, name: str, path: Path) -> object:
    """A JSON value as the field's type wants it."""
    if value is None and "None" in annotation:
        return None
    if annotation.startswith("Path") and isinstance(value, str):
        return Path(value)
    if annotation.startswith("tuple") and isinstance(value, list) and all(isinstance(item, str) for item in cast("list[object]", value)):
        return tuple(cast("list[str]", value))
    if annotation == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    expected = {"bool": bool, "int": int, "int | None": int}.get(annotation, str)
    if type(value) is expected and not annotation.startswith(("Path", "tuple", "float")):
        return value
    raise _unreadable(path, f"{name} is {value!r}, which is no {annotation}.")


def _problem_of(request: JobRequest) -> str:
    """What is wrong with a request's values; empty where nothing is."""
    if isinstance(request, LrFindRequest):
        return _problem_of_sweep(request)
    if isinstance(request, ProbeRequest):
        return "" if request.longest is None or request.longest > 0 else f"longest is {request.longest}; it must be at least 1."
    if isinstance(request, DryRunRequest):
        return _problem_of_dry_run(request)
    if request.dtype not in DTYPES:
        return f"'{request.dtype}' is no number format. Known: {', '.join(DTYPES)}."
    if isinstance(request, ExportRequest):
        return "" if request.to in EXPORT_TARGETS else f"'{request.to}' is no kind of export. Known: {', '.join(EXPORT_TARGETS)}."
    if isinstance(request, ScoreRequest):
        return "" if request.answers else "there is no answer to score."
    checks = (
        (bool(request.prompts), "there is no prompt."),
        (request.max_new_tokens >= 1, f"max_new_tokens is {request.max_new_tokens}; it must be at least 1."),
        (request.temperature >= 0, f"temperature is {request.temperature:g}; it must be at least 0."),
        (0 < request.top_p <= 1, f"top_p is {request.top_p:g}; it must be above 0 and at most 1."),
    )
    return next((message for fine, message in checks if not fine), "")


def _problem_of_sweep(request: LrFindRequest) -> str:
    checks = (
        (0 < request.low < request.high <= 1, f"the rates go from {request.low:g} to {request.high:g}; they must rise, above 0 up to 1."),
        (request.num_steps >= 1, f"num_steps is {request.num_steps}; it must be at least 1."),
        (2 <= request.num_rates <= 100, f"num_rates is {request.num_rates}; it must be from 2 to 100."),
    )
    return next((message for fine, message in checks if not fine), "")


def _problem_of_dry_run(request: DryRunRequest) -> str:
    checks = (
        (request.device_kind in get_args(DeviceKind), f"'{request.device_kind}' is no kind of device."),
        (request.longest_example >= 0, f"longest_example is {request.longest_example}; it must be at least 0."),
        (request.time_limit_seconds > 0, f"time_limit_seconds is {request.time_limit_seconds:g}; it must be above 0."),
    )
    return next((message for fine, message in checks if not fine), "")


def _invalid(problem: str) -> DesktopFtError:
    return DesktopFtError("request_invalid", "This can't be done as asked", problem[0].upper() + problem[1:], "Change it and try again.")


def _unreadable(path: Path, why: str) -> DesktopFtError:
    return DesktopFtError("job_unreadable", "The job's file can't be read", f"{path}: {why}", _START_AGAIN)
