"""How a setting is declared: once, with its help, unit, bounds, whether it is advanced and where its default comes from.

Form rows, ``--help``, the reference page and the checks are all made from that one declaration.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

BOUNDS: Final = ("gt", "ge", "lt", "le")
ControlType = Literal["bool", "int", "float", "text", "choice", "list", "mapping"]


class Section(BaseModel):
    """A frozen part of the tree; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


def setting(
    default: object,
    description: str,
    *,
    unit: str = "",
    advanced: bool = False,
    source: str = "",
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> Any:  # noqa: ANN401 # pydantic's own convention: the annotation of the field is its type
    """Declare one setting.

    Args:
        default: The value where the person says nothing; ``...`` where there must be one.
        description: One or two sentences for a person who has not read a paper.
        unit: Such as ``tokens`` or ``steps``; empty for a bare number.
        advanced: Hidden behind "More settings" in the window.
        source: Where the default comes from.
        gt: Exclusive lower bound.
        ge: Inclusive lower bound.
        lt: Exclusive upper bound.
        le: Inclusive upper bound.
    """
    bounds = {name: value for name, value in zip(BOUNDS, (gt, ge, lt, le), strict=True) if value is not None}
    extra: dict[str, Any] = {"unit": unit, "advanced": advanced, "source": source, **({"bounds": bounds} if bounds else {})}
    numeric = cast("dict[str, Any]", bounds)
    return Field(default, description=description, json_schema_extra=extra, **numeric)


@dataclass(frozen=True)
class SettingInfo:
    """One setting as forms, help and the reference page see it.

    Attributes:
        path: Dotted, such as ``method.rank``.
        control: What kind of input suits it.
        choices: The literal values it may take; with ``int`` or ``float`` besides them (``auto``) the number counts too.
        bounds: ``gt``, ``ge``, ``lt``, ``le`` where set.
    """

    path: str
    control: ControlType
    description: str
    default: object
    required: bool
    choices: tuple[str, ...]
    optional: bool
    bounds: Mapping[str, float]
    unit: str
    advanced: bool
    source: str


def walk_settings(section: type[BaseModel], prefix: str = "") -> Iterator[SettingInfo]:
    """Every leaf of a tree of sections, in the order of declaration."""
    for name, info in section.model_fields.items():
        path = f"{prefix}{name}"
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from walk_settings(inner, f"{path}.")
        else:
            yield _describe(path, info)


def _describe(path: str, info: FieldInfo) -> SettingInfo:
    extra = cast("Mapping[str, object]", info.json_schema_extra or {})
    members = _members(info.annotation)
    choices = tuple(str(choice) for member in members if get_origin(member) is Literal for choice in get_args(member))
    return SettingInfo(
        path=path,
        control=_control(members, choices),
        description=info.description or "",
        default=None if info.is_required() else cast("object", info.get_default(call_default_factory=True, validated_data={})),
        required=info.is_required(),
        choices=choices,
        optional=type(None) in members,
        bounds={**cast("Mapping[str, float]", extra.get("bounds", {})), **_annotated_bounds(info.annotation)},
        unit=str(extra.get("unit", "")),
        advanced=bool(extra.get("advanced", False)),
        source=str(extra.get("source", "")),
    )


def _members(annotation: object) -> Sequence[object]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for member in get_args(annotation) for inner in _members(member)]
    if get_origin(annotation) is Annotated:
        return [get_args(annotation)[0]]
    return [annotation]


def _annotated_bounds(annotation: object) -> Mapping[str, float]:
    """Bounds of a number that stands beside other choices, such as ``auto | Annotated[int, Field(ge=1)]``."""
    if get_origin(annotation) is Annotated:
        marks = [mark for part in get_args(annotation)[1:] for mark in cast("FieldInfo", part).metadata]
        return {name: cast("float", getattr(mark, name)) for mark in marks for name in BOUNDS if hasattr(mark, name)}
    if get_origin(annotation) in (Union, types.UnionType):
        return {name: value for member in get_args(annotation) for name, value in _annotated_bounds(member).items()}
    return {}


def _control(members: Sequence[object], choices: Sequence[str]) -> ControlType:
    plain = [get_origin(member) or member for member in members if member is not type(None)]
    by_type: Mapping[object, ControlType] = {bool: "bool", int: "int", float: "float", tuple: "list", list: "list", dict: "mapping"}
    for member in plain:
        if member in by_type:
            return by_type[member]
    return "choice" if choices else "text"
