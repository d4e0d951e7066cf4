"""``desktop-ft generate``: a job of the engine that lets a model answer prompts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, cast

import typer

from desktop_ft.commands.console import print_json, say
from desktop_ft.commands.follow import fail_where_failed, run_engine, waiting
from desktop_ft.commands.options import JsonOption
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import SampleDone
from desktop_ft.core.job import GenerateRequest, create_job_in
from desktop_ft.core.models import read_model, resolve_model
from desktop_ft.core.workspace import default_workspace


def generate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, Hub id, or demo.")],
    prompt: Annotated[list[str] | None, typer.Option("--prompt", metavar="TEXT", help="What to answer; may be given again.")] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="A file: a prompt a line, or JSON lines with 'prompt'.")
    ] = None,
    adapter: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of an adapter to put on the model.")] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="What the system turn says.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, tokens.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: always the likeliest token; above: sampled.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="Sample from the likeliest tokens of this share.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Start of the random numbers.")] = 42,
    as_json: JsonOption = False,
) -> None:
    """Let a model answer prompts.

    Each prompt is answered alone, in the model's own chat template where it has one.
    """
    request = GenerateRequest(
        model=_absolute_source(model),
        prompts=(*(prompt or ()), *(_read_prompts(prompts) if prompts else ())),
        adapter=adapter.expanduser().absolute() if adapter else None,
        system=system,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
    )
    if not request.prompts:
        raise typer.BadParameter("There is nothing to answer. Give --prompt TEXT or --prompts FILE.")
    read_model(resolve_model(model))
    _check_adapter(request.adapter)
    job = create_job_in(default_workspace().home / "jobs", request)
    with waiting(as_json=as_json) as listen:
        followed = run_engine(job, listen)
    fail_where_failed(followed, as_json=as_json)
    _show(request, followed.all(SampleDone), as_json=as_json)
    shutil.rmtree(job.path, ignore_errors=True)


def _absolute_source(model: str) -> str:
    """The engine works in no folder in particular."""
    folder = Path(model).expanduser()
    return str(folder.absolute()) if model != "demo" and folder.is_dir() else model


def _check_adapter(folder: Path | None) -> None:
    if folder is not None and not (folder / "adapter_config.json").is_file():
        raise DesktopFtError(
            "adapter_missing",
            "The adapter was not found",
            f"{folder} holds no adapter_config.json.",
            "Name the folder that a run wrote, such as runs/<name>/adapter.",
        )


def _read_prompts(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DesktopFtError(
            "prompts_unreadable", "The prompts can't be read", f"{path}: {error}", "Name a text file in UTF-8, a prompt a line."
        ) from error
    return [_prompt_of(line, number, path) for number, line in enumerate(lines, start=1) if line.strip()]


def _prompt_of(line: str, number: int, path: Path) -> str:
    if path.suffix != ".jsonl":
        return line
    try:
        value = cast("object", json.loads(line))
    except ValueError:
        value = None
    text = cast("dict[str, object]", value).get("prompt") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise DesktopFtError(
            "prompts_unreadable", "The prompts can't be read", f"Line {number} of {path} is no object with a text 'prompt'.", "Mend it."
        )
    return text


def _show(request: GenerateRequest, samples: list[SampleDone], *, as_json: bool) -> None:
    if as_json:
        answers = [{"prompt": sample.prompt, "text": sample.text, "finished": sample.finished} for sample in samples]
        print_json({"model": request.model, "adapter": str(request.adapter) if request.adapter else None, "answers": answers})
        return
    for sample in samples:
        say(f"> {sample.prompt}\n{sample.text}{'' if sample.finished else ' ...'}\n")
