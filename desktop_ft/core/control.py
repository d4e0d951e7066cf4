"""Requests to a running engine: numbered files in the run's folder, each answered by one ``control_done`` event."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast, get_args

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_error, write_json

CONTROL_VERSION: Final = 1
ControlKind = Literal["stop", "save", "sample", "set"]
_NAME: Final = re.compile(r"(\d{6})\.json")
_ANY_NAME: Final = re.compile(r"(\d{6})\.(?:json|old)")


@dataclass(frozen=True)
class Control:
    """One request: ``set`` carries ``values``, dotted config paths to new values."""

    number: int
    kind: ControlKind
    values: Mapping[str, object] = field(default_factory=dict[str, object])


def send_control(run_dir: Path, kind: ControlKind, values: Mapping[str, object] | None = None) -> int:
    """Ask the engine of this run for something; returns the request's number."""
    folder = run_dir / "control"
    number = max((int(match[1]) for match in _matches(folder, _ANY_NAME)), default=0) + 1
    write_json(folder / f"{number:06d}.json", {"v": CONTROL_VERSION, "kind": kind, "values": dict(values or {})})
    return number


def read_controls(run_dir: Path, after: int) -> list[Control]:
    """Requests with a number above ``after``, in order; files that are no request are passed over."""
    folder = run_dir / "control"
    numbers = sorted(int(match[1]) for match in _matches(folder, _NAME))
    found = (_read(folder / f"{number:06d}.json", number) for number in numbers if number > after)
    return [control for control in found if control is not None]


def retire_controls(run_dir: Path) -> None:
    """Put away the requests to an engine that is gone, so that the next one does not obey them; their numbers stay used.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``.
    """
    folder = run_dir / "control"
    for match in _matches(folder, _NAME):
        path = folder / match[0]
        try:
            path.replace(path.with_suffix(".old"))
        except OSError as error:
            raise write_error(path, error) from error


def _matches(folder: Path, name: re.Pattern[str]) -> list[re.Match[str]]:
    if not folder.is_dir():
        return []
    return [match for entry in folder.iterdir() if (match := name.fullmatch(entry.name))]


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
