"""``desktop-ft runs``: what was trained, how far it came, and how runs differ."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, TypeVar, cast

import typer

from desktop_ft.commands.console import note, number_words, out, print_json, say, size_words, time_words
from desktop_ft.commands.options import JsonOption, RunArgument, find_run
from desktop_ft.core.best_checkpoint import BestCheckpoint, read_best
from desktop_ft.core.config import SETTINGS
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import ErrorRaised, EvaluationDone, Event, GeneralLoss, SampleDone, StepDone
from desktop_ft.core.exports import list_exports
from desktop_ft.core.health import HealthNote, health
from desktop_ft.core.run_summary import RunSummary, run_folders, summarize_run
from desktop_ft.core.runs import Checkpoint, RunDir
from desktop_ft.core.stages import checkpoints_of
from desktop_ft.core.workspace import default_workspace

app = typer.Typer(no_args_is_help=True)

_EventT = TypeVar("_EventT", bound=Event)


@app.command("list")
def list_runs(as_json: JsonOption = False) -> None:
    """Every run in your workspace, newest first."""
    folder = default_workspace().runs
    found = [summarize_run(run) for run in run_folders(folder)]
    if as_json:
        print_json({"runs": [_summary_json(summary) for summary in found]})
        return
    if not found:
        note(f"There are no runs in {folder} yet. Make one: desktop-ft demo")
        return
    _print_table(("run", "status", "step", "loss", "eval loss", "took"), [_row(summary) for summary in found])


def _row(summary: RunSummary) -> tuple[str, ...]:
    steps = f"{summary.step}/{summary.num_steps}" if summary.num_steps else "-"
    status = f"{summary.status} ({summary.problem.splitlines()[0]})" if summary.problem else summary.status
    took = time_words(summary.seconds)
    return summary.run.path.name, status, steps, number_words(summary.loss), number_words(summary.eval_loss), took


def _print_table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for index, title in enumerate(titles):
        table.add_column(Text(title), no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)


def _summary_json(summary: RunSummary) -> dict[str, object]:
    return {
        "run": summary.run.path.name,
        "path": str(summary.run.path),
        "name": summary.name,
        "model": summary.model,
        "method": summary.method,
        "objective": summary.objective,
        "status": summary.status,
        "step": summary.step,
        "num_steps": summary.num_steps,
        "loss": summary.loss,
        "eval_loss": summary.eval_loss,
        "started": summary.started,
        "seconds": round(summary.seconds, 3),
        "problem": summary.problem or None,
    }


# --- one run ---------------------------------------------------------------------------------------------------------


@app.command("show")
def show(run_dir: RunArgument, as_json: JsonOption = False) -> None:
    """What became of one run: losses, checkpoints, exports, health in words, and its error if it had one."""
    run = find_run(run_dir)
    summary = summarize_run(run)
    events = list(EventTail(run.events_file).read_all())
    if as_json:
        print_json(_run_json(summary, events))
    else:
        _print_run(summary, events)


def _run_json(summary: RunSummary, events: list[Event]) -> dict[str, object]:
    error, best = _error(events, summary), read_best(summary.run)
    return {
        **_summary_json(summary),
        "settings": _settings(summary.run),
        "evaluations": [{"step": event.step, "loss": event.loss} for event in _of(events, EvaluationDone)],
        "general_losses": [{"step": event.step, "loss": event.loss} for event in _of(events, GeneralLoss)],
        "checkpoints": [
            {"step": item.step, "path": str(item.path), "is_best": best is not None and item.step == best.step}
            for item in checkpoints_of(summary.run)
        ],
        "best_checkpoint": None if best is None else {"step": best.step, "metric": best.metric, "value": best.value},
        "exports": [
            {"to": item.to, "path": str(item.path), "bytes": item.num_bytes} for item in list_exports(summary.run) if item.is_there
        ],
        "health": [{"tone": item.tone, "title": item.title, "message": item.message} for item in _health(summary, events)],
        "samples": [{"step": item.step, "prompt": item.prompt, "text": item.text} for item in _last_samples(events)],
        "error": None if error is None else error.to_dict(),
    }


def _print_run(summary: RunSummary, events: list[Event]) -> None:
    say(f"{summary.run.path.name}: {summary.status}")
    say(f"  {summary.method} of {summary.model}, {summary.objective}")
    if summary.started is not None:
        began = datetime.fromtimestamp(summary.started, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        say(f"  began {began}, worked {time_words(summary.seconds)}, step {summary.step} of {summary.num_steps}")
    say(f"  loss {number_words(summary.loss)}, eval loss {number_words(summary.eval_loss)}")
    checkpoints = checkpoints_of(summary.run)
    best = read_best(summary.run)
    say("  checkpoints: " + (", ".join(_checkpoint_words(item, best) for item in checkpoints) or "none"))
    for item in list_exports(summary.run):
        say(f"  exported {item.to} to {item.path} ({size_words(item.num_bytes)}){'' if item.is_there else ', which is gone'}")
    for item in _health(summary, events):
        say(f"  {item.title}. {item.message}")
    for item in _last_samples(events):
        say(f"  step {item.step} > {item.prompt}\n    " + item.text.replace("\n", "\n    "))
    error = _error(events, summary)
    if error is not None:
        say(f"{error.title}\n{error.message}\n{error.hint}")
    elif summary.status in {"crashed", "stopped"} and checkpoints:
        say(f"Go on from step {checkpoints[-1].step}: desktop-ft resume {summary.run.path}")


def _checkpoint_words(checkpoint: Checkpoint, best: BestCheckpoint | None) -> str:
    if best is None or checkpoint.step != best.step:
        return f"step {checkpoint.step}"
    return f"step {checkpoint.step} (the best: eval {best.metric} {number_words(best.value)})"


def _of(events: list[Event], kind: type[_EventT]) -> list[_EventT]:
    return [event for event in events if isinstance(event, kind)]


def _health(summary: RunSummary, events: list[Event]) -> tuple[HealthNote, ...]:
    steps = _of(events, StepDone)
    if not steps:
        return ()
    return health(
        steps,
        _of(events, EvaluationDone),
        objective=summary.objective or "sft",
        general=_of(events, GeneralLoss),
        samples=_of(events, SampleDone),
    )


def _last_samples(events: list[Event]) -> list[SampleDone]:
    samples = _of(events, SampleDone)
    return [sample for sample in samples if sample.step == samples[-1].step]


def _error(events: list[Event], summary: RunSummary) -> DesktopFtError | None:
    """What ended a run that failed; one that was resumed with success has none."""
    told = _of(events, ErrorRaised)
    if summary.status != "failed" or not told:
        return None
    return DesktopFtError(told[-1].code, told[-1].title, told[-1].message, told[-1].hint)


def _settings(run: RunDir) -> dict[str, object]:
    """Every setting by its path, as the person stated it; empty where run.yaml can't be read."""
    try:
        values = run.config().model_dump(mode="json")
    except DesktopFtError:
        return {}
    return {path: _at(values, path) for path in SETTINGS}


def _at(values: Mapping[str, object], path: str) -> object:
    key, _, rest = path.partition(".")
    return _at(cast("Mapping[str, object]", values[key]), rest) if rest else values[key]


# --- several runs ----------------------------------------------------------------------------------------------------


@app.command("compare")
def compare(
    run_dirs: Annotated[list[str], typer.Argument(metavar="RUN_DIR...", help="Two runs or more: folders, or names in your runs.")],
    as_json: JsonOption = False,
) -> None:
    """The settings in which runs differ, and what came of them."""
    if len(run_dirs) < 2:
        raise typer.BadParameter("Name two runs or more.")
    summaries = [summarize_run(find_run(text)) for text in run_dirs]
    differences = _differences([_settings(summary.run) for summary in summaries])
    if as_json:
        print_json({"runs": [_summary_json(summary) for summary in summaries], "differences": differences})
        return
    rows = [(path, *map(str, values)) for path, values in differences.items()]
    rows += [
        ("status", *(summary.status for summary in summaries)),
        ("loss", *(number_words(summary.loss) for summary in summaries)),
        ("eval loss", *(number_words(summary.eval_loss) for summary in summaries)),
        ("took", *(time_words(summary.seconds) for summary in summaries)),
    ]
    _print_table(("", *_labels(summaries)), rows)


def _labels(summaries: list[RunSummary]) -> list[str]:
    """The folders' names, with as much of the path as tells them apart."""
    names = [summary.run.path.name for summary in summaries]
    return names if len(set(names)) == len(names) else [str(summary.run.path) for summary in summaries]


def _differences(settings: list[dict[str, object]]) -> dict[str, list[object]]:
    paths = [path for path in SETTINGS if path != "name"]
    found = {path: [values.get(path) for values in settings] for path in paths}
    return {path: values for path, values in found.items() if any(value != values[0] for value in values)}
