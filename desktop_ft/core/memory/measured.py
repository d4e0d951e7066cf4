"""What this computer measured: peak memory and time of plans that ran here, so that the next estimate knows better.

``measured.json`` in the workspace; probes and finished runs write to it, every estimate reads it. It holds facts of plans and numbers,
no paths and no text of the person's. A damaged file is set aside and said. Must not import torch.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Final, Literal, cast, get_args

from pydantic import TypeAdapter, ValidationError

from desktop_ft.core.config.objectives import OBJECTIVES, ObjectiveName
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.exclusive import exclusive
from desktop_ft.core.files import write_error, write_json
from desktop_ft.core.memory.plan import Plan
from desktop_ft.core.workspace import Workspace, default_workspace

MEASURED_VERSION: Final = 1
MOST_MEASUREMENTS: Final = 120
"""The oldest go beyond this; reading so many takes about a millisecond."""
LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "bitsandbytes")
"""Another version of one of them may need another amount of memory."""

Source = Literal["probe", "run"]
_SOURCES: Final = get_args(Source)


@dataclass(frozen=True)
class Measurement:
    """One plan that ran on one device.

    Attributes:
        device: The device's `device_key`.
        device_name: In words.
        libraries: Versions, by name.
        plan: Its facts.
        objective: What it trained for.
        kernels: ``training.kernels``; the allocator's settings follow it.
        gradient_accumulation_steps: Micro-batches of a step, as the run has it.
        process_bytes: Peak of the process as the driver (on a CPU: the system) shows it.
        reserved_bytes: Peak that torch reserved; None on a CPU.
        context_bytes: The process beyond that; None on a CPU and where the driver could not be asked.
        seconds_per_step: Time of an optimizer step; None where too few were seen.
        evaluation_seconds: Time of one evaluation of all held-out examples; None where there are none.
        source: ``probe``: one worst-case step; ``run``: a run from its first step to its last.
        time: Seconds since the epoch, UTC.
    """

    device: str
    device_name: str
    libraries: Mapping[str, str]
    plan: Plan
    objective: ObjectiveName
    kernels: str
    gradient_accumulation_steps: int
    process_bytes: int
    reserved_bytes: int | None = None
    context_bytes: int | None = None
    seconds_per_step: float | None = None
    evaluation_seconds: float | None = None
    source: Source = "probe"
    time: float = 0.0


@dataclass(frozen=True)
class Measurements:
    """Everything that was measured here, the oldest first.

    Attributes:
        note: What a person should know of the file, one sentence; empty where all is well.
        is_writable: False where a newer version of the program wrote it.
    """

    all: tuple[Measurement, ...] = ()
    note: str = ""
    is_writable: bool = True

    def on(self, device: DeviceFacts) -> tuple[Measurement, ...]:
        """Those of this very device, made with the libraries that are installed now."""
        if not self.all:
            return ()
        key, libraries = device_key(device), installed_libraries()
        return tuple(one for one in self.all if one.device == key and one.libraries == libraries)


def device_key(device: DeviceFacts) -> str:
    """What names one card: its UUID with its name; a CPU has neither, its main memory tells computers apart.

    A card that is only spoken of (``--gpu NAME``) has no UUID and is never measured.
    """
    if device.kind == "cpu":
        return f"cpu:{device.total_bytes}"
    return f"{device.kind}:{device.uuid}:{device.name}" if device.uuid else ""


@lru_cache(maxsize=1)
def installed_libraries() -> Mapping[str, str]:
    """Versions of what decides how much memory a plan takes, by name; what is not installed is left out."""
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def measured_context_bytes(device: DeviceFacts) -> int | None:
    """What the driver keeps for a process on this card beyond torch's memory, as last measured here; None where it never was."""
    return context_of(load_measurements().on(device))


def context_of(measurements: Sequence[Measurement]) -> int | None:
    """The newest context among measurements of one card.

    Paged optimizer states lie outside torch's memory as well, and cannot be told from the context.
    """
    contexts = [one.context_bytes for one in measurements if not one.plan.optim.startswith("paged")]
    return next((found for found in reversed(contexts) if found is not None), None)


# --- the file -----------------------------------------------------------------------------------------------------------


def measured_file(workspace: Workspace | None = None) -> Path:
    """Where the measurements are."""
    return (workspace or default_workspace()).home / "measured.json"


def load_measurements(path: Path | None = None) -> Measurements:
    """Read what was measured; read anew only where the file has changed.

    Args:
        path: Of the file; None: that of the workspace.
    """
    file = path or measured_file()
    try:
        status = file.stat()
    except OSError:
        return Measurements()
    return _load(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _load(path: Path, _changed: int, _size: int) -> Measurements:
    """Cached by the file's time and size."""
    try:
        value = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Measurements()
    except (OSError, ValueError):
        return _set_aside(path)
    if not isinstance(value, dict):
        return _set_aside(path)
    values = cast("dict[str, object]", value)
    version, entries = values.get("v"), values.get("measurements")
    if isinstance(version, int) and version > MEASURED_VERSION:
        note = f"{path.name} was written by a newer version of the program: measurements are neither used nor kept."
        return Measurements(note=note, is_writable=False)
    if version != MEASURED_VERSION or not isinstance(entries, list):
        return _set_aside(path)
    found = [_from_values(entry) for entry in cast("list[object]", entries)]
    return Measurements(tuple(one for one in found if one is not None))


def _set_aside(path: Path) -> Measurements:
    damaged = path.with_name(f"{path.name}.damaged")
    try:
        path.replace(damaged)
    except OSError as error:
        return Measurements(note=f"{path} can't be read ({error.strerror}); estimates go without what was measured.", is_writable=False)
    return Measurements(note=f"{path.name} was damaged and is set aside as {damaged.name}; estimates go without what was measured.")


def add_measurement(measurement: Measurement, path: Path | None = None) -> str:
    """Keep a measurement.

    Returns:
        What a person should know of the file, one sentence; empty where all is well.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``.
    """
    file = path or measured_file()
    with _alone(file):
        before = load_measurements(file)
        if before.is_writable:
            stamped = measurement if measurement.time else dataclasses.replace(measurement, time=time.time())
            _save((*before.all, stamped)[-MOST_MEASUREMENTS:], file)
    return before.note


def forget_measurements(device: DeviceFacts | None = None, path: Path | None = None) -> int:
    """Forget what was measured.

    Args:
        device: On this device only; None: all of it.
        path: Of the file; None: that of the workspace.

    Returns:
        How many were forgotten.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``.
    """
    file = path or measured_file()
    before = load_measurements(file)
    kept = () if device is None else tuple(one for one in before.all if one.device != device_key(device))
    if before.is_writable and len(kept) < len(before.all):
        with _alone(file):
            _save(kept, file)
        return len(before.all) - len(kept)
    return 0


def _alone(path: Path) -> AbstractContextManager[None]:
    """A probe and a run may end at the same moment."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    return exclusive(path.with_name(f".{path.name}.lock"))


def _save(measurements: Sequence[Measurement], path: Path) -> None:
    write_json(path, {"v": MEASURED_VERSION, "measurements": [dataclasses.asdict(one) for one in measurements]})


# --- measurements as JSON --------------------------------------------------------------------------------------------------


def _from_values(value: object) -> Measurement | None:
    """A measurement; None where its plan is one that this version does not know any more."""
    if not isinstance(value, dict):
        return None
    fields = cast("dict[str, object]", value)
    plan = plan_from_values(fields.get("plan"))
    libraries = fields.get("libraries")
    if plan is None or not isinstance(libraries, dict) or not _are_sound(fields):
        return None
    versions = {str(name): str(version) for name, version in cast("dict[object, object]", libraries).items()}
    known = {field.name for field in dataclasses.fields(Measurement)}
    given = {name: item for name, item in fields.items() if name in known}
    try:
        return cast("Callable[..., Measurement]", Measurement)(**{**given, "plan": plan, "libraries": versions})
    except TypeError:
        return None


def _are_sound(fields: Mapping[str, object]) -> bool:
    texts = all(isinstance(fields.get(name), str) for name in ("device", "device_name", "kernels"))
    counts = all(_is_count(fields.get(name)) for name in ("process_bytes", "gradient_accumulation_steps"))
    optional = all(fields.get(name) is None or _is_count(fields.get(name)) for name in ("reserved_bytes", "context_bytes"))
    times = all(_is_time(fields.get(name)) for name in ("seconds_per_step", "evaluation_seconds", "time"))
    return texts and counts and optional and times and fields.get("objective") in OBJECTIVES and fields.get("source") in _SOURCES


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_time(value: object) -> bool:
    return value is None or (type(value) in (int, float) and math.isfinite(cast("float", value)) and cast("float", value) >= 0)


def plan_from_values(value: object) -> Plan | None:
    """A plan from what `dataclasses.asdict` made of it; None where a field is unknown, missing or of another kind."""
    try:
        plan = _plans().validate_json(json.dumps(value))
    except (ValidationError, TypeError):
        return None
    return plan if json.loads(json.dumps(dataclasses.asdict(plan))) == value else None


@lru_cache(maxsize=1)
def _plans() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)
