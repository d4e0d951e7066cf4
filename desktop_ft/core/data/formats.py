"""What a row means: name its format with the reason, and turn it into an example. No file access, no tokenizer.

A format's columns are roles (``messages``, ``prompt``, ``output`` ...) mapped to the names that the file uses; a person may map them
by hand. A row becomes the record that is natural to its format; `signals.adapt` makes of it what an objective learns from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from desktop_ft.core.data.conversion_judged import as_label
from desktop_ft.core.data.format_specs import FORMATS, PROMPT_NAMES, SPECS, Spec
from desktop_ft.core.data.records import Example
from desktop_ft.core.errors import DesktopFtError

AUTO = "auto"
SAMPLED_ROWS = 200
"""Rows by which a format is recognised."""


@dataclass(frozen=True)
class Detection:
    """The format of a file.

    Attributes:
        format: One of `FORMATS`.
        reason: Why, in a sentence, with the share of rows that fit.
        columns: Role to column name, for the roles found.
    """

    format: str
    reason: str
    columns: Mapping[str, str]


_BY_NAME: dict[str, Spec] = {spec.name: spec for spec in reversed(SPECS)}


def detect_format(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str] | None = None) -> Detection:
    """Name the format that most of the first rows fit.

    Args:
        rows: The rows, at least one.
        columns: Roles that a person mapped by hand; they go before the usual names.

    Raises:
        DesktopFtError: ``data_format_undetected`` if no format fits half of the rows.
    """
    sample = rows[:SAMPLED_ROWS]
    names = tuple(dict.fromkeys(name for row in sample for name in row))
    for spec in SPECS:
        found = _columns_for(spec, names, columns or {})
        if found is None:
            continue
        num_fitting = sum(_fits(spec, row, found) for row in sample)
        if num_fitting * 2 >= len(sample) and num_fitting > 0:
            listed = ", ".join(sorted(set(found.values())))
            reason = f"{num_fitting} of {len(sample)} rows have {spec.sentence} ({listed})."
            return Detection(spec.name, reason + _more(spec, sample, found), found)
    raise DesktopFtError(
        "data_format_undetected",
        "The format of the data is not clear",
        f"The columns are {', '.join(names[:20]) or 'none'}; they fit none of {', '.join(FORMATS)}.",
        "Name the format, and say which column holds what (prompt, completion ...).",
    )


def resolve_format(rows: Sequence[Mapping[str, object]], name: str, columns: Mapping[str, str]) -> Detection:
    """The format as the person stated it, or detected if it says ``auto``.

    Raises:
        DesktopFtError: ``data_format_undetected``, ``data_format_name_unknown``, ``data_columns_unknown`` or ``data_columns_missing``.
    """
    names = tuple(dict.fromkeys(column for row in rows[:SAMPLED_ROWS] for column in row))
    _check_mapping(columns, names)
    if name == AUTO:
        return detect_format(rows, columns)
    spec = _spec(name)
    variants = (_columns_for(variant, names, columns) for variant in SPECS if variant.name == name)
    found = next((found for found in variants if found is not None), None)
    if found is None:
        missing = [role for role in spec.needed if role not in _found_roles(spec.needed, names, columns)]
        raise DesktopFtError(
            "data_columns_missing",
            "The data lacks columns that its format needs",
            f"Format {name} needs {', '.join(missing)}; the columns are {', '.join(names[:20])}.",
            "Map each missing role to a column, or choose another format.",
        )
    return Detection(spec.name, "As stated in the settings.", found)


def to_example(row: Mapping[str, object], number: int, format: str, columns: Mapping[str, str]) -> Example:  # noqa: A002 (the field's name in run.yaml)
    """Turn a row into an example.

    Args:
        row: The row.
        number: Its number as people count, from 1; every error names it.
        format: One of `FORMATS`.
        columns: Role to column name, as a `Detection` gives; a role that is missing here is looked up under its own name.

    Raises:
        DesktopFtError: ``data_row_malformed``, ``data_no_assistant_turn``, ``data_format_name_unknown``.
    """
    spec = _spec(format)
    by_role: dict[str, object] = {}
    for role in (*spec.needed, *spec.optional):
        name = columns.get(role, role)
        if name in row:
            by_role[role] = row[name]
    return spec.convert(by_role, number)


def roles_of(format: str) -> tuple[tuple[str, ...], tuple[str, ...]]:  # noqa: A002 (the field's name in run.yaml)
    """The roles that a format needs, and those that it may have besides.

    Raises:
        DesktopFtError: ``data_format_name_unknown``.
    """
    spec = _spec(format)
    return tuple(spec.needed), tuple(spec.optional)


def _more(spec: Spec, sample: Sequence[Mapping[str, object]], columns: Mapping[str, str]) -> str:
    """Of marked answers how many are good; a number as a mark could be the class of something else, so that is said."""
    if spec.name != "kto":
        return ""
    column = columns["label"]
    marks = [as_label(row.get(column)) for row in sample]
    counts = f" Of these, {marks.count(True)} are marked good and {marks.count(False)} bad in {column}."
    are_numbers = all(isinstance(row.get(column), int | float) and not isinstance(row.get(column), bool) for row in sample)
    if not are_numbers:
        return counts
    return f"{counts} It is assumed that 1 in {column} means a good answer; if it means something else, choose prompt_completion."


def _spec(name: str) -> Spec:
    spec = _BY_NAME.get(name)
    if spec is None:
        raise DesktopFtError(
            "data_format_name_unknown",
            "There is no data format of that name",
            f"The format is given as {name!r}.",
            f"Write one of auto, {', '.join(FORMATS)}.",
        )
    return spec


def _found_roles(wanted: Mapping[str, Sequence[str]], names: Sequence[str], by_hand: Mapping[str, str]) -> dict[str, str]:
    taken = set(by_hand.values())
    lowered = {name.lower(): name for name in reversed(names) if name not in taken}
    found: dict[str, str] = {}
    for role, usual in wanted.items():
        match = by_hand.get(role) or next((lowered[name] for name in usual if name in lowered), None)
        if match is not None:
            found[role] = match
    return found


def _columns_for(spec: Spec, names: Sequence[str], by_hand: Mapping[str, str]) -> dict[str, str] | None:
    needed = _found_roles(spec.needed, names, by_hand)
    if len(needed) == len(spec.needed):
        return needed | _found_roles(spec.optional, names, by_hand)
    if spec.name == "text" and len(names) == 1 and not by_hand and names[0].lower() not in PROMPT_NAMES:
        return {"text": names[0]}
    return None


def _fits(spec: Spec, row: Mapping[str, object], columns: Mapping[str, str]) -> bool:
    by_role = {role: row.get(name) for role, name in columns.items()}
    if any(by_role[role] is None for role in spec.needed):
        return False
    if spec.name == "text" and not isinstance(by_role["text"], str):
        return False
    return spec.fits(by_role)


def _check_mapping(columns: Mapping[str, str], names: Sequence[str]) -> None:
    roles = {role for spec in SPECS for role in (*spec.needed, *spec.optional)}
    unknown = [f"{role} -> {name}" for role, name in columns.items() if role not in roles or name not in names]
    if unknown:
        raise DesktopFtError(
            "data_columns_unknown",
            "The column mapping does not match the data",
            f"Not found: {', '.join(unknown)}. The columns are {', '.join(names[:20])}.",
            f"Map a role ({', '.join(sorted(roles))}) to a column of the file.",
        )
