"""What the page needs to know of a run besides its events: the resolved settings and the predicted memory. Read in a thread."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import cast, get_args

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts, DeviceKind
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.resolve import Resolved, load_resolved
from desktop_ft.core.retry import RetryOffer, retry_offer
from desktop_ft.core.runs import RunDir


@dataclass(frozen=True)
class Prediction:
    """The memory estimate of the run, bytes."""

    low_bytes: int
    total_bytes: int
    high_bytes: int


@dataclass(frozen=True)
class RunFacts:
    """What was found; None where the engine has not written it yet, or where it can't be told."""

    resolved: Resolved | None = None
    prediction: Prediction | None = None
    offer: RetryOffer | None = None


def read_facts(run: RunDir, config: RunConfig | None) -> RunFacts:
    """Read resolved.yaml, compute the estimate for the device that the run was started on, and look for a way out of a full memory.

    Never raises for what is missing.
    """
    resolved = _resolved(run)
    settings = resolved.config if resolved is not None else config
    device = recorded_device(run)
    prediction = None if settings is None or device is None else _predict(settings, device)
    return RunFacts(resolved, prediction, _offer(run) if resolved is not None else None)


def _offer(run: RunDir) -> RetryOffer | None:
    try:
        return retry_offer(run)
    except DesktopFtError:
        return None


def _resolved(run: RunDir) -> Resolved | None:
    try:
        return load_resolved(run.resolved_file)
    except DesktopFtError:
        return None


def _predict(config: RunConfig, device: DeviceFacts) -> Prediction | None:
    from desktop_ft.core.memory import estimate
    from desktop_ft.core.models import read_model, resolve_model

    try:
        model = read_model(resolve_model(config.model.source, config.model.revision))
        found = estimate(config, model, device)
    except DesktopFtError:
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
    )
