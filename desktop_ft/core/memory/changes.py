"""A configuration with some settings changed, validated anew: what estimates and autos try out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from desktop_ft.core.config import RunConfig, set_value, validate


def changed_config(config: RunConfig, changes: Mapping[str, object]) -> RunConfig:
    """The configuration with dotted paths set, validated anew.

    Raises:
        ConfigError: Where the change contradicts another setting.
    """
    values = cast("dict[str, object]", config.model_dump())
    for path, value in changes.items():
        values = set_value(values, path, value)
    return validate(values)
