"""What the command line prints: results on standard output, messages on standard error."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Generator, Mapping
from typing import Final

from rich.console import Console
from rich.markup import escape

from desktop_ft.core.errors import ConfigError, DesktopFtError

EXIT_FAILED: Final = 1
EXIT_MISTAKE: Final = 2
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")

out: Final = Console(highlight=False, soft_wrap=True)
err: Final = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Mapping[str, object]) -> None:
    """One JSON object on one line of standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line of a result, on standard output, as it is."""
    out.print(text, markup=False)


def note(text: str) -> None:
    """A message for the person, on standard error, as it is."""
    err.print(text, markup=False)


@contextlib.contextmanager
def counting(words: str, *, is_wanted: bool) -> Generator[Callable[[int, int], None] | None]:
    """A bar on standard error while something is counted; gives what to call with (done, total), or None where no bar is wanted."""
    if not is_wanted or not err.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(TextColumn(words), BarColumn(), MofNCompleteColumn(), console=err, transient=True) as bar:
        place = bar.add_task("", total=None)
        yield lambda done, total: bar.update(place, completed=done, total=total)


def show_error(error: DesktopFtError, *, as_json: bool) -> None:
    """With ``--json`` an object on standard output; else for a person on standard error."""
    if as_json:
        print_json({"error": error.to_dict()})
        return
    err.print(f"[bold red]{escape(error.title)}[/]")
    if isinstance(error, ConfigError):
        for problem in error.problems:
            err.print(f"  [bold]{escape(problem.path)}[/]: {escape(problem.message)}\n    [dim]{escape(problem.hint)}[/]")
        return
    err.print(escape(error.message))
    if error.hint:
        err.print(f"[dim]{escape(error.hint)}[/]")


def size_words(num_bytes: int) -> str:
    """Bytes as a person reads them: ``7.03 MiB``."""
    size, unit = float(num_bytes), 0
    while abs(size) >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{num_bytes} bytes" if unit == 0 else f"{size:.2f} {_UNITS[unit]}"


def time_words(seconds: float) -> str:
    """Seconds as a person reads them: ``48 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def number_words(value: float | None, digits: int = 4) -> str:
    """A measured number; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
