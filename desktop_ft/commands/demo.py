"""``desktop-ft demo``: the main job from the first look at the data to a merged model, on what comes with the program."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, cast

import typer
from rich.table import Table
from rich.text import Text

from desktop_ft.commands.console import EXIT_FAILED, err, note, number_words, out, print_json, say, size_words, time_words
from desktop_ft.commands.export import export_result, run_export, show_export
from desktop_ft.commands.follow import Followed, fail_where_failed, run_engine, waiting
from desktop_ft.commands.options import JsonOption
from desktop_ft.commands.train import prepare
from desktop_ft.core import events as ev
from desktop_ft.core.demo import DEMO_MIN_SHOWN, HeldOutPrompt, demo_config, held_out_prompts, shows_behaviour
from desktop_ft.core.exports import default_out
from desktop_ft.core.job import ExportRequest
from desktop_ft.core.publish import check_target
from desktop_ft.core.runs import RunDir, create_run
from desktop_ft.core.workspace import default_workspace

_PLOT_SECONDS: Final = 60.0
_NUM_SHOWN_SAMPLES: Final = 3


@dataclass(frozen=True)
class _Places:
    """Where everything goes."""

    run: Path
    curve: Path
    merged: Path


@dataclass(frozen=True)
class _Answer:
    """One held-out prompt before and after."""

    prompt: HeldOutPrompt
    before: str
    after: str


def demo(
    target: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for run, curve and model; by default a new run of yours.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune the built-in demo model: the main job, in about a minute, without a window.

    Checks the data, estimates the memory, trains with LoRA, draws the loss, shows answers before and after, and exports the merged model.
    """
    started = time.monotonic()
    config = demo_config()
    if target is not None:
        check_target(target.expanduser().absolute(), overwrite=False)
    _head("Check model, data and memory")
    model, facts, needed = prepare(config, target or default_workspace().runs)
    note(f"{model.num_parameters / 1e6:.1f} million parameters, {facts.num_train_examples} examples, {facts.num_eval_examples} held out")
    note(f"About {size_words(needed.total_bytes)} of memory are needed" if needed else "The memory can't be estimated")
    _head("Train")
    places = _places(target)
    run = create_run(places.run, config)
    followed = _train(run, as_json=as_json)
    is_drawn = draw_curve(run, places.curve)
    answers = _answers(followed)
    _head("Export the merged model and compare it with the trained one")
    exported = _export(run, places.merged, as_json=as_json)
    result: dict[str, object] = {
        "seconds": round(time.monotonic() - started, 1),
        "run_dir": str(run.path),
        "curve": str(places.curve) if is_drawn else None,
        "prompts": len(answers),
        "shown_before": sum(shows_behaviour(item.prompt, item.before) for item in answers),
        "shown_after": sum(shows_behaviour(item.prompt, item.after) for item in answers),
        "export": exported,
    }
    if as_json:
        print_json(result)
    else:
        _show(result, answers, followed)
    _leave_where_incomplete(result)


def _places(target: Path | None) -> _Places:
    """Where to put things; makes the folder of a run in the workspace.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``.
    """
    if target is None:
        folder = default_workspace().new_run_dir("demo")
        return _Places(folder, folder / "loss.png", default_out(RunDir(folder), "merged"))
    folder = target.expanduser().absolute()
    return _Places(folder / "run", folder / "loss.png", folder / "merged")


def _head(text: str) -> None:
    err.print(f"\n[bold]{text}[/]")


def _train(run: RunDir, *, as_json: bool) -> Followed:
    with waiting(as_json=as_json) as listen:
        followed = run_engine(run, listen)
    fail_where_failed(followed, as_json=as_json)
    if followed.status != "completed":
        note(f"The demo was stopped. Go on with: desktop-ft resume {run.path}")
        raise typer.Exit(EXIT_FAILED)
    return followed


def draw_curve(run: RunDir, target: Path) -> bool:
    """Let a child draw the run's loss as a PNG, since drawing needs Qt; where it can't, says why.

    Returns:
        Whether the picture is there.
    """
    command = [sys.executable, "-m", "desktop_ft", "_plot", str(run.path), str(target)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PLOT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        note(f"The curve could not be drawn within {_PLOT_SECONDS:.0f} s.")
        return False
    if done.returncode == 0 and target.is_file():
        return True
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    note(f"The curve could not be drawn: {lines[-1] if lines else 'the child left no message'}. See: desktop-ft doctor")
    return False


def _answers(followed: Followed) -> list[_Answer]:
    """Every held-out prompt with the model's answer before the first step and after the last."""
    samples = followed.all(ev.SampleDone)
    last_step = samples[-1].step if samples else 0
    texts = {(sample.step, sample.prompt): sample.text for sample in samples}
    return [_Answer(item, texts.get((0, item.prompt), ""), texts.get((last_step, item.prompt), "")) for item in held_out_prompts()]


def _export(run: RunDir, target: Path, *, as_json: bool) -> dict[str, object]:
    with waiting(as_json=as_json) as listen:
        followed = run_export(run, ExportRequest(run.path, "merged", target), listen)
    fail_where_failed(followed, as_json=as_json)
    result = export_result(followed)
    if result is None:
        note("The export was stopped.")
        raise typer.Exit(EXIT_FAILED)
    return result


def _show(result: Mapping[str, object], answers: list[_Answer], followed: Followed) -> None:
    table = Table("asked", "before", "after", title=f"{_NUM_SHOWN_SAMPLES} of {len(answers)} questions that are in no training example")
    for item in answers[:_NUM_SHOWN_SAMPLES]:
        table.add_row(*map(Text, (item.prompt.prompt, item.before, item.after)), end_section=True)
    out.print(table)
    say(f"The trained style shows in {result['shown_after']} of {result['prompts']} answers; before training in {result['shown_before']}")
    evaluations = followed.all(ev.EvaluationDone)
    if evaluations:
        say(f"Loss on held-out examples: {number_words(evaluations[0].loss)} at first, {number_words(evaluations[-1].loss)} at the end")
    show_export(cast("dict[str, object]", result["export"]), as_json=False)
    if result["curve"]:
        say(f"Curve: {result['curve']}")
    say(f"Run: {result['run_dir']}")
    say(f"Done in {time_words(cast('float', result['seconds']))}")


def _leave_where_incomplete(result: Mapping[str, object]) -> None:
    """Exit status 0 is for a demo in which everything happened."""
    shown = cast("int", result["shown_after"])
    if shown < DEMO_MIN_SHOWN:
        note(f"The demo did not learn what it should: {shown} of {result['prompts']} answers show it, at least {DEMO_MIN_SHOWN} should.")
    if shown < DEMO_MIN_SHOWN or result["curve"] is None:
        raise typer.Exit(EXIT_FAILED)
