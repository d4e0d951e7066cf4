"""``desktop-ft estimate``: arithmetic on config.json; no torch, no GPU, no weights. With ``--exact`` a job of the engine besides."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from desktop_ft.commands.console import EXIT_FAILED, note, out, print_json, say, size_words
from desktop_ft.commands.follow import fail_where_failed, run_engine, waiting
from desktop_ft.commands.options import JsonOption, SetOption, load_with_overrides, with_overrides
from desktop_ft.core.config import DEMO, RunConfig, validate
from desktop_ft.core.config.defaults import with_defaults
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import DryRunDone
from desktop_ft.core.memory import Situation
from desktop_ft.core.memory.corrections import Corrected, estimate_here_in
from desktop_ft.core.memory.dry_run import create_dry_run, exact_json, exact_verdict
from desktop_ft.core.memory.limits import Limits, limits
from desktop_ft.core.memory.suggestions import Suggestion
from desktop_ft.core.models import ModelInfo, model_from_config, read_model, resolve_model
from desktop_ft.core.workspace import default_workspace

_NO_WEIGHTS: Final = {"model_no_weights", "model_shard_missing", "tokenizer_missing"}
"""What a folder may lack for an estimate."""
_VERDICTS: Final = {"fits": "It fits.", "tight": "It is tight: it may fit.", "does_not_fit": "It does not fit."}


def estimate_memory(
    target: Annotated[str, typer.Argument(metavar="RUN.yaml", help="A run's file; or a model: folder, config.json, Hub id, demo.")],
    overrides: SetOption = None,
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="For a card that is not here, such as 'RTX 4090'.")] = None,
    gpu_memory: Annotated[str | None, typer.Option(metavar="SIZE", help="For a card with this memory, such as 24GiB.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Take two steps of this very run without weights; some seconds.")] = False,
    with_limits: Annotated[
        bool, typer.Option("--limits", help="Say also how long examples may be, and how large a model, on this card.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say how much memory a run will need, before it starts.

    A model alone is estimated with the default settings. Without --gpu it is for this computer and what is free on it now. --exact also
    covers models that the arithmetic does not know.
    """
    config, model = _read_target(target, overrides)
    device = _device(gpu, gpu_memory)
    situation = Situation(model, device)
    result = _estimate(config, situation, may_be_unknown=exact)
    if result is not None and result.note:
        note(result.note)
    found = limits(config, situation) if with_limits and result is not None else None
    done = _compute_exactly(config, device, as_json=as_json) if exact else None
    if as_json:
        print_json({**_json(result, done, device), **({"limits": found.to_json()} if found else {})})
        return
    if result is not None:
        _show(config, model, device, result)
    if found is not None:
        _show_limits(config, found)
    if done is not None:
        _show_exact(done, device)


def _read_target(target: str, overrides: list[str] | None) -> tuple[RunConfig, ModelInfo]:
    path = Path(target).expanduser()
    if path.suffix == ".json" and path.is_file():
        return _default_config(str(path.parent), overrides), model_from_config(path)
    if path.is_file() or path.suffix in {".yaml", ".yml"}:
        config = load_with_overrides(path, overrides)
    else:
        config = _default_config(target, overrides)
    return config, _read_model(resolve_model(config.model.source, config.model.revision))


def _default_config(source: str, overrides: list[str] | None) -> RunConfig:
    values = with_overrides({"model": {"source": source}, "data": {"train": DEMO}}, overrides)
    return validate(with_defaults(values), "the options")


def _read_model(folder: Path) -> ModelInfo:
    try:
        return read_model(folder)
    except DesktopFtError as error:
        if error.code in _NO_WEIGHTS:
            return model_from_config(folder)
        raise


def _device(gpu: str | None, gpu_memory: str | None) -> DeviceFacts:
    if gpu is None and gpu_memory is None:
        from desktop_ft.commands.machine import this_device

        return this_device()
    from desktop_ft.core.known_gpus import gpu_of_size, known_gpu, parse_bytes

    if gpu_memory is None:
        assert gpu is not None
        return known_gpu(gpu)
    num_bytes = parse_bytes(gpu_memory)
    if gpu is None:
        return gpu_of_size(f"a card with {size_words(num_bytes)}", num_bytes)
    return replace(known_gpu(gpu), total_bytes=num_bytes, free_bytes=num_bytes)


def _estimate(config: RunConfig, situation: Situation, *, may_be_unknown: bool) -> Corrected | None:
    try:
        return estimate_here_in(config, situation)
    except DesktopFtError as error:
        if may_be_unknown and error.code == "model_architecture_unknown":
            return None
        raise


def _compute_exactly(config: RunConfig, device: DeviceFacts, *, as_json: bool) -> DryRunDone:
    """Let a child take the run's steps without weights; its folder goes where all went well."""
    job = create_dry_run(default_workspace().home / "jobs", config, device)
    with waiting(as_json=as_json) as listen:
        followed = run_engine(job, listen, {"CUDA_VISIBLE_DEVICES": ""})
    fail_where_failed(followed, as_json=as_json)
    done = followed.last(DryRunDone)
    if done is None:
        note("The exact estimate was stopped.")
        raise typer.Exit(EXIT_FAILED)
    shutil.rmtree(job.path, ignore_errors=True)
    return done


def _json(result: Corrected | None, done: DryRunDone | None, device: DeviceFacts) -> dict[str, object]:
    """The arithmetic's values; where the exact estimate was asked for, total, parts and verdict are its own."""
    values = {} if result is None else result.to_json()
    if done is None:
        return values
    told = exact_json(done)
    own = {"total_bytes": done.total_bytes, "terms": told["terms"], "device_free_bytes": device.free_bytes}
    return {**values, **own, "verdict": exact_verdict(done, device.free_bytes), "exact": told}


def _show_exact(done: DryRunDone, device: DeviceFacts) -> None:
    say(
        f"Exact: {size_words(done.total_bytes)}, of which {size_words(done.allocated_bytes)} in tensors; the peak is in: {done.phase}. "
        f"{_VERDICTS[exact_verdict(done, device.free_bytes)]}"
    )
    if done.holes_bytes:
        say(f"Rows of different lengths can add up to {size_words(done.holes_bytes)} in a long run.")
    say(f"From {done.num_layers_run} of {done.num_layers} blocks in {done.seconds:.1f} s with {done.versions}. {done.modelled}")


def _show(config: RunConfig, model: ModelInfo, device: DeviceFacts, found: Corrected) -> None:
    from rich.table import Table

    result = found.estimate
    say(f"{model.name}, {config.objective.kind} with {config.method.kind}, on {device.name}")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for term in result.terms:
        if term.num_bytes:
            table.add_row(term.key.replace("_", " "), size_words(term.num_bytes))
    table.add_row("total", size_words(result.total_bytes), style="bold")
    out.print(table)
    say(f"between {size_words(result.low_bytes)} and {size_words(result.high_bytes)}; {size_words(result.free_bytes)} are free")
    if found.correction is not None:
        say(f"{found.correction.words()}: {found.correction.share:+.1%}")
    say(_VERDICTS[result.verdict])
    for suggestion in result.suggestions:
        say(f"  {suggestion.title}: saves {size_words(suggestion.saves_bytes)}, {_price(suggestion)}")
    if result.faster:
        say(f"{size_words(result.free_bytes - result.total_bytes)} are left over; they could be spent on:")
    for suggestion in result.faster:
        say(f"  {suggestion.title}: takes {size_words(-suggestion.saves_bytes)}, {_price(suggestion)}")


def _price(suggestion: Suggestion) -> str:
    changes = " ".join(f"--set {path}={value}" for path, value in suggestion.set.items())
    return f"{suggestion.slowdown:.2f} x the time  ({changes})"


def _show_limits(config: RunConfig, found: Limits) -> None:
    if not found.longest_context:
        say("Not even the shortest examples fit with these settings.")
    else:
        end = ", which is as far as the model reads" if found.context_is_the_models else ""
        say(f"Longest examples that fit: {found.longest_context:,} tokens{end}.")
    largest = f"{found.largest_model}, of the well-known ones" if found.largest_model else "none of the well-known ones"
    say(f"Largest model that fits with examples of {config.data.max_length:,} tokens: {largest}.")
