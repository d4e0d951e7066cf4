"""``desktop-ft train``, ``resume``, ``stop`` and ``control``: what the run page's buttons do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, cast

import typer
import yaml

from desktop_ft.commands.console import EXIT_FAILED, err, guarded, out, print_json
from desktop_ft.commands.follow import Followed, follow, print_result
from desktop_ft.core import events as ev
from desktop_ft.core.config import RunConfig, config_from_values, parse_override, set_value
from desktop_ft.core.config.files import read_values
from desktop_ft.core.control import check_control_kind, send_control
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.launcher import start_engine
from desktop_ft.core.preflight import check_before_start
from desktop_ft.core.runs import RunDir, create_run, live_engine, open_run
from desktop_ft.core.workspace import default_workspace

_STOP_WAIT_SECONDS: Final = 600.0
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on standard output and nothing else there.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Change one setting: PATH=VALUE. May be given again.")]


def load_with_overrides(path: Path, overrides: Sequence[str] | None) -> RunConfig:
    """A run's file with ``--set`` applied; every problem at once."""
    values = read_values(path)
    for text in overrides or ():
        key, value = parse_override(text)
        values = set_value(values, key, value)
    return config_from_values(values, path.parent, str(path))


@guarded
def train(
    path: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="The run's file.")],
    overrides: SetOption = None,
    run_dir: Annotated[Path | None, typer.Option(help="Folder for the run; by default one in the workspace.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train as the run's file says."""
    config = load_with_overrides(path, overrides)
    check_before_start(config)
    folder = run_dir.absolute() if run_dir else default_workspace().new_run_dir(config.name)
    run = create_run(folder, config)
    if not as_json:
        out.print(f"Run folder: {run.path}", markup=False)
    _finish(run, run_engine(run, as_json=as_json), as_json=as_json)


@guarded
def resume(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of the run.")],
    as_json: JsonOption = False,
) -> None:
    """Go on from the last sound checkpoint."""
    run = open_run(run_dir)
    refuse_if_running(run)
    _finish(run, run_engine(run, as_json=as_json), as_json=as_json)


def run_engine(run: RunDir, *, as_json: bool) -> Followed:
    """Start the engine on a run and follow it; only what it says from now on."""
    tail = EventTail(run.events_file)
    list(tail.read_all())
    return follow(run.path, start_engine(run), tail, as_json=as_json)


def refuse_if_running(run: RunDir) -> None:
    """Raise where an engine works in the folder.

    Raises:
        DesktopFtError: ``run_is_running``.
    """
    mark = live_engine(run)
    if mark is not None:
        raise DesktopFtError(
            "run_is_running", "This run is going already", f"Process {mark.pid} works in {run.path}.", "Stop it with: desktop-ft stop"
        )


def _finish(run: RunDir, followed: Followed, *, as_json: bool) -> None:
    step = followed.last(ev.StepDone)
    evaluation = followed.last(ev.EvaluationDone)
    print_result(
        {
            "status": followed.status,
            "run_dir": str(run.path),
            "loss": step.loss if isinstance(step, ev.StepDone) else None,
            "eval_loss": evaluation.loss if isinstance(evaluation, ev.EvaluationDone) else None,
        },
        as_json=as_json,
    )
    if followed.status not in ("completed", "stopped"):
        raise typer.Exit(EXIT_FAILED)


@guarded
def stop(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of the run.")],
    as_json: JsonOption = False,
) -> None:
    """Save a checkpoint and end the run."""
    run = open_run(run_dir)
    if live_engine(run) is None:
        raise DesktopFtError("run_not_running", "This run is not going", f"No engine works in {run.path}.", "Nothing is to be stopped.")
    send_control(run.path, "stop")
    deadline = time.monotonic() + _STOP_WAIT_SECONDS
    while live_engine(run) is not None:
        if time.monotonic() > deadline:
            err.print("The engine has not ended yet; it stops after its current step.")
            raise typer.Exit(EXIT_FAILED)
        time.sleep(0.2)
    print_result({"status": "stopped", "run_dir": str(run.path)}, as_json=as_json)


@guarded
def control(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of the run.")],
    kind: Annotated[str, typer.Argument(help="save, sample, set or stop.")],
    values: Annotated[list[str] | None, typer.Argument(help="For set: PATH=VALUE, such as training.learning_rate=1e-4.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a running engine for something."""
    checked = check_control_kind(kind)
    run = open_run(run_dir)
    if live_engine(run) is None:
        raise DesktopFtError(
            "run_not_running", "This run is not going", f"No engine works in {run.path}.", "Resume it first: desktop-ft resume"
        )
    changes = dict(parse_override(text) for text in values or ())
    number = send_control(run.path, checked, _numbers(changes))
    result: dict[str, object] = {"number": number, "control": checked}
    if as_json:
        print_json(result)
    else:
        out.print(f"Asked for '{checked}' (request {number}); the run's events say when it is done.", markup=False)


def _numbers(changes: dict[str, object]) -> dict[str, object]:
    """YAML reads 1e-4 as text; a number is meant."""
    return {path: _number(value) for path, value in changes.items()}


def _number(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return cast("object", yaml.safe_load(value))
