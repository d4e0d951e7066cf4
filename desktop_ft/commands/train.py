"""``desktop-ft train`` and ``resume``: the engine is started as a child and followed to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from desktop_ft.commands.console import note, number_words, print_json, say, size_words
from desktop_ft.commands.follow import Followed, fail_where_failed, listening, run_engine
from desktop_ft.commands.machine import child_environment, this_device
from desktop_ft.commands.options import JsonOption, RunArgument, SetOption, find_run, load_with_overrides, refuse_if_running
from desktop_ft.core import events as ev
from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.ignored import ignored_note
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.device_check import check_device, device_notes
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.forecast import check_disk, forecast_disk
from desktop_ft.core.memory import MemoryEstimate
from desktop_ft.core.memory.corrections import estimate_here
from desktop_ft.core.models import ModelInfo
from desktop_ft.core.preflight import DataFacts, check_before_start, check_data
from desktop_ft.core.retry import apply_retry, retry_offer
from desktop_ft.core.runs import RunDir, create_run
from desktop_ft.core.schedule import check_enough_examples
from desktop_ft.core.workspace import default_workspace


def train(
    path: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="The run's file.")],
    overrides: SetOption = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="DIR", help="Folder for the run; by default a new one in your workspace.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train as a run's file says.

    Model, data, memory and disk are checked first. Ctrl-C saves a checkpoint and stops; a second Ctrl-C kills the run.
    """
    config = load_with_overrides(path, overrides)
    target = run_dir.absolute() if run_dir else default_workspace().runs
    prepare(config, target)
    run = create_run(run_dir.absolute() if run_dir else default_workspace().new_run_dir(config.name), config)
    follow_run(run, as_json=as_json)


def resume(
    run_dir: RunArgument,
    halve_micro_batch: Annotated[
        bool, typer.Option("--halve-micro-batch", help="After the memory was full: half the micro-batch, twice the accumulation.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run from its last sound checkpoint.

    With none, it starts from the beginning. Data, model and tokenizer must be what they were.
    """
    run = find_run(run_dir)
    refuse_if_running(run)
    if halve_micro_batch:
        offer = apply_retry(run)
        note(f"{offer.title}. {offer.message}")
    check_before_start(run.config())
    follow_run(run, as_json=as_json)


def prepare(config: RunConfig, target: Path) -> tuple[ModelInfo, DataFacts, MemoryEstimate | None]:
    """Everything that can be known to be wrong before a child starts; says what is worth knowing.

    Args:
        config: The run.
        target: Where its folder will be.

    Raises:
        DesktopFtError: As `check_before_start`, `check_device`, `check_data`, `check_enough_examples` and `check_disk`.
    """
    model = check_before_start(config)
    device = this_device()
    check_device(config, device)
    facts = check_data(config, model)
    check_enough_examples(config, facts.num_train_examples)
    for text in (*facts.notes, *filter(None, (ignored_note(config), *device_notes(config, device)))):
        note(f"Note: {text}")
    try:
        needed = _estimate(config, model, device, facts, target)
    except DesktopFtError as error:
        if error.code != "model_architecture_unknown":
            raise
        note(f"No estimate of the memory: {error.message}")
        needed = None
    return model, facts, needed


def _estimate(config: RunConfig, model: ModelInfo, device: DeviceFacts, facts: DataFacts, target: Path) -> MemoryEstimate:
    found = estimate_here(config, model, device, facts.longest)
    if found.note:
        note(f"Note: {found.note}")
    needed = found.estimate
    check_disk(target, forecast_disk(config, model, device, needed.choices).run_bytes)
    if needed.verdict != "fits":
        verdict = "may not fit" if needed.verdict == "tight" else "does not fit"
        note(f"Warning: this run {verdict}: it needs about {size_words(needed.total_bytes)}, {size_words(needed.free_bytes)} are free.")
        for suggestion in needed.suggestions[:2]:
            note(f"  {suggestion.title} saves {size_words(suggestion.saves_bytes)}.")
    return needed


def follow_run(run: RunDir, *, as_json: bool) -> Followed:
    """Start the engine on a run, follow it, and say how it ended; leaves with exit status 1 where it failed."""
    if as_json:
        print_json({"run_dir": str(run.path)})
    else:
        note(f"Run folder: {run.path}")
    with listening(as_json=as_json) as listen:
        followed = run_engine(run, listen, child_environment(this_device()))
    if followed.error is not None:
        _offer_retry(run)
    fail_where_failed(followed, as_json=as_json)
    _show_result(run, followed, as_json=as_json)
    return followed


def _offer_retry(run: RunDir) -> None:
    offer = retry_offer(run)
    if offer is not None:
        note(f"{offer.title}: desktop-ft resume {run.path} --halve-micro-batch\n  {offer.message}")


def _show_result(run: RunDir, followed: Followed, *, as_json: bool) -> None:
    step, evaluation, finished = followed.last(ev.StepDone), followed.last(ev.EvaluationDone), followed.last(ev.RunFinished)
    result: dict[str, object] = {
        "status": followed.status,
        "run_dir": str(run.path),
        "step": finished.step if finished else 0,
        "loss": step.loss if step else None,
        "eval_loss": evaluation.loss if evaluation else None,
    }
    if as_json:
        print_json(result)
        return
    losses = f"loss {number_words(step.loss if step else None)}, eval loss {number_words(evaluation.loss if evaluation else None)}"
    say(f"The run is {followed.status} at step {result['step']}: {losses}")
    if followed.status == "stopped":
        say(f"Go on with it: desktop-ft resume {run.path}")
    else:
        say(f"Take the model away: desktop-ft export {run.path} --to merged --out DIR")
