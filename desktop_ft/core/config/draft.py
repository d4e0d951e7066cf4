"""A configuration in the making: the wizard's state. Fields may be missing or wrong until the run starts."""

from __future__ import annotations

from collections.abc import Mapping

from desktop_ft.core.config.check import SETTINGS, problems_of, validate
from desktop_ft.core.config.files import Values, set_value
from desktop_ft.core.config.schema import RunConfig
from desktop_ft.core.errors import Problem


class Draft:
    """Plain values by dotted path; what is not set has its declared default. Immutable: `with_values` gives a new one."""

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self._values: Values = dict(values or {})

    def get(self, path: str) -> object:
        """The value at a path: what was set, else the declared default (None where there is none)."""
        value: object = self._values
        for part in path.split("."):
            if not isinstance(value, dict) or part not in value:
                return SETTINGS[path].default
            value = value[part]
        return value

    def states(self, path: str) -> bool:
        """Whether a value stands at a path, be it the declared default."""
        value: object = self._values
        for part in path.split("."):
            if not isinstance(value, dict) or part not in value:
                return False
            value = value[part]
        return True

    def is_set(self, path: str) -> bool:
        """Whether the value differs from the declared default."""
        return self.get(path) != SETTINGS[path].default

    def with_values(self, changes: Mapping[str, object]) -> Draft:
        """A new draft with these dotted paths set."""
        values = self._values
        for path, value in changes.items():
            assert path in SETTINGS, path
            values = set_value(values, path, value)
        return Draft(values)

    def problems(self) -> tuple[Problem, ...]:
        """Everything that keeps this draft from being a configuration."""
        return problems_of(self._values)

    def validated(self) -> RunConfig:
        """The configuration, validated anew.

        Raises:
            ConfigError: Lists every problem.
        """
        return validate(self._values)

    def values(self) -> Values:
        """The plain tree, as run.yaml would hold it."""
        return dict(self._values)
