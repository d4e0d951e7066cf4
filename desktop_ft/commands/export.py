"""``desktop-ft export``: a job of the engine that takes a run's result away and compares it with what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, cast

import typer

from desktop_ft.commands.console import EXIT_FAILED, note, number_words, print_json, say, size_words
from desktop_ft.commands.follow import Followed, Listener, fail_where_failed, listening, run_engine
from desktop_ft.commands.options import JsonOption, RunArgument, checkpoint_step, find_run
from desktop_ft.core.config.schema import DtypeName
from desktop_ft.core.events import Exported, Verified
from desktop_ft.core.exports import default_out, plan_export
from desktop_ft.core.job import EXPORT_TARGETS, ExportRequest, ExportTarget, create_job
from desktop_ft.core.models import read_model, resolve_model
from desktop_ft.core.runs import RunDir

_TARGETS: Final = " or ".join(EXPORT_TARGETS)


def export(
    run_dir: RunArgument,
    to: Annotated[
        str, typer.Option(metavar="KIND", help=f"{_TARGETS}: the small adapter alone, or a whole model that needs nothing of ours.")
    ] = "merged",
    target: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The folder to make; by default below the run's exports.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="STEP", help="Step of the checkpoint to take, or 'best'; by default the final state.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="Format of merged weights: auto, bfloat16, float16 or float32.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that is there already.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take the adapter or the merged model of a run away.

    A merged model is loaded again and compared with the trained one before it gets its name.
    """
    if to not in EXPORT_TARGETS:
        raise typer.BadParameter(f"'{to}' is no kind of export. Known: {_TARGETS}.")
    run = find_run(run_dir)
    kind = cast("ExportTarget", to)
    step = checkpoint_step(run, checkpoint)
    out = target.expanduser().absolute() if target else default_out(run, kind, step)
    request = ExportRequest(run.path, kind, out, overwrite=overwrite, checkpoint=step, dtype=cast("DtypeName", dtype))
    with listening(as_json=as_json) as listen:
        followed = run_export(run, request, listen)
    fail_where_failed(followed, as_json=as_json)
    result = export_result(followed)
    if result is None:
        note("The export was stopped; nothing was written.")
        raise typer.Exit(EXIT_FAILED)
    show_export(result, as_json=as_json)


def run_export(run: RunDir, request: ExportRequest, listener: Listener) -> Followed:
    """Check what can be checked, then let the engine do it.

    Raises:
        DesktopFtError: As `resolve_model`, `plan_export` and `run_engine`.
    """
    config = run.config()
    base = resolve_model(config.model.source, config.model.revision)
    read_model(base)
    plan_export(run, request, base)
    return run_engine(create_job(run, request), listener)


def export_result(followed: Followed) -> dict[str, object] | None:
    """The documented object; None where nothing was exported."""
    exported, verified = followed.last(Exported), followed.last(Verified)
    if exported is None or followed.status != "completed":
        return None
    return {"path": exported.path, "bytes": exported.num_bytes, "verification": _verification(verified) if verified else None}


def _verification(verified: Verified) -> dict[str, object]:
    return {
        "prompts": verified.num_prompts,
        "top1_agreement": verified.top1_agreement,
        "mean_kl": verified.mean_kl,
        "max_kl": verified.max_kl,
        "max_score_difference": verified.max_score_difference,
        "chat_template_equal": verified.chat_template_equal,
        "stop_token_ok": verified.stop_token_ok,
    }


def show_export(result: dict[str, object], *, as_json: bool) -> None:
    """The result as JSON, or in words."""
    if as_json:
        print_json(result)
        return
    say(f"Exported to {result['path']} ({size_words(cast('int', result['bytes']))})")
    found = cast("dict[str, object] | None", result["verification"])
    if found is not None and found["max_score_difference"] is not None:
        difference = number_words(cast("float", found["max_score_difference"]), 6)
        say(f"Compared with the trained model on {found['prompts']} texts: largest difference of a score {difference}")
    elif found is not None:
        agreement = cast("float | None", found["top1_agreement"])
        same = "not measured" if agreement is None else f"{agreement:.2%}"
        mean, largest = (number_words(cast("float | None", found[name]), 6) for name in ("mean_kl", "max_kl"))
        say(f"Compared with the trained model on {found['prompts']} prompts: same likeliest token {same}, KL {mean} mean, {largest} max")
