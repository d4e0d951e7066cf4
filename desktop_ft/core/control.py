"""Requests to a running engine: numbered files in the run's folder, each answered by one ``control_done`` event."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast, get_args

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_json

CONTROL_VERSION: Final = 1
ControlKind = Literal["stop", "save", "sample", "set"]
_NAME: Final = re.compile(r"(\d{6})\.json")


@dataclass(frozen=True)
class Control:
    """One request: ``set`` carries ``values``, dotted config paths to new values."""

    number: int
    kind: ControlKind
    values: Mapping[str, object] = field(default_factory=dict[str, object])


def send_control(run_dir: Path, kind: ControlKind, values: Mapping[str, object] | None = None) -> int:
    """Ask the engine of this run for something; returns the request's number."""
    folder = run_dir / "control"
    number = max((int(match[1]) for match in _matches(folder)), default=0) + 1
    write_json(folder / f"{number:06d}.json", {"v": CONTROL_VERSION, "kind": kind, "values": dict(values or {})})
    return number


def read_controls(run_dir: Path, after: int) -> list[Control]:
    """Requests with a number above ``after``, in order; files that are no request are passed over."""
    folder = run_dir / "control"
    numbers = sorted(int(match[1]) for match in _matches(folder))
    found = (_read(folder / f"{number:06d}.json", number) for number in numbers if number > after)
    return [control for control in found if control is not None]


def _matches(folder: Path) -> list[re.Match[str]]:
    if not folder.is_dir():
        return []
    return [match for entry in folder.iterdir() if (match := _NAME.fullmatch(entry.name))]


def _read(path: Path, number: int) -> Control | None:
    try:
        value = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict):
        return None
    fields = cast("dict[str, object]", value)
    kind, values = fields.get("kind"), fields.get("values", {})
    if fields.get("v") != CONTROL_VERSION or kind not in get_args(ControlKind) or not isinstance(values, dict):
        return None
    return Control(number, cast("ControlKind", kind), cast("dict[str, object]", values))


def check_control_kind(kind: str) -> ControlKind:
    """The kind as typed, or an error that lists the known ones.

    Raises:
        DesktopFtError: ``control_unknown``.
    """
    if kind in get_args(ControlKind):
        return cast("ControlKind", kind)
    known = ", ".join(get_args(ControlKind))
    raise DesktopFtError("control_unknown", "Unknown request", f"'{kind}' is no request to a run.", f"Use one of: {known}.")
