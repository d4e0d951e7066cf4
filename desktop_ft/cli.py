"""The command line: which commands there are, and the one road on which their errors end. Loads only the command that is asked for.

Exit status: 0 done, 1 the run or job failed, 2 the user's mistake, 130 interrupted. Must not import Qt, torch, the window or the engine.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Annotated, Final, Protocol, cast

import typer

from desktop_ft import __version__
from desktop_ft.commands.console import EXIT_FAILED, EXIT_MISTAKE, show_error
from desktop_ft.core.errors import DesktopFtError

ABOUT: Final = "Fine-tune a language model on your own workstation. Without a command, the window opens."


@dataclass(frozen=True)
class Entry:
    """One command or group of commands.

    Attributes:
        module: The room below `desktop_ft.commands`.
        attribute: The function, or the Typer of a group.
        help: What the overview says; the first sentence of the function's docstring.
    """

    module: str
    attribute: str
    help: str


COMMANDS: Final[Mapping[str, Entry]] = {
    "demo": Entry("demo", "demo", "Fine-tune the built-in demo model: the main job, in about a minute, without a window."),
    "config": Entry("config", "app", "Make and check the file that describes a run."),
    "data": Entry("data", "app", "Look at a file of examples as the trainer will."),
    "estimate": Entry("estimate", "estimate_memory", "Say how much memory a run will need, before it starts."),
    "train": Entry("train", "train", "Train as a run's file says."),
    "resume": Entry("train", "resume", "Go on with a run from its last sound checkpoint."),
    "lr-find": Entry("lr_find", "lr_find", "Try learning rates for a few steps each and suggest one."),
    "probe": Entry("probe", "probe", "Measure one worst-case step of a run on this computer: peak memory and time."),
    "stop": Entry("control", "stop", "Save a checkpoint and end a run."),
    "control": Entry("control", "control", "Ask a running engine for something: save, sample, set or stop."),
    "runs": Entry("runs", "app", "List, show and compare runs."),
    "generate": Entry("generate", "generate", "Let a model answer prompts."),
    "score": Entry("score", "score", "Let a reward model score answers to a prompt."),
    "export": Entry("export", "export", "Take the adapter or the merged model of a run away."),
    "models": Entry("models", "app", "Models on this computer."),
    "doctor": Entry("doctor", "doctor", "Say what works on this computer, what is broken and how to mend it."),
    "version": Entry("version", "version", "Print the version."),
}


class _Shown(Protocol):
    """What typer raises for a mistake in the arguments."""

    def format_message(self) -> str: ...


class _Runnable(Protocol):
    """The command that typer makes of an app."""

    def main(self, args: list[str], *, prog_name: str, standalone_mode: bool) -> object: ...


_ArgumentsError: Final = cast("type[Exception]", typer.BadParameter.__base__)


def main(arguments: list[str]) -> int:
    """Run one command.

    Args:
        arguments: Without the program's name.

    Returns:
        Exit status.
    """
    _speak_utf8()
    as_json = "--json" in arguments
    try:
        command = cast("_Runnable", typer.main.get_command(build_app(arguments[:1])))
        status = command.main(arguments, prog_name="desktop-ft", standalone_mode=False)
    except DesktopFtError as error:
        show_error(error, as_json=as_json)
        return EXIT_MISTAKE
    except _ArgumentsError as error:
        return _show_usage(cast("_Shown", error).format_message(), as_json=as_json)
    except BrokenPipeError:
        return _leave_closed_pipe()
    return status if isinstance(status, int) else 0


def build_app(wanted: list[str] | None = None) -> typer.Typer:
    """The tree of commands.

    Args:
        wanted: Names of the commands to load; of every other there is its name and one line. None: all of them.
    """
    app = typer.Typer(help=ABOUT, no_args_is_help=True, add_completion=False)
    app.callback()(_top_level)
    for name, entry in COMMANDS.items():
        if wanted is None or name in wanted:
            _load(app, name, entry)
        else:
            app.command(name, help=entry.help)(_outline)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _top_level(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)] = False,
) -> None:
    assert not version


_top_level.__doc__ = ABOUT


def _load(app: typer.Typer, name: str, entry: Entry) -> None:
    loaded = cast("object", getattr(importlib.import_module(f"desktop_ft.commands.{entry.module}"), entry.attribute))
    if isinstance(loaded, typer.Typer):
        app.add_typer(loaded, name=name, help=entry.help)
    else:
        app.command(name)(cast("Callable[..., None]", loaded))


def _outline() -> None:
    raise AssertionError("an outline is never run")


def _show_usage(message: str, *, as_json: bool) -> int:
    hint = "See what it takes with: desktop-ft COMMAND --help"
    show_error(DesktopFtError("usage", "This command is not complete", message or "A command is missing.", hint), as_json=as_json)
    return EXIT_MISTAKE


def _leave_closed_pipe() -> int:
    """Whoever read our output has gone, as ``head`` does; what Python would still flush goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FAILED


def _speak_utf8() -> None:
    """JSON and answers of models hold every letter; a console that cannot show one shows a mark for it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(encoding="utf-8", errors="replace")
