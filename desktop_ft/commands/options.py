"""Options and arguments that several commands share, and what they mean."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from desktop_ft.core.best_checkpoint import read_best
from desktop_ft.core.config import RunConfig, config_from_values, parse_override, set_value
from desktop_ft.core.config.files import Values, read_values
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.run_summary import run_folders
from desktop_ft.core.runs import RunDir, live_engine, open_run
from desktop_ft.core.workspace import default_workspace

JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one setting; may be given again.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN_DIR", help="The run's folder, or its name in your runs.")]


def load_with_overrides(path: Path, overrides: Sequence[str] | None) -> RunConfig:
    """A run's file with ``--set`` applied; every problem at once.

    Raises:
        DesktopFtError: As `load_config` and `parse_override`.
    """
    return config_from_values(with_overrides(read_values(path), overrides), path.parent, str(path))


def with_overrides(values: Mapping[str, object], overrides: Sequence[str] | None) -> Values:
    """A tree with every ``--set`` applied, the last one of a path counts.

    Raises:
        DesktopFtError: ``override_malformed``.
    """
    tree = dict(values)
    for text in overrides or ():
        path, value = parse_override(text)
        tree = set_value(tree, path, value)
    return tree


def find_run(text: str) -> RunDir:
    """The run in a folder, or the one of that name in the workspace.

    Raises:
        DesktopFtError: ``run_missing``.
    """
    folder = Path(text).expanduser()
    runs = default_workspace().runs
    if not (folder / "run.yaml").is_file() and folder.name == text and (runs / text / "run.yaml").is_file():
        return open_run(runs / text)
    try:
        return open_run(folder)
    except DesktopFtError as error:
        names = [run.path.name for run in run_folders(runs)]
        near = difflib.get_close_matches(text, names, n=3)
        if near:
            raise DesktopFtError(error.code, error.title, error.message, f"Did you mean one of your runs: {', '.join(near)}?") from error
        raise


def checkpoint_step(run: RunDir, text: str | None) -> int | None:
    """Which checkpoint is meant by a step or by ``best``; None for the run's final state.

    Raises:
        DesktopFtError: ``checkpoint_no_best``.
        typer.BadParameter: Neither of them.
    """
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    if text != "best":
        raise typer.BadParameter(f"'{text}' is no checkpoint. Write its step, or best.")
    best = read_best(run)
    if best is None:
        raise DesktopFtError(
            "checkpoint_no_best",
            "No checkpoint is known to be the best",
            f"{run.path.name} was never measured on held-out examples, or output.keep_best was off.",
            "Name the step of a checkpoint. They are listed by: desktop-ft runs show",
        )
    return best.step


def refuse_if_running(run: RunDir) -> None:
    """Leave a run alone in which an engine works.

    Raises:
        DesktopFtError: ``run_is_running``.
    """
    mark = live_engine(run)
    if mark is not None:
        raise DesktopFtError(
            "run_is_running", "This run is going already", f"Process {mark.pid} works in {run.path}.", "Stop it with: desktop-ft stop"
        )


def require_running(run: RunDir) -> None:
    """There must be someone to ask.

    Raises:
        DesktopFtError: ``run_not_running``.
    """
    if live_engine(run) is None:
        raise DesktopFtError(
            "run_not_running", "This run is not going", f"No engine works in {run.path}.", "Go on with it: desktop-ft resume"
        )
