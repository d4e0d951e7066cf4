"""The command line as a whole: its commands, its errors, and how little it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from desktop_ft import __version__
from desktop_ft.cli import COMMANDS, build_app
from desktop_ft.commands import console
from tests.commands.conftest import Run


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, desktop_ft: Run) -> None:
    result = desktop_ft(name, "--help")
    assert result.status == 0
    assert "Usage:" in result.out


def test_the_overview_says_what_the_commands_say_of_themselves() -> None:
    app = build_app()
    own = {command.name: (command.callback.__doc__ or "") for command in app.registered_commands if command.callback}
    for name, text in own.items():
        assert name is not None
        assert text.startswith(COMMANDS[name].help), name


def test_version(desktop_ft: Run) -> None:
    assert desktop_ft("version").out.strip() == __version__
    assert desktop_ft("--version").out.strip() == __version__
    assert desktop_ft("version", "--json").json["version"] == __version__


def test_an_unknown_command_is_the_users_mistake(desktop_ft: Run) -> None:
    result = desktop_ft("trian")
    assert result.status == 2
    assert "trian" in result.err
    assert result.out == ""


@pytest.mark.parametrize(
    "arguments", [("train",), ("train", "x.yaml", "--nonsense"), ("estimate",), ("data", "view", "demo"), ("runs", "show"), ("nothing",)]
)
def test_wrong_arguments_are_an_error_object_with_json(arguments: tuple[str, ...], desktop_ft: Run) -> None:
    result = desktop_ft(*arguments, "--json")
    assert result.status == 2
    assert result.error["code"] == "usage"
    assert result.error["message"]


def test_brackets_in_a_message_are_text(desktop_ft: Run) -> None:
    result = desktop_ft("train", "[bold]x[/].yaml")
    assert result.status == 2
    assert "[bold]x[/].yaml" in result.err


def loaded_by(*arguments: str) -> set[str]:
    code = f"import sys; from desktop_ft.cli import main; main({list(arguments)!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_loads_no_configuration() -> None:
    loaded = loaded_by("--help")
    assert "typer" in loaded
    assert not {"pydantic", "yaml", "psutil", "torch", "PySide6"} & loaded


def test_an_estimate_loads_neither_torch_nor_qt_nor_the_tokenizers() -> None:
    loaded = loaded_by("estimate", "demo", "--gpu", "RTX 4090")
    assert "pydantic" in loaded
    assert not {"torch", "transformers", "PySide6", "tokenizers", "pyarrow", "pynvml", "desktop_ft.engine"} & loaded


@pytest.mark.parametrize(
    "num_bytes, words", [(17, "17 bytes"), (1536, "1.50 KiB"), (7 << 20, "7.00 MiB"), (3 << 30, "3.00 GiB"), (5 << 40, "5.00 TiB")]
)
def test_sizes_in_words(num_bytes: int, words: str) -> None:
    assert console.size_words(num_bytes) == words


@pytest.mark.parametrize("seconds, words", [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")])
def test_times_in_words(seconds: float, words: str) -> None:
    assert console.time_words(seconds) == words


def test_a_group_is_a_typer() -> None:
    groups = {group.name for group in build_app().registered_groups}
    assert groups == {"config", "data", "models", "runs"}
    assert isinstance(build_app(), typer.Typer)
