"""``desktop-ft estimate``: arithmetic on config.json; no torch, no GPU, no weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from desktop_ft.commands.console import out, print_json, say, size_words
from desktop_ft.commands.options import JsonOption, SetOption, load_with_overrides, with_overrides
from desktop_ft.core.config import DEMO, RunConfig, validate
from desktop_ft.core.config.defaults import with_defaults
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.memory import MemoryEstimate, Situation, estimate_in
from desktop_ft.core.memory.limits import Limits, limits
from desktop_ft.core.memory.suggestions import Suggestion
from desktop_ft.core.models import ModelInfo, model_from_config, read_model, resolve_model

_NO_WEIGHTS: Final = {"model_no_weights", "model_shard_missing", "tokenizer_missing"}
"""What a folder may lack for an estimate."""
_VERDICTS: Final = {"fits": "It fits.", "tight": "It is tight: it may fit.", "does_not_fit": "It does not fit."}


def estimate_memory(
    target: Annotated[str, typer.Argument(metavar="RUN.yaml", help="A run's file; or a model: folder, config.json, Hub id, demo.")],
    overrides: SetOption = None,
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="For a card that is not here, such as 'RTX 4090'.")] = None,
    gpu_memory: Annotated[str | None, typer.Option(metavar="SIZE", help="For a card with this memory, such as 24GiB.")] = None,
    with_limits: Annotated[
        bool, typer.Option("--limits", help="Say also how long examples may be, and how large a model, on this card.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say how much memory a run will need, before it starts.

    A model alone is estimated with the default settings. Without --gpu it is for this computer and what is free on it now.
    """
    config, model = _read_target(target, overrides)
    device = _device(gpu, gpu_memory)
    situation = Situation(model, device)
    result = estimate_in(config, situation)
    found = limits(config, situation) if with_limits else None
    if as_json:
        print_json({**result.to_json(), **({"limits": found.to_json()} if found else {})})
        return
    _show(config, model, device, result)
    if found is not None:
        _show_limits(config, found)


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
        from desktop_ft.core.gpu import GpuReader, training_device

        return training_device(GpuReader().read())
    from desktop_ft.core.known_gpus import gpu_of_size, known_gpu, parse_bytes

    if gpu_memory is None:
        assert gpu is not None
        return known_gpu(gpu)
    num_bytes = parse_bytes(gpu_memory)
    if gpu is None:
        return gpu_of_size(f"a card with {size_words(num_bytes)}", num_bytes)
    return replace(known_gpu(gpu), total_bytes=num_bytes, free_bytes=num_bytes)


def _show(config: RunConfig, model: ModelInfo, device: DeviceFacts, result: MemoryEstimate) -> None:
    from rich.table import Table

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
