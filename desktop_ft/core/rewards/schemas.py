"""JSON schemas that a person wrote, on text that a model wrote. `jsonschema_rs` is imported here and nowhere else.

Its patterns give up after a number of steps, so that a schema's ``pattern`` cannot hang; nothing that a schema refers to outside of itself
is read, neither from the net nor from a file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Protocol, cast

_BACKTRACK_STEPS: Final = 1_000_000


class _Validator(Protocol):
    def is_valid(self, instance: object) -> bool: ...


def is_schema_text(source: str) -> bool:
    """Whether a source is the schema itself, and not the name of a file."""
    return source.lstrip().startswith("{")


class Schema:
    """A schema to hold answers against.

    Args:
        source: A JSON object, or the name of a file that holds one; empty: any JSON is good.

    Raises:
        ValueError: What is wrong with the schema, in words.
    """

    def __init__(self, source: str) -> None:
        self._validator = _validator(_read(source)) if source.strip() else None

    def accepts(self, text: str) -> bool:
        """Whether a text is JSON, spaces around it aside, that the schema accepts."""
        try:
            value = cast("object", json.loads(text, parse_constant=_refuse_constant))
            return self._validator is None or self._validator.is_valid(value)
        except (ValueError, RecursionError):
            return False


def _refuse_constant(name: str) -> object:
    """NaN and Infinity are no JSON, and Python reads them all the same."""
    raise ValueError(name)


def _read(source: str) -> object:
    text = source
    if not is_schema_text(source):
        try:
            text = Path(source).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the schema's file {source} cannot be read: {error}") from error
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the schema is not JSON: {error}") from error


def _validator(schema: object) -> _Validator:
    import jsonschema_rs

    if not isinstance(schema, dict):
        raise ValueError("the schema is not a JSON object")
    limit = jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACK_STEPS)
    try:
        return jsonschema_rs.validator_for(cast("dict[str, object]", schema), pattern_options=limit, offline=True)
    except jsonschema_rs.ValidationError as error:
        place = "/".join(str(part) for part in error.instance_path)
        raise ValueError(f"the schema is no schema: {error.message}{f' (at {place})' if place else ''}") from error
