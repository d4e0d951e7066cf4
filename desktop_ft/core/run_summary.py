"""One line about a run for a list: found by searching its event log for a few events, however long it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeVar

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import EvaluationDone, Event, RunFinished, RunStarted, StepDone, decode_event
from desktop_ft.core.runs import RunDir, RunStatus, live_engine, read_lock

NUM_SPARKLINE_POINTS: Final = 48
_BLOCK_BYTES: Final = 1 << 16
_MAX_LINE_BYTES: Final = 1 << 20
_CLOCK_TOLERANCE_SECONDS: Final = 1.0
_EventT = TypeVar("_EventT", bound=Event)


@dataclass(frozen=True)
class RunSummary:
    """What a list shows of a run.

    Attributes:
        run: Its folder.
        name: As the person called it; the folder's name where run.yaml can't be read.
        model: The base model as written.
        method: Such as ``DoRA, rank 16`` or ``full``.
        objective: Such as ``sft``; empty where run.yaml can't be read.
        status: What became of it.
        step: Optimizer steps done, of ``num_steps`` (0: not known yet).
        loss: Of the newest step; None before.
        eval_loss: Of the newest evaluation; None before.
        started: When its first engine started, seconds since the epoch; None before.
        seconds: How long its engines worked, all together.
        losses: At most 48 losses, evenly spread over the log.
        problem: Why it can't be read; empty where all is well.
    """

    run: RunDir
    name: str
    model: str = ""
    method: str = ""
    objective: ObjectiveName | Literal[""] = ""
    status: RunStatus = "new"
    step: int = 0
    num_steps: int = 0
    loss: float | None = None
    eval_loss: float | None = None
    started: float | None = None
    seconds: float = 0.0
    losses: tuple[float, ...] = ()
    problem: str = ""

    @property
    def is_live(self) -> bool:
        """Whether an engine works on it."""
        return self.status in {"starting", "running"}


def run_folders(runs: Path) -> list[RunDir]:
    """Every folder below that holds a run, newest first by name of its file's change.

    Raises:
        DesktopFtError: ``runs_unreadable``.
    """
    try:
        found = [RunDir(folder) for folder in runs.iterdir() if (folder / "run.yaml").is_file()]
        return sorted(found, key=lambda run: run.config_file.stat().st_mtime, reverse=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DesktopFtError(
            "runs_unreadable",
            "Your runs can't be listed",
            f"Reading {runs} failed: {error.strerror or error}.",
            "Check that the disk is connected and that you may read the folder.",
        ) from error


def summarize_run(run: RunDir) -> RunSummary:
    """The summary of one run; a run that is damaged has its ``problem`` said and never stops a list."""
    summary = _as_written(run)
    try:
        with run.events_file.open("rb") as file:
            return _with_log(summary, _LogSearch(file))
    except FileNotFoundError:
        return replace(summary, status=_status_without_events(run))
    except (DesktopFtError, OSError) as error:
        message = error.message if isinstance(error, DesktopFtError) else str(error)
        return replace(summary, problem=summary.problem or message, status=_status_without_events(run))


def _as_written(run: RunDir) -> RunSummary:
    try:
        config = run.config()
    except DesktopFtError as error:
        return RunSummary(run, run.path.name, problem=error.message)
    return RunSummary(run, config.name, config.model.source, method_words(config), config.objective.kind)


def method_words(config: RunConfig) -> str:
    """How much of the model is changed, in two or three words."""
    method = config.method
    if method.kind == "full":
        return "full"
    adapter = "QLoRA" if method.kind == "qlora" else "LoRA"
    name = adapter if not method.use_dora else "DoRA" if method.kind == "lora" else "QLoRA + DoRA"
    return f"{name}, rank {method.rank}"


def _status_without_events(run: RunDir) -> RunStatus:
    if live_engine(run) is not None:
        return "starting"
    was_tried = read_lock(run) is not None or (run.console_file.is_file() and run.console_file.stat().st_size > 0)
    return "crashed" if was_tried else "new"


def _with_log(summary: RunSummary, log: _LogSearch) -> RunSummary:
    sessions = list(log.all_of(RunStarted))
    if not sessions:
        return replace(summary, status=_status_without_events(summary.run))
    place, session = sessions[-1]
    step = log.last_of(StepDone, since=place)
    last_step, evaluation = step or log.last_of(StepDone), log.last_of(EvaluationDone)
    return replace(
        summary,
        status=_status(summary.run, session, log.last_of(RunFinished, since=place)),
        step=session.start_step if step is None else step.step,
        num_steps=session.num_steps,
        loss=None if last_step is None else last_step.loss,
        eval_loss=None if evaluation is None else evaluation.loss,
        started=sessions[0][1].time,
        seconds=sum(_session_seconds(log, sessions)),
        losses=tuple(log.sampled_losses(NUM_SPARKLINE_POINTS)),
    )


def _status(run: RunDir, session: RunStarted, finished: RunFinished | None) -> RunStatus:
    live, lock = live_engine(run), read_lock(run)
    if finished is None:
        return "crashed" if live is None else "running"
    if lock is not None and lock.started > finished.time + _CLOCK_TOLERANCE_SECONDS and lock.started > session.time:
        return "crashed" if live is None else "starting"
    return finished.status


def _session_seconds(log: _LogSearch, sessions: list[tuple[int, RunStarted]]) -> Iterator[float]:
    ends = [place for place, _ in sessions[1:]] + [log.num_bytes]
    for (_, session), end in zip(sessions, ends, strict=True):
        last = log.last_event_before(end)
        yield 0.0 if last is None else max(0.0, last.time - session.time)


class _LogSearch:
    """Finds events by kind without decoding the rest; relies on how `encode_event` writes a line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.num_bytes = file.seek(0, os.SEEK_END)

    def all_of(self, kind: type[_EventT]) -> Iterator[tuple[int, _EventT]]:
        """Every event of a kind with the place of its line."""
        place = 0
        while (found := self._next(kind, place)) is not None:
            start, event, place = found
            if event is not None:
                yield start, event

    def last_of(self, kind: type[_EventT], since: int = 0) -> _EventT | None:
        """The newest event of a kind at or after a place."""
        end = self.num_bytes
        while (hit := self._rfind(_token(kind), since, end)) is not None:
            _, line, _ = self._line_at(hit)
            event = decode_event(line)
            if isinstance(event, kind):
                return event
            end = hit
        return None

    def last_event_before(self, end: int) -> Event | None:
        """The newest whole event before a place."""
        while end > 0 and (hit := self._rfind(b'"kind":"', 0, end)) is not None:
            event = decode_event(self._line_at(hit)[1])
            if event is not None:
                return event
            end = hit
        return None

    def sampled_losses(self, num_points: int) -> Iterator[float]:
        """Finite losses of steps, evenly spread over the log by bytes."""
        last_start = -1
        for index in range(num_points):
            found = self._next(StepDone, self.num_bytes * index // num_points)
            if found is None:
                return
            start, event, _ = found
            if start != last_start and event is not None and event.loss is not None:
                yield event.loss
            last_start = start

    def _next(self, kind: type[_EventT], place: int) -> tuple[int, _EventT | None, int] | None:
        """Start of the line, its event, its end; None where no further line names the kind."""
        hit = self._find(_token(kind), place)
        if hit is None:
            return None
        start, line, end = self._line_at(hit)
        event = decode_event(line)
        return start, event if isinstance(event, kind) else None, max(end, hit + 1)

    def _line_at(self, place: int) -> tuple[int, str, int]:
        begin = max(0, place - _MAX_LINE_BYTES)
        before = self._read(begin, place - begin)
        start = begin + before.rfind(b"\n") + 1
        self._file.seek(start)
        line = self._file.readline(_MAX_LINE_BYTES)
        return start, line.decode("utf-8", errors="replace"), start + len(line)

    def _find(self, token: bytes, place: int) -> int | None:
        while place < self.num_bytes:
            hit = self._read(place, _BLOCK_BYTES + len(token)).find(token)
            if hit >= 0:
                return place + hit
            place += _BLOCK_BYTES
        return None

    def _rfind(self, token: bytes, begin: int, end: int) -> int | None:
        """The last place in ``[begin, end)`` where the token starts."""
        while end > begin:
            start = max(begin, end - _BLOCK_BYTES)
            hit = self._read(start, end - start + len(token) - 1).rfind(token)
            if hit >= 0:
                return start + hit
            end = start
        return None

    def _read(self, place: int, num_bytes: int) -> bytes:
        self._file.seek(place)
        return self._file.read(num_bytes)


def _token(kind: type[Event]) -> bytes:
    return f'"kind":"{kind.kind}"'.encode()
