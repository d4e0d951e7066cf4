"""``desktop-ft score``: a job of the engine that lets a reward model score answers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from desktop_ft.commands.console import print_json, say
from desktop_ft.commands.follow import fail_where_failed, run_engine, waiting
from desktop_ft.commands.options import JsonOption, find_run
from desktop_ft.core.events import SampleDone
from desktop_ft.core.job import ScoreRequest, create_job_in
from desktop_ft.core.reward_model import find_reward_model
from desktop_ft.core.workspace import default_workspace


def score(
    source: Annotated[str, typer.Argument(metavar="RUN", help="A reward run, the folder of its adapter, or an exported reward model.")],
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="What the answers answer.")],
    answer: Annotated[list[str] | None, typer.Option("--answer", metavar="TEXT", help="An answer to score; may be given again.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Let a reward model score answers to a prompt.

    A higher score is a better answer; scores of one prompt can be compared, a score alone says nothing.
    """
    if not answer:
        raise typer.BadParameter("There is nothing to score. Give --answer TEXT, once or more often.")
    named = Path(source).expanduser()
    folder = named.absolute() if named.is_dir() else find_run(source).path
    find_reward_model(folder)
    job = create_job_in(default_workspace().home / "jobs", ScoreRequest(folder, prompt, tuple(answer)))
    with waiting(as_json=as_json) as listen:
        followed = run_engine(job, listen)
    fail_where_failed(followed, as_json=as_json)
    _show(folder, prompt, followed.all(SampleDone), as_json=as_json)
    shutil.rmtree(job.path, ignore_errors=True)


def _show(source: Path, prompt: str, scored: list[SampleDone], *, as_json: bool) -> None:
    if as_json:
        scores = [{"answer": sample.text, "score": sample.reward} for sample in scored]
        print_json({"source": str(source), "prompt": prompt, "scores": scores})
        return
    say(f"> {prompt}")
    for sample in sorted(scored, key=lambda one: one.reward if one.reward is not None else float("-inf"), reverse=True):
        say(f"{'not a number' if sample.reward is None else f'{sample.reward:+.3f}'}  {sample.text}")
