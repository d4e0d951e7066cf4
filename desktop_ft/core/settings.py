"""Preferences of the program, kept in the workspace's settings.json. Keys that this version does not know are kept as they are."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final, Literal, cast

from desktop_ft.core.files import write_json

SETTINGS_VERSION: Final = 1
ThemeChoice = Literal["system", "light", "dark"]
_THEMES: Final = ("system", "light", "dark")


@dataclass(frozen=True)
class Preferences:
    """What a person chose for the program itself.

    Attributes:
        theme: Follow the system, or always light or dark.
        model_folders: Folders of models that were chosen by hand, newest first.
        explain_close: Say at closing that a run goes on.
        window_geometry: Qt's own text of size and place; empty before the first close.
        told_crashes: Names of crashed runs' folders of which the window has told already.
        gpu: UUID of the card to train on; empty: the one with the most free memory.
    """

    theme: ThemeChoice = "system"
    model_folders: tuple[str, ...] = ()
    explain_close: bool = True
    window_geometry: str = ""
    told_crashes: tuple[str, ...] = ()
    gpu: str = ""
    unknown: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)

    def with_model_folder(self, folder: str, keep: int = 20) -> Preferences:
        """The same with a folder as the newest."""
        others = tuple(other for other in self.model_folders if other != folder)
        return replace(self, model_folders=(folder, *others)[:keep])


def load_preferences(path: Path) -> Preferences:
    """Read the preferences; a damaged file is set aside as ``settings.json.damaged`` and the defaults are used."""
    try:
        value = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Preferences()
    except (OSError, ValueError):
        value = None
    if not isinstance(value, dict):
        _set_aside(path)
        return Preferences()
    return _from_values(cast("dict[str, object]", value))


def save_preferences(preferences: Preferences, path: Path) -> None:
    """Write atomically.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``.
    """
    known = {item.name: cast("object", getattr(preferences, item.name)) for item in fields(preferences) if item.name != "unknown"}
    write_json(path, {**preferences.unknown, **known, "v": SETTINGS_VERSION})


def _from_values(values: Mapping[str, object]) -> Preferences:
    theme, geometry, gpu = values.get("theme"), values.get("window_geometry"), values.get("gpu")
    return Preferences(
        theme=theme if theme in _THEMES else "system",
        model_folders=_strings(values.get("model_folders")),
        explain_close=values.get("explain_close") is not False,
        window_geometry=geometry if isinstance(geometry, str) else "",
        told_crashes=_strings(values.get("told_crashes")),
        gpu=gpu if isinstance(gpu, str) else "",
        unknown={key: value for key, value in values.items() if key not in {item.name for item in fields(Preferences)} | {"v"}},
    )


def _strings(value: object) -> tuple[str, ...]:
    return tuple(item for item in cast("list[object]", value) if isinstance(item, str)) if isinstance(value, list) else ()


def _set_aside(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.replace(path.with_name(f"{path.name}.damaged"))
