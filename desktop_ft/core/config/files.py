"""RunConfig as YAML and JSON Schema: reading with relative paths resolved, writing whole or not at all, migrating old files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import yaml

from desktop_ft.core.config.check import validate
from desktop_ft.core.config.schema import DEMO, SCHEMA_VERSION, RunConfig
from desktop_ft.core.errors import ConfigError, DesktopFtError, Problem
from desktop_ft.core.files import write_text
from desktop_ft.core.rewards.schemas import is_schema_text

Values = dict[str, object]
Migration = Callable[[Values], Values]

MIGRATIONS: Final[dict[int, Migration]] = {}
"""From a version to the next; version 1 is the first."""

_FOREIGN_LINE_ENDS: Final = frozenset("\r\x85\u2028\u2029")
_PATHS: Final = (
    *("model.source", "model.adapter", "data.train", "data.eval"),
    *("objective.rewards.model", "objective.rewards.rules.*.schema_source", "objective.rlhf.prompts"),
)
_MODELS: Final = frozenset({"model.source", "model.adapter", "objective.rewards.model"})
"""May be a Hub id, which is no file name."""


def load_config(path: Path) -> RunConfig:
    """Read a run's file; relative paths in it count from its folder.

    Raises:
        DesktopFtError: ``config_missing``, ``config_unreadable`` or ``config_too_new``.
        ConfigError: Every problem of its content.
    """
    return config_from_values(read_values(path), path.parent, str(path))


def config_from_values(values: Values, folder: Path, source: str) -> RunConfig:
    """Migrate, resolve paths against the folder and validate."""
    return validate(resolve_paths(migrate(values), folder), source)


def read_values(path: Path) -> Values:
    """The plain tree of a YAML file.

    Raises:
        DesktopFtError: ``config_missing`` or ``config_unreadable``.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DesktopFtError(
            "config_missing", "The run's file is missing", f"There is no file {path}.", "Make one with: desktop-ft config new > run.yaml"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from error
    return parse_values(text, path)


def parse_values(text: str, path: Path) -> Values:
    """The plain tree of YAML text; ``path`` is for messages only."""
    try:
        value = cast("object", yaml.safe_load(text))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _unreadable(path, " ".join(str(error).split())[:400]) from error
    if not isinstance(value, dict):
        raise _unreadable(path, "it holds no settings (expected lines such as 'name: my-run').")
    return {str(key): item for key, item in cast("dict[object, object]", value).items()}


def _unreadable(path: Path, why: str) -> DesktopFtError:
    return DesktopFtError(
        "config_unreadable", "The run's file can't be read", f"{path}: {why}", "Compare it with the output of: desktop-ft config new"
    )


def migrate(values: Values) -> Values:
    """Bring an older tree to this version.

    Raises:
        DesktopFtError: ``config_too_new`` for a newer one; ConfigError where the version is no version.
    """
    version = values.get("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < min([*MIGRATIONS, SCHEMA_VERSION]):
        raise ConfigError([Problem("schema_version", f"{version!r} is no version of this file.", f"Write {SCHEMA_VERSION}.")])
    if version > SCHEMA_VERSION:
        raise DesktopFtError(
            "config_too_new",
            "This run was made by a newer version",
            f"Its file has schema version {version}; this program knows up to {SCHEMA_VERSION}.",
            "Update Desktop FT to open this run.",
        )
    while version < SCHEMA_VERSION:
        values = MIGRATIONS[version](values)
        version += 1
    return {**values, "schema_version": SCHEMA_VERSION}


def resolve_paths(values: Values, folder: Path) -> Values:
    """Make relative file names absolute against the folder; 'demo' and Hub ids stay as they are."""
    for path in _PATHS:
        values = _with_absolute(values, path.split("."), folder, is_model=path in _MODELS)
    return dict(values)


def _with_absolute(values: Mapping[str, object], keys: Sequence[str], folder: Path, *, is_model: bool) -> Values:
    key, *rest = keys
    if key not in values:
        return dict(values)
    inner = values[key]
    if not rest:
        return {**values, key: _absolute(inner, folder, is_model=is_model)}
    if rest[0] == "*" and isinstance(inner, list | tuple):
        entries = cast("Sequence[object]", inner)
        return {**values, key: [_inside(entry, rest[1:], folder, is_model=is_model) for entry in entries]}
    return {**values, key: _inside(inner, rest, folder, is_model=is_model)}


def _inside(inner: object, keys: Sequence[str], folder: Path, *, is_model: bool) -> object:
    return _with_absolute(cast("Values", inner), keys, folder, is_model=is_model) if isinstance(inner, dict) else inner


def _absolute(value: object, folder: Path, *, is_model: bool) -> object:
    if not isinstance(value, str) or value == DEMO or not value.strip() or is_schema_text(value):
        return value
    path = Path(value).expanduser()
    if path.is_absolute():
        return str(path)
    joined = folder.absolute() / path
    if is_model and not joined.exists() and not value.startswith("."):
        return value
    return str(joined)


def dump_config(config: RunConfig) -> str:
    """YAML text in the order of declaration."""
    values = cast("Values", config.model_dump(mode="json"))
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=140)


class _Dumper(yaml.SafeDumper):
    """Escapes line ends other than ours, which YAML readers fold into spaces."""


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if set(text) & _FOREIGN_LINE_ENDS else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


def save_config(config: RunConfig, path: Path) -> None:
    """Write atomically."""
    write_text(path, dump_config(config))


def json_schema() -> dict[str, object]:
    """JSON Schema of run.yaml."""
    return cast("dict[str, object]", RunConfig.model_json_schema())


def set_value(values: Mapping[str, object], path: str, value: object) -> Values:
    """A copy of the tree with one dotted path set; sections that are missing are made."""
    key, _, rest = path.partition(".")
    if not rest:
        return {**values, key: value}
    inner = values.get(key)
    return {**values, key: set_value(cast("Values", inner) if isinstance(inner, dict) else {}, rest, value)}


def parse_override(text: str) -> tuple[str, object]:
    """``method.rank=8`` as path and value; the value is YAML.

    Raises:
        DesktopFtError: ``override_malformed``.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise DesktopFtError(
            "override_malformed",
            "A --set is malformed",
            f"'{text}' is not of the form PATH=VALUE.",
            "Write for example: --set method.rank=8",
        )
    try:
        return path.strip(), cast("object", yaml.safe_load(value))
    except yaml.YAMLError as error:
        raise DesktopFtError(
            "override_malformed",
            "A --set is malformed",
            f"The value of '{text}' is not readable.",
            'Put text in quotes: --set name="my run"',
        ) from error
