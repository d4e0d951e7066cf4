"""``desktop-ft lr-find``: a job of the engine that tries learning rates for a run's file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from desktop_ft.commands.console import EXIT_FAILED, note, number_words, print_json, say
from desktop_ft.commands.follow import fail_where_failed, listening, run_engine
from desktop_ft.commands.options import JsonOption, SetOption, load_with_overrides
from desktop_ft.core.events import LrPoint, LrSuggested
from desktop_ft.core.lr_finder import NUM_STEPS, check_can_sweep, create_sweep
from desktop_ft.core.preflight import check_before_start, check_data
from desktop_ft.core.workspace import default_workspace


def lr_find(
    path: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="The run's file.")],
    low: Annotated[float | None, typer.Option(help="The lowest rate; by default the usual one over 32.")] = None,
    high: Annotated[float | None, typer.Option(help="The highest rate; by default the usual one times 32.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps for each rate.")] = NUM_STEPS,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try learning rates for a few steps each and suggest one.

    Every rate begins from the same weights and sees the same examples; the sweep ends where the loss diverges. Nothing is kept.
    """
    config = load_with_overrides(path, overrides)
    check_can_sweep(config)
    check_data(config, check_before_start(config))
    job = create_sweep(default_workspace().home / "jobs", config, low, high, steps)
    with listening(as_json=as_json) as listen:
        followed = run_engine(job, listen)
    fail_where_failed(followed, as_json=as_json)
    suggested = followed.last(LrSuggested)
    if suggested is None:
        note("The sweep was stopped; it suggests nothing.")
        raise typer.Exit(EXIT_FAILED)
    _show(followed.all(LrPoint), suggested, as_json=as_json)
    shutil.rmtree(job.path, ignore_errors=True)


def _show(points: list[LrPoint], suggested: LrSuggested, *, as_json: bool) -> None:
    if as_json:
        told = [{"rate": point.rate, "loss": point.loss, "steps": point.num_steps, "has_diverged": point.has_diverged} for point in points]
        print_json({"points": told, "suggested": suggested.rate, "message": suggested.message})
        return
    for point in points:
        say(f"{point.rate:9.2e}  loss {number_words(point.loss)}{'  diverged' if point.has_diverged else ''}")
    if suggested.rate is None:
        say(f"No suggestion. {suggested.message}")
    else:
        say(f"Suggested: training.learning_rate {suggested.rate:.2g}. {suggested.message}")
