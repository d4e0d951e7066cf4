"""Finding every problem of a configuration at once: types, bounds, unknown keys, and settings that contradict each other."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from desktop_ft.core.config.combinations import objective_problems
from desktop_ft.core.config.fields import SettingInfo, walk_settings
from desktop_ft.core.config.methods import method_problems
from desktop_ft.core.config.schema import DEMO, RunConfig
from desktop_ft.core.errors import ConfigError, Problem

SETTINGS: Final[Mapping[str, SettingInfo]] = {info.path: info for info in walk_settings(RunConfig)}


def validate(values: Mapping[str, object], source: str = "the configuration") -> RunConfig:
    """The configuration of a plain tree of values.

    Raises:
        ConfigError: Lists every problem with its path and a hint.
    """
    values = _without_empty_sections(values, RunConfig)
    problems = list(_truth_values_for_numbers(values))
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        known = {problem.path for problem in problems}
        problems += [problem for details in _leaf_errors(error) for problem in _problems(details) if problem.path not in known]
        config = _rest_of(values, problems)
    if config is not None:
        known = {problem.path for problem in problems}
        problems += [problem for problem in contradictions(config) if problem.path not in known]
    if problems or config is None:
        raise ConfigError(problems, source)
    return config


def _without_empty_sections(values: Mapping[str, object], section: type[BaseModel]) -> dict[str, object]:
    """``method:`` with nothing below it means that nothing is set there."""
    result: dict[str, object] = {}
    for key, value in values.items():
        inner = _section_of(section, key)
        if inner is None or (value is not None and not isinstance(value, Mapping)):
            result[key] = value
        elif value is not None:
            result[key] = _without_empty_sections(value, inner)
    return result


def _truth_values_for_numbers(values: Mapping[str, object]) -> Iterator[Problem]:
    """In Python true is the number 1; a person who writes it means something else."""
    for path, info in SETTINGS.items():
        value = _value_at(values, path)
        if info.control in ("int", "float") and isinstance(value, bool):
            yield Problem(path, f"{str(value).lower()} is not a number.", _hint(path))


def _value_at(values: Mapping[str, object], path: str) -> object:
    value: object = values
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _rest_of(values: Mapping[str, object], problems: Sequence[Problem]) -> RunConfig | None:
    """What is left without the settings that are wrong alone, so that contradictions among the others are found as well."""
    rest: Mapping[str, object] = {"model": {}, "data": {}, **values}
    for problem in problems:
        rest = _without(rest, problem.path)
    for path, info in SETTINGS.items():
        if info.required and _value_at(rest, path) is None:
            section, _, key = path.partition(".")
            rest = {**rest, section: {**cast("Mapping[str, object]", rest.get(section, {})), key: DEMO}}
    try:
        return RunConfig.model_validate(rest)
    except ValidationError:
        return None


def _without(values: Mapping[str, object], path: str) -> Mapping[str, object]:
    key, _, rest = path.partition(".")
    inner = values.get(key)
    if rest and isinstance(inner, Mapping):
        return {**values, key: _without(cast("Mapping[str, object]", inner), rest)}
    return {name: value for name, value in values.items() if name != key}


def problems_of(values: Mapping[str, object]) -> tuple[Problem, ...]:
    """Every problem, or none."""
    try:
        validate(values)
    except ConfigError as error:
        return error.problems
    return ()


def contradictions(config: RunConfig) -> Iterator[Problem]:
    """Settings that are fine alone and not together."""
    yield from _batch_problems(config)
    yield from method_problems(config)
    yield from objective_problems(config)
    if config.method.kind == "full" and config.model.adapter is not None:
        yield Problem("model.adapter", "full fine-tuning cannot go on from an adapter.", "Set method.kind to lora, or adapter to null.")
    if not config.name.strip() or set(config.name) & set('/\\:*?"<>|\0') or config.name.startswith("."):
        yield Problem("name", f"'{config.name}' cannot name a folder.", "Use letters, digits, spaces, '-' and '_'.")
    if isinstance(config.method.target_modules, tuple) and not config.method.target_modules:
        yield Problem("method.target_modules", "the list of modules is empty.", "Name at least one module, or write all-linear.")


def _batch_problems(config: RunConfig) -> Iterator[Problem]:
    micro, whole = config.training.micro_batch_size, config.training.global_batch_size
    if micro == "auto" or whole % micro == 0:
        return
    below, above = whole - whole % micro, whole - whole % micro + micro
    nearest = f"{below} or {above}" if below else str(above)
    divisors = [size for size in range(1, whole + 1) if whole % size == 0]
    near = min(divisors, key=lambda size: abs(size - micro))
    yield Problem(
        "training.global_batch_size",
        f"{whole} examples cannot be split into micro-batches of {micro}.",
        f"Set global_batch_size to {nearest}, or micro_batch_size to {near}.",
    )


def _leaf_errors(error: ValidationError) -> list[ErrorDetails]:
    """One error a field: a union reports one for each of its members."""
    by_path: dict[str, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        by_path.setdefault(_path(details), []).append(details)
    return [_most_telling(group) for group in by_path.values()]


def _most_telling(group: list[ErrorDetails]) -> ErrorDetails:
    bounds = [details for details in group if details["type"].startswith(("greater_than", "less_than"))]
    return (bounds or group)[0]


def _path(details: ErrorDetails) -> str:
    """The dotted path up to the deepest known setting; pydantic appends the union member's name."""
    parts = [str(part) for part in details["loc"]]
    for length in range(len(parts), 0, -1):
        candidate = ".".join(parts[:length])
        if candidate in SETTINGS:
            return candidate
    return ".".join(parts) or "run.yaml"


def _problems(details: ErrorDetails) -> list[Problem]:
    path, kind = _path(details), details["type"]
    inside = details["loc"][len(path.split(".")) :]
    if inside and isinstance(inside[0], int):
        return [_entry_problem(path, inside[0], [str(part) for part in inside[1:]], details)]
    if kind == "extra_forbidden":
        return [_unknown_key(path)]
    if kind == "missing":
        required = (
            [path] if path in SETTINGS else [name for name, info in SETTINGS.items() if info.required and name.startswith(f"{path}.")]
        )
        return [Problem(name, "is missing.", _hint(name)) for name in required]
    if kind == "model_type" and path not in SETTINGS:
        return [Problem(path, "is a section: its settings stand below it, indented.", f"Known here: {', '.join(_keys_of(path))}.")]
    shown = repr(cast("object", details["input"]))
    return [Problem(path, f"{shown[:80]} is not allowed: {details['msg'].lower()}.", _hint(path))]


def _entry_problem(path: str, index: int, inside: list[str], details: ErrorDetails) -> Problem:
    """What is wrong with one entry of a list."""
    where = f"entry {index + 1}{''.join(f', {part}' for part in inside)}"
    if details["type"] == "missing":
        return Problem(path, f"{where} is missing.", _hint(path))
    if details["type"] == "extra_forbidden":
        return Problem(path, f"{where}: there is no such setting.", _hint(path))
    shown = repr(cast("object", details["input"]))
    return Problem(path, f"{where}: {shown[:80]} is not allowed: {details['msg'].lower()}.", _hint(path))


def _unknown_key(path: str) -> Problem:
    parent, _, key = path.rpartition(".")
    known = _keys_of(parent)
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if nearest:
        return Problem(path, f"there is no setting '{key}' here.", f"Did you mean '{nearest[0]}'?")
    elsewhere = [other for other in SETTINGS if other.rpartition(".")[2] == key]
    if elsewhere:
        return Problem(path, f"there is no setting '{key}' here.", f"It belongs to {elsewhere[0]}.")
    return Problem(path, f"there is no setting '{key}' here.", f"Known here: {', '.join(known)}.")


def _keys_of(path: str) -> list[str]:
    section: type[BaseModel] | None = RunConfig
    for part in filter(None, path.split(".")):
        section = None if section is None else _section_of(section, part)
    return [] if section is None else list(section.model_fields)


def _section_of(section: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The section below a key, or None where the key is a setting or unknown."""
    info = section.model_fields.get(key)
    inner = info.annotation if info else None
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _hint(path: str) -> str:
    info = SETTINGS.get(path)
    if info is None:
        return "See `desktop-ft config schema` for what belongs here."
    return f"{_expected(info)} {info.description}".strip()


def _expected(info: SettingInfo) -> str:
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    limits = " and ".join(f"{words[name]} {value:.10g}" for name, value in info.bounds.items())
    unit = f" {info.unit}" if info.unit else ""
    noun = {"int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list", "mapping": "a mapping", "text": "text"}
    parts = [" or ".join(info.choices)] if info.choices else []
    if info.control in noun:
        parts.append(f"{noun[info.control]}{unit}{' ' + limits if limits else ''}")
    return f"Expected {' or '.join(parts)}."
