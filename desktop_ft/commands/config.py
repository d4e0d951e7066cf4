"""``desktop-ft config``: a new run's file, its schema and its problems."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from desktop_ft.commands.console import EXIT_MISTAKE, guarded, out, print_json, show_error
from desktop_ft.core.config import DEMO, dump_config, json_schema, load_config, validate
from desktop_ft.core.errors import ConfigError, DesktopFtError

app = typer.Typer(no_args_is_help=True, help="Make and check the file that describes a run.")

FULL_LEARNING_RATE = 1e-5
"""Full fine-tuning's usual rate; LoRA's is the declared default."""


@app.command("new")
@guarded
def new(
    objective: Annotated[str, typer.Option(help="What signal to train on: sft.")] = "sft",
    method: Annotated[str, typer.Option(help="How much of the model to change: lora or full.")] = "lora",
    model: Annotated[str, typer.Option(help="Folder, Hub id, or demo.")] = DEMO,
    data: Annotated[str, typer.Option(help="File of examples, or demo.")] = DEMO,
) -> None:
    """Print a run's file with every setting and its default."""
    values: dict[str, object] = {
        "model": {"source": model},
        "data": {"train": data},
        "method": {"kind": method},
        "objective": {"kind": objective},
        **({"training": {"learning_rate": FULL_LEARNING_RATE}} if method == "full" else {}),
    }
    sys.stdout.write(dump_config(validate(values, "the options")))


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a run's file."""
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")


@app.command("check")
def check(path: Path, as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False) -> None:
    """Name every problem of a run's file at once."""
    try:
        config = load_config(path)
    except ConfigError as error:
        if as_json:
            print_json({"ok": False, "problems": error.to_dict()["problems"]})
        else:
            show_error(error, as_json=False)
        raise typer.Exit(EXIT_MISTAKE) from error
    except DesktopFtError as error:
        show_error(error, as_json=as_json)
        raise typer.Exit(EXIT_MISTAKE) from error
    if as_json:
        print_json({"ok": True, "problems": []})
    else:
        out.print(f"{path}: no problems. Run '{config.name}' is ready.", markup=False)
