"""``desktop-ft config``: a new run's file, its schema and its problems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from desktop_ft.commands.console import EXIT_MISTAKE, print_json, say
from desktop_ft.commands.options import JsonOption, SetOption, with_overrides
from desktop_ft.core.config import DEMO, dump_config, json_schema, load_config, validate
from desktop_ft.core.config.defaults import DEFAULT_RATES
from desktop_ft.core.errors import ConfigError

app = typer.Typer(no_args_is_help=True)


@app.command("new")
def new(
    objective: Annotated[str, typer.Option(help="What signal to train on: sft.")] = "sft",
    method: Annotated[str, typer.Option(help="How much of the model to change: lora or full.")] = "lora",
    model: Annotated[str, typer.Option(help="Folder, Hub id, or demo.")] = DEMO,
    data: Annotated[str, typer.Option(help="File of examples, or demo.")] = DEMO,
    overrides: SetOption = None,
) -> None:
    """Print a run's file with every setting and its default."""
    values: dict[str, object] = {
        "model": {"source": model},
        "data": {"train": data},
        "method": {"kind": method},
        "objective": {"kind": objective},
        **({"training": {"learning_rate": DEFAULT_RATES[method]}} if method in DEFAULT_RATES else {}),
    }
    say(dump_config(validate(with_overrides(values, overrides), "the options")).rstrip("\n"))


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a run's file."""
    say(json.dumps(json_schema(), indent=2))


@app.command("check")
def check(
    path: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="The run's file.")],
    as_json: JsonOption = False,
) -> None:
    """Name every problem of a run's file at once."""
    try:
        config = load_config(path)
    except ConfigError as error:
        if not as_json:
            raise
        print_json({"ok": False, "problems": error.to_dict()["problems"]})
        raise typer.Exit(EXIT_MISTAKE) from error
    if as_json:
        print_json({"ok": True, "problems": []})
    else:
        say(f"{path}: no problems. Run '{config.name}' is ready.")
