"""``desktop-ft stop`` and ``control``: what the run page's buttons do. Requests are files; the engine answers with events."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from desktop_ft.commands.console import EXIT_FAILED, note, print_json, say
from desktop_ft.commands.options import JsonOption, RunArgument, find_run, require_running
from desktop_ft.core.config import parse_override
from desktop_ft.core.control import check_control_kind, send_control
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import ControlDone
from desktop_ft.core.run_summary import summarize_run
from desktop_ft.core.runs import RunDir, live_engine

_STOP_WAIT_SECONDS: Final = 600.0
_ANSWER_WAIT_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.1


def stop(run_dir: RunArgument, as_json: JsonOption = False) -> None:
    """Save a checkpoint and end a run.

    Returns once the engine has ended.
    """
    run = find_run(run_dir)
    require_running(run)
    send_control(run.path, "stop")
    deadline = time.monotonic() + _STOP_WAIT_SECONDS
    while live_engine(run) is not None:
        if time.monotonic() > deadline:
            note(f"The engine has not ended after {_STOP_WAIT_SECONDS:.0f} s; it stops after its current step.")
            raise typer.Exit(EXIT_FAILED)
        time.sleep(_POLL_SECONDS)
    summary = summarize_run(run)
    if as_json:
        print_json({"status": summary.status, "run_dir": str(run.path), "step": summary.step})
    else:
        say(f"The run is {summary.status} at step {summary.step}. Go on with it: desktop-ft resume {run.path}")
    if summary.status not in {"stopped", "completed"}:
        raise typer.Exit(EXIT_FAILED)


def control(
    run_dir: RunArgument,
    kind: Annotated[str, typer.Argument(help="save, sample, set or stop.")],
    values: Annotated[list[str] | None, typer.Argument(help="For set: PATH=VALUE, such as training.learning_rate=1e-4.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a running engine for something: save, sample, set or stop.

    Waits for its answer, which comes after the step that it is at.
    """
    checked = check_control_kind(kind)
    changes = dict(map(parse_override, values or ()))
    run = find_run(run_dir)
    require_running(run)
    tail = EventTail(run.events_file)
    number = send_control(run.path, checked, changes)
    answer = _answer(run, tail, number)
    if answer is None:
        note(f"Asked for '{checked}' (request {number}); the engine has not answered.")
        raise typer.Exit(EXIT_FAILED)
    if as_json:
        print_json({"number": number, "control": checked, "accepted": answer.accepted, "message": answer.message})
    else:
        say(f"{'Done' if answer.accepted else 'Refused'}: {checked}. {answer.message}".rstrip())
    if not answer.accepted:
        raise typer.Exit(EXIT_FAILED)


def _answer(run: RunDir, tail: EventTail, number: int) -> ControlDone | None:
    """The engine's answer to a request; None where the engine ended or took too long."""
    deadline = time.monotonic() + _ANSWER_WAIT_SECONDS
    while True:
        was_live = live_engine(run) is not None
        found = [event for event in tail.read_all() if isinstance(event, ControlDone) and event.number == number]
        if found:
            return found[-1]
        if not was_live or time.monotonic() > deadline:
            return None
        time.sleep(_POLL_SECONDS)
