"""``desktop-ft probe``: one worst-case step of a run, measured on this computer; or forget what was measured."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from desktop_ft.commands.console import EXIT_FAILED, note, print_json, say, size_words, time_words
from desktop_ft.commands.follow import fail_where_failed, run_engine, waiting
from desktop_ft.commands.machine import child_environment, this_device
from desktop_ft.commands.options import JsonOption, SetOption, load_with_overrides
from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.device_check import check_device
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import ProbeMeasured, WarningRaised
from desktop_ft.core.memory import MemoryEstimate
from desktop_ft.core.memory.corrections import estimate_here
from desktop_ft.core.memory.measured import forget_measurements
from desktop_ft.core.models import ModelInfo
from desktop_ft.core.preflight import check_before_start, check_data
from desktop_ft.core.probe import create_probe
from desktop_ft.core.schedule import check_enough_examples


def probe(
    path: Annotated[Path | None, typer.Argument(metavar="[RUN.yaml]", help="The run's file.")] = None,
    overrides: SetOption = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget everything that was measured on this computer.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure one worst-case step of a run on this computer: peak memory and time.

    The longest rows of the run's data go through its own trainer: two steps, an evaluation and a checkpoint, which is removed. What is
    measured corrects later estimates on this card; a memory that is too small is a result with numbers.
    """
    if forget:
        _forget(as_json=as_json)
    if path is not None:
        _probe(load_with_overrides(path, overrides), as_json=as_json)
    elif not forget:
        raise DesktopFtError("usage", "This command is not complete", "A run's file is missing.", "desktop-ft probe RUN.yaml")


def _forget(*, as_json: bool) -> None:
    count = forget_measurements()
    if as_json:
        print_json({"forgotten": count})
    else:
        say(f"{count} measurement{'' if count == 1 else 's'} forgotten; estimates are those of the formulas again.")


def _probe(config: RunConfig, *, as_json: bool) -> None:
    device = this_device()
    check_device(config, device)
    model = check_before_start(config)
    facts = check_data(config, model)
    check_enough_examples(config, facts.num_train_examples)
    expected = _estimate(config, model, device, facts.longest)
    job = create_probe(config, facts.longest)
    with waiting(as_json=as_json) as listen:
        followed = run_engine(job, listen, child_environment(device))
    fail_where_failed(followed, as_json=as_json)
    measured = followed.last(ProbeMeasured)
    shutil.rmtree(job.path, ignore_errors=True)
    if measured is None:
        note("The probe was stopped; nothing was measured.")
        raise typer.Exit(EXIT_FAILED)
    if as_json:
        warnings = [{"code": one.code, "title": one.title, "message": one.message} for one in followed.all(WarningRaised)]
        print_json({**probe_json(measured), "device": device.name, "estimate": _estimate_json(expected), "warnings": warnings})
    else:
        _show(measured, expected)


def _estimate(config: RunConfig, model: ModelInfo, device: DeviceFacts, longest: int) -> MemoryEstimate | None:
    """What was expected; None where the model's architecture is not known, which is what a probe is for."""
    try:
        return estimate_here(config, model, device, longest).estimate
    except DesktopFtError as error:
        if error.code != "model_architecture_unknown":
            raise
        return None


def _estimate_json(expected: MemoryEstimate | None) -> dict[str, int] | None:
    if expected is None:
        return None
    return {"total_bytes": expected.total_bytes, "low_bytes": expected.low_bytes, "high_bytes": expected.high_bytes}


def probe_json(measured: ProbeMeasured) -> dict[str, object]:
    """What was measured, as ``--json`` prints it."""
    return {
        "fits": measured.fits,
        "process_bytes": measured.process_bytes,
        "peak_allocated_bytes": measured.peak_allocated_bytes,
        "peak_reserved_bytes": measured.peak_reserved_bytes,
        "context_bytes": measured.context_bytes,
        "peak_phase": measured.peak_phase,
        "seconds_per_step": measured.seconds_per_step,
        "tokens_per_second": measured.tokens_per_second,
        "evaluation_seconds": measured.evaluation_seconds,
        "micro_batch_size": measured.micro_batch_size,
        "gradient_accumulation_steps": measured.gradient_accumulation_steps,
        "sequence_length": measured.sequence_length,
        "message": measured.message,
    }


def _show(measured: ProbeMeasured, expected: MemoryEstimate | None) -> None:
    rows, length = measured.micro_batch_size, measured.sequence_length
    say(f"Longest batch: {rows} example{'' if rows == 1 else 's'} of up to {length:,} tokens")
    if not measured.fits:
        say(f"The memory is too small. {measured.message}")
        say(f"The process held {size_words(measured.process_bytes)} by then.")
        return
    say(f"Peak of the process: {size_words(measured.process_bytes)}, reached in phase '{measured.peak_phase}'")
    if measured.peak_reserved_bytes is not None:
        say(f"  reserved {size_words(measured.peak_reserved_bytes)}, allocated {size_words(measured.peak_allocated_bytes or 0)}")
    if measured.context_bytes is not None:
        say(f"  CUDA context {size_words(measured.context_bytes)}")
    if expected is not None:
        share = measured.process_bytes / expected.total_bytes - 1
        half = (expected.high_bytes - expected.low_bytes) // 2
        say(f"The estimate was {size_words(expected.total_bytes)} ± {size_words(half)}; measured: {share:+.1%}")
    if measured.seconds_per_step is not None:
        speed = f", {measured.tokens_per_second:,.0f} tokens a second" if measured.tokens_per_second else ""
        words = f"{measured.seconds_per_step:.2f} s" if measured.seconds_per_step < 60 else time_words(measured.seconds_per_step)
        say(f"A step takes at most {words}{speed}")
    say("Later estimates on this card are corrected by it; forget it with: desktop-ft probe --forget")
