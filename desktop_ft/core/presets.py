"""Presets: settings named by what a person wants. Some come with the program, others are the person's own in the workspace.

A preset is a YAML file with ``title``, ``sentence``, ``order`` and ``settings``: a part of a run.yaml that names neither model nor data.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final, cast

import yaml

from desktop_ft.core.config import DEMO, SETTINGS, Draft, RunConfig, validate
from desktop_ft.core.config.files import Values, migrate, read_values
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_error, write_text
from desktop_ft.core.resources import resource_path
from desktop_ft.core.workspace import Workspace, default_workspace, slug

SECTIONS: Final = ("method", "objective", "training")
"""What a preset decides; what it does not name there has its declared default."""
_LAST: Final = 1000


@dataclass(frozen=True)
class Preset:
    """One preset.

    Attributes:
        name: Its file's name without the ending, such as ``teach-a-format``.
        title: What the person wants, in a few words.
        sentence: When to take it.
        settings: A part of a run.yaml.
        is_own: Whether it is the person's own.
        order: Its place in the list.
    """

    name: str
    title: str
    sentence: str
    settings: Mapping[str, object]
    is_own: bool = False
    order: int = _LAST

    def changes(self) -> Mapping[str, object]:
        """Every setting of the preset's sections by dotted path, for `Draft.with_values`; what it does not name has its default."""
        draft = Draft(self.settings)
        named = [path for path in SETTINGS if path.partition(".")[0] in SECTIONS or draft.is_set(path)]
        return {path: draft.get(path) for path in named}

    def is_kept_by(self, draft: Draft) -> bool:
        """Whether a draft still has every setting that the preset decides."""
        return all(_plain(draft.get(path)) == _plain(value) for path, value in self.changes().items())

    def config(self, model: str = DEMO, data: str = DEMO) -> RunConfig:
        """The preset with a model and data.

        Raises:
            ConfigError: Lists every problem.
        """
        return validate({**self.settings, "name": self.name, "model": {"source": model}, "data": {"train": data}}, self.name)


def list_presets(workspace: Workspace | None = None) -> tuple[Preset, ...]:
    """The program's presets in their order, then the person's own by title; `damaged_presets` has those that cannot be read."""
    own = [preset for preset in _read_own(workspace) if isinstance(preset, Preset)]
    return (*_shipped(), *sorted(own, key=lambda preset: preset.title.lower()))


def damaged_presets(workspace: Workspace | None = None) -> tuple[DesktopFtError, ...]:
    """Why files among the person's own presets cannot be used."""
    return tuple(error for error in _read_own(workspace) if isinstance(error, DesktopFtError))


def load_preset(name: str, workspace: Workspace | None = None) -> Preset:
    """A preset by its name; the person's own comes first.

    Raises:
        DesktopFtError: ``preset_missing``, ``preset_damaged``, or as `read_values`.
        ConfigError: Its settings have problems.
    """
    path = _own_folder(workspace) / f"{name}.yaml"
    if name == slug(name) and path.is_file():
        return read_preset(path, is_own=True)
    shipped = {preset.name: preset for preset in _shipped()}
    if name not in shipped:
        names = [preset.name for preset in list_presets(workspace)]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names)}."
        raise DesktopFtError("preset_missing", "There is no such preset", f"No preset is called '{name}'.", hint)
    return shipped[name]


def save_preset(title: str, sentence: str, config: RunConfig, workspace: Workspace | None = None) -> Preset:
    """Keep a run's settings as the person's own preset; one of the same title is replaced.

    Args:
        title: What it is for; names the file.
        sentence: When to take it.
        config: Its method, objective and training are kept; model and data are not.
        workspace: The person's folder; the default one unless given.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``.
        ConfigError: The settings do not stand without the run's model or data.
    """
    values = cast("Values", config.model_dump(mode="json"))
    kept: Values = {"schema_version": values["schema_version"], **{section: values[section] for section in SECTIONS}}
    before = own_preset(title, workspace)
    name = _free_name(title, workspace) if before is None else before.name
    preset = Preset(name, title, sentence, kept, is_own=True)
    preset.config()
    content = {"title": title, "sentence": sentence, "settings": kept}
    path = _own_folder(workspace) / f"{preset.name}.yaml"
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=140))
    return preset


def own_preset(title: str, workspace: Workspace | None = None) -> Preset | None:
    """The person's own preset of a title; None where there is none."""
    own = (preset for preset in _read_own(workspace) if isinstance(preset, Preset))
    return next((preset for preset in own if preset.title == title), None)


def _free_name(title: str, workspace: Workspace | None) -> str:
    """A file's name that neither another preset nor one of the program's has; titles that differ only in signs get numbers."""
    taken = {preset.name for preset in _shipped()} | {path.stem for path in _own_folder(workspace).glob("*.yaml")}
    candidates = (slug(title) if number == 1 else f"{slug(title)[:44]}-{number}" for number in count(1))
    return next(name for name in candidates if name not in taken)


def delete_preset(name: str, workspace: Workspace | None = None) -> None:
    """Remove one of the person's own; one that is not there is as good as removed.

    Raises:
        DesktopFtError: ``file_not_writable``.
    """
    path = _own_folder(workspace) / f"{name}.yaml"
    if name != slug(name):
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


def read_preset(path: Path, *, is_own: bool = False) -> Preset:
    """Read and check one file.

    Raises:
        DesktopFtError: ``preset_damaged``, or as `read_values`.
        ConfigError: Its settings have problems.
    """
    values = read_values(path)
    title, sentence, settings = values.get("title"), values.get("sentence"), values.get("settings")
    if not isinstance(title, str) or not isinstance(sentence, str) or not isinstance(settings, dict):
        raise DesktopFtError(
            "preset_damaged",
            "A preset can't be read",
            f"{path} has no title, sentence and settings.",
            "Remove this file, or save the preset again.",
        )
    order = values.get("order")
    settled = migrate(cast("Values", settings))
    preset = Preset(path.stem, title, sentence, settled, is_own, order if isinstance(order, int) else _LAST)
    preset.config()
    return preset


@cache
def _shipped() -> tuple[Preset, ...]:
    presets = [read_preset(path) for path in resource_path("presets").glob("*.yaml")]
    return tuple(sorted(presets, key=lambda preset: (preset.order, preset.name)))


def _read_own(workspace: Workspace | None) -> Iterator[Preset | DesktopFtError]:
    for path in sorted(_own_folder(workspace).glob("*.yaml")):
        try:
            yield read_preset(path, is_own=True)
        except DesktopFtError as error:
            yield error


def _own_folder(workspace: Workspace | None) -> Path:
    return (workspace or default_workspace()).home / "presets"


def _plain(value: object) -> object:
    """Sequences as lists, as a file gives them; the declared defaults have tuples."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Sequence[object]", value)]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in cast("dict[str, object]", value).items()}
    return value
