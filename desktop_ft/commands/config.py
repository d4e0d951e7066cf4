"""``desktop-ft config``: a new run's file, its schema and its problems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from desktop_ft.commands.console import EXIT_MISTAKE, note, print_json, say
from desktop_ft.commands.options import JsonOption, SetOption, checkpoint_step, find_run, with_overrides
from desktop_ft.core.config import DEMO, Draft, dump_config, json_schema, load_config, validate
from desktop_ft.core.config.combinations import REWARDED
from desktop_ft.core.config.defaults import METHODS, changes_for, with_defaults
from desktop_ft.core.config.files import Values, set_value
from desktop_ft.core.config.ignored import ignored_settings
from desktop_ft.core.config.objectives import OBJECTIVES
from desktop_ft.core.continuing import continue_from
from desktop_ft.core.errors import ConfigError
from desktop_ft.core.presets import damaged_presets, list_presets, load_preset
from desktop_ft.core.runs import RunDir

app = typer.Typer(no_args_is_help=True)
EXAMPLE_RULE: Final = {"kind": "length", "max_tokens": 64}
"""What `config new` scores answers by where nothing is stated: works with every file, and teaches to be brief."""


@app.command("new")
def new(
    objective: Annotated[str | None, typer.Option(help=f"What signal to train on: {', '.join(OBJECTIVES)}. By default sft.")] = None,
    method: Annotated[str | None, typer.Option(help=f"How much of the model to change: {', '.join(METHODS)}. By default lora.")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="Begin with a preset; `config presets` lists them.")] = None,
    model: Annotated[str | None, typer.Option(help="Folder, Hub id, or demo. By default demo.")] = None,
    data: Annotated[str | None, typer.Option(help="File of examples, or demo. By default demo.")] = None,
    from_run: Annotated[
        str | None, typer.Option("--from-run", metavar="RUN", help="Go on from what this run trained; a reward run judges the answers.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="STEP", help="With --from-run: step of a checkpoint of it, or 'best'; by default its result.")
    ] = None,
    overrides: SetOption = None,
) -> None:
    """Print a run's file with every setting and its default.

    Defaults such as the learning rate follow the method and the objective.
    """
    if checkpoint is not None and from_run is None:
        raise typer.BadParameter("--checkpoint belongs to --from-run.")
    values: Values = {
        **(load_preset(preset).settings if preset else {}),
        "model": {"source": model or DEMO},
        "data": {"train": data or DEMO},
    }
    if from_run is not None:
        values = _continued(values, find_run(from_run), objective, checkpoint, model=model, data=data)
    values = with_overrides(_with_kinds(values, objective, method), overrides)
    say(dump_config(validate(with_defaults(_with_rewards(values)), "the options")).rstrip("\n"))


def _continued(
    values: Values, run: RunDir, objective: str | None, checkpoint: str | None, *, model: str | None, data: str | None
) -> Values:
    """Settings that go on from a run; data that is named counts more than the run's own."""
    if model is not None:
        raise typer.BadParameter("The model is that of the run; leave out --model or --from-run.")
    if objective is not None and objective not in OBJECTIVES:
        raise typer.BadParameter(f"'{objective}' is no objective. Known: {', '.join(OBJECTIVES)}.")
    wanted = objective or run.config().objective.kind
    for path, value in continue_from(run, wanted, checkpoint_step(run, checkpoint)).items():
        if data is None or path.partition(".")[0] != "data":
            values = set_value(values, path, value)
    return values


def _with_kinds(values: Values, objective: str | None, method: str | None) -> Values:
    """Objective and method set; a preset's settings that were the old ones' defaults follow, and what is neither is left to the check."""
    draft = Draft(values)
    kind = method if method in METHODS else None
    signal = objective if objective in OBJECTIVES else None
    tree = draft.with_values(changes_for(draft, kind, signal)).values() if kind or signal else values
    for path, value in (("objective.kind", objective), ("method.kind", method)):
        tree = set_value(tree, path, value) if value is not None else tree
    return tree


def _with_rewards(values: Values) -> Values:
    """Something to score answers by, for objectives that need it and where nothing is stated."""
    draft = Draft(values)
    stated = draft.states("objective.rewards.model") or draft.states("objective.rewards.rules")
    if draft.get("objective.kind") not in REWARDED or stated:
        return values
    note("Note: objective.rewards.rules holds an example, which rewards short answers; put in what you want.")
    return set_value(values, "objective.rewards.rules", [EXAMPLE_RULE])


@app.command("presets")
def presets(as_json: JsonOption = False) -> None:
    """List the presets: the program's, then your own."""
    found = list_presets()
    if as_json:
        listed = [{"name": item.name, "title": item.title, "sentence": item.sentence, "is_own": item.is_own} for item in found]
        print_json({"presets": listed})
    else:
        for item in found:
            say(f"{item.name}\n    {item.title}. {item.sentence}")
    for error in damaged_presets():
        note(f"Warning: {error.message}")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a run's file."""
    say(json.dumps(json_schema(), indent=2))


@app.command("check")
def check(
    path: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="The run's file.")],
    as_json: JsonOption = False,
) -> None:
    """Name every problem of a run's file at once, and every changed setting that will have no effect."""
    try:
        config = load_config(path)
    except ConfigError as error:
        if not as_json:
            raise
        print_json({"ok": False, "problems": error.to_dict()["problems"], "ignored": []})
        raise typer.Exit(EXIT_MISTAKE) from error
    if as_json:
        ignored = [{"path": name, "reason": reason} for name, reason in ignored_settings(config).items()]
        print_json({"ok": True, "problems": [], "ignored": ignored})
        return
    for name, reason in ignored_settings(config).items():
        note(f"Note: {name} has no effect. {reason}")
    say(f"{path}: no problems. Run '{config.name}' is ready.")
