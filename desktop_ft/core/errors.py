"""The one kind of error that a person sees: what happened, with the numbers, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class DesktopFtError(Exception):
    """An error meant for the person in front of the program.

    Args:
        code: Stable, machine-readable name in snake_case, such as ``data_file_missing``.
        title: A few words: what went wrong.
        message: What happened, with names and numbers.
        hint: What to do next.
    """

    def __init__(self, code: str, title: str, message: str, hint: str) -> None:
        super().__init__(f"{title}: {message}")
        self.code = code
        self.title = title
        self.message = message
        self.hint = hint

    def to_dict(self) -> dict[str, object]:
        """The shape that the command line prints under ``error``."""
        return {"code": self.code, "title": self.title, "message": self.message, "hint": self.hint}


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a configuration.

    Attributes:
        path: Dotted path of the field, such as ``training.learning_rate``.
        message: What is wrong, with the value and the limit.
        hint: What to write instead.
    """

    path: str
    message: str
    hint: str


class ConfigError(DesktopFtError):
    """Every problem of a configuration at once."""

    def __init__(self, problems: Sequence[Problem], source: str = "the configuration") -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        listing = "\n".join(f"  {p.path}: {p.message}" for p in self.problems)
        hints = "\n".join(f"  {p.path}: {p.hint}" for p in self.problems)
        super().__init__("config_invalid", "The run's settings have problems", f"{count} in {source}:\n{listing}", hints)

    def to_dict(self) -> dict[str, object]:
        """As the base class, with the problems listed one by one."""
        listed = [{"path": p.path, "message": p.message, "hint": p.hint} for p in self.problems]
        return {**super().to_dict(), "problems": listed}
