"""What the command line prints: results on standard output, messages on standard error, and errors on one road."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from typing import Final, ParamSpec

import typer
from rich.console import Console

from desktop_ft.core.errors import ConfigError, DesktopFtError

P = ParamSpec("P")

EXIT_FAILED: Final = 1
EXIT_MISTAKE: Final = 2

out: Final = Console(highlight=False, soft_wrap=True)
err: Final = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Mapping[str, object]) -> None:
    """One JSON object on one line of standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def show_error(error: DesktopFtError, *, as_json: bool) -> None:
    """The error for a person on standard error; with ``--json`` also as an object on standard output."""
    if as_json:
        print_json({"error": error.to_dict()})
        return
    err.print(f"[bold red]{_plain(error.title)}[/]")
    err.print(_plain(error.message))
    if isinstance(error, ConfigError):
        for problem in error.problems:
            err.print(f"  [dim]{_plain(problem.path)}:[/] {_plain(problem.hint)}")
    elif error.hint:
        err.print(f"[dim]{_plain(error.hint)}[/]")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a DesktopFtError of a command into its message and exit status 2."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except DesktopFtError as error:
            show_error(error, as_json=bool(kwargs.get("as_json", False)))
            raise typer.Exit(EXIT_MISTAKE) from error

    return run
