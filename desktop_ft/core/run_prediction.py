"""The memory that a run in its folder was expected to need: the estimate on the device that it was started on, as known at its start."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import cast, get_args

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts, DeviceKind
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.runs import RunDir


@dataclass(frozen=True)
class Prediction:
    """The memory estimate of a run, bytes."""

    low_bytes: int
    total_bytes: int
    high_bytes: int


def predict_run(run: RunDir, config: RunConfig) -> Prediction | None:
    """What a run needs; None where that cannot be told. What the run itself measured at its end is no part of it.

    Args:
        run: Its folder, with environment.json.
        config: Its settings, resolved where they are.
    """
    from desktop_ft.core.memory.corrections import estimate_here
    from desktop_ft.core.memory.measured import load_measurements
    from desktop_ft.core.models import read_model, resolve_model

    device = recorded_device(run)
    if device is None:
        return None
    try:
        model = read_model(resolve_model(config.model.source, config.model.revision))
        known = load_measurements()
        started = run.environment_file.stat().st_mtime
        earlier = replace(known, all=tuple(one for one in known.all if one.time < started))
        found = estimate_here(config, model, device, measurements=earlier).estimate
    except (DesktopFtError, OSError):
        return None
    return Prediction(found.low_bytes, found.total_bytes, found.high_bytes)


def recorded_device(run: RunDir) -> DeviceFacts | None:
    """The device as environment.json names it; None before it is written."""
    try:
        value = cast("object", json.loads(run.environment_file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    device = cast("dict[str, object]", value).get("device") if isinstance(value, dict) else None
    if not isinstance(device, dict):
        return None
    fields = cast("dict[str, object]", device)
    kind, total = fields.get("kind"), fields.get("total_bytes")
    if kind not in get_args(DeviceKind) or not isinstance(total, int):
        return None
    return DeviceFacts(
        kind=cast("DeviceKind", kind),
        name=str(fields.get("name", "")),
        total_bytes=total,
        free_bytes=total,
        supports_bf16=bool(fields.get("supports_bf16")),
        uuid=str(fields.get("uuid", "")),
    )
