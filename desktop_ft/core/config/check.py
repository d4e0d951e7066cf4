"""Finding every problem of a configuration at once: types, bounds, unknown keys, and settings that contradict each other."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from desktop_ft.core.config.fields import SettingInfo, walk_settings
from desktop_ft.core.config.schema import RunConfig
from desktop_ft.core.errors import ConfigError, Problem

SETTINGS: Final[Mapping[str, SettingInfo]] = {info.path: info for info in walk_settings(RunConfig)}


def validate(values: Mapping[str, object], source: str = "the configuration") -> RunConfig:
    """The configuration of a plain tree of values.

    Raises:
        ConfigError: Lists every problem with its path and a hint.
    """
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        problems = [problem for details in _leaf_errors(error) for problem in _problems(details)]
        raise ConfigError(problems, source) from error
    problems = list(contradictions(config))
    if problems:
        raise ConfigError(problems, source)
    return config


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
    if kind == "extra_forbidden":
        return [_unknown_key(path)]
    if kind == "missing":
        required = (
            [path] if path in SETTINGS else [name for name, info in SETTINGS.items() if info.required and name.startswith(f"{path}.")]
        )
        return [Problem(name, "is missing.", _hint(name)) for name in required]
    shown = repr(cast("object", details["input"]))
    return [Problem(path, f"{shown[:80]} is not allowed: {details['msg'].lower()}.", _hint(path))]


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
    section: type[BaseModel] = RunConfig
    for part in filter(None, path.split(".")):
        info = section.model_fields.get(part)
        inner = info.annotation if info else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        section = inner
    return list(section.model_fields)


def _hint(path: str) -> str:
    info = SETTINGS.get(path)
    if info is None:
        return "See `desktop-ft config schema` for what belongs here."
    return f"{_expected(info)} {info.description}".strip()


def _expected(info: SettingInfo) -> str:
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    limits = " and ".join(f"{words[name]} {value:g}" for name, value in info.bounds.items())
    unit = f" {info.unit}" if info.unit else ""
    noun = {"int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list", "mapping": "a mapping", "text": "text"}
    parts = [" or ".join(info.choices)] if info.choices else []
    if info.control in noun:
        parts.append(f"{noun[info.control]}{unit}{' ' + limits if limits else ''}")
    return f"Expected {' or '.join(parts)}."
