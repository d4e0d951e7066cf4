"""Cases one after the other, or side by side where the card has room, each in a process of its own; every row is kept as its case ends.

The parent has imported everything and never touched CUDA, so that a case starts by a fork and not with half a minute of imports;
where there is no fork, or CUDA would not work after it, each case is a new process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from benchmarks.vram.archive import Device, Row
from benchmarks.vram.cases import Case, to_json
from benchmarks.vram.child import RESULT_FILE, Place
from benchmarks.vram.machine import Use

LOOK_SECONDS: Final = 0.05
LEAST_LIMIT_SECONDS: Final = 45.0
LIMIT_FACTOR: Final = 4.0
"""A case that takes so many times what was thought, and at least the limit before, is ended."""
GRACE_SECONDS: Final = 20.0
"""How long after the budget a case that runs may go on."""
MARGIN: Final = 1.25
"""Of the estimate, kept free for a case beside others."""
OWN_CARD_SHARE: Final = 0.45
"""A case that needs more of the card than this runs alone."""
CONTEXT_BYTES: Final = 3 << 29
"""Kept free for what a process takes besides what torch reserves."""
CONSOLE_FILE: Final = "console.log"


class Process(Protocol):
    """A started case."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    def is_over(self) -> bool:
        """Whether it ended; never waits."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...


Start = Callable[[Case], Process]


@dataclass
class Forked:
    """A case in a copy of this process."""

    pid: int
    _is_over: bool = False

    def is_over(self) -> bool:
        """Whether it ended; never waits."""
        if not self._is_over:
            done, _ = os.waitpid(self.pid, os.WNOHANG)
            self._is_over = done == self.pid
        return self._is_over

    def kill(self) -> None:
        """End it now, and wait for that."""
        if not self.is_over():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._is_over = True


def fork(work: Callable[[], None], console: Path) -> Forked:
    """Do it in a copy of this process, with what it prints in a file."""
    console.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Forked(pid)
    code = 1
    try:
        os.setsid()
        out = os.open(console, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        work()
        sys.stdout.flush()
        sys.stderr.flush()
        code = 0
    finally:
        if code:
            _print_problem()
        os._exit(code)
    raise AssertionError


def _print_problem() -> None:
    import traceback

    traceback.print_exc()
    sys.stderr.flush()


@dataclass
class Spawned:
    """A case in a new process."""

    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def is_over(self) -> bool:
        """Whether it ended; never waits."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """End it now, and wait for that."""
        self.process.kill()
        self.process.wait()


def spawn(case: Case, place: Place, root: Path) -> Spawned:
    """Do it in a new process, with what it prints in a file."""
    folder = place.case(case)
    (folder / "case.json").write_text(json.dumps(to_json(case)), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.vram", "one", str(folder / "case.json"), str(place.folder), place.device_kind]
    with (folder / CONSOLE_FILE).open("wb") as console:
        return Spawned(subprocess.Popen(command, cwd=root, stdout=console, stderr=subprocess.STDOUT))


# --- the queue ----------------------------------------------------------------------------------------------------------------


@dataclass
class _Running:
    case: Case
    process: Process
    started: float
    before: Use
    most_process: int = 0
    most_used: int = 0
    had_neighbours: bool = False
    was_ended: bool = False


@dataclass(frozen=True)
class _Needs:
    """What the queue asks of a case again and again: seconds, bytes, and whether it runs alone."""

    seconds: float
    num_bytes: float
    alone: bool


@dataclass
class Pool:
    """Runs cases and yields their rows.

    Attributes:
        device: What is measured.
        place: Where cases work.
        start: Starts a prepared case.
        prepare: Makes what a case needs; the pool's own process does that.
        use: What the card holds now.
        versions: Of everything.
        allocator: Settings of torch's allocator.
        num_parallel: Cases side by side at most.
    """

    device: Device
    place: Place
    start: Start
    prepare: Callable[[Case], object]
    use: Callable[[], Use]
    versions: dict[str, str]
    allocator: str = ""
    num_parallel: int = 1
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _running: list[_Running] = field(default_factory=list[_Running])
    _is_again: set[str] = field(default_factory=set[str])
    _known: dict[str, _Needs] = field(default_factory=dict[str, _Needs])

    def run(self, cases: Sequence[Case], budget_seconds: float) -> Iterator[Row]:
        """Every case for which there is time, in order; of those that are too long the shorter ones behind them go first.

        A case that ran out of memory beside others is run again alone.
        """
        queue, end = list(cases), self.clock() + budget_seconds
        try:
            while queue or self._running:
                queue = self._fill(queue, end)
                if not self._running:
                    return
                self.sleep(LOOK_SECONDS)
                self._look()
                for over in [one for one in self._running if self._is_due(one, end)]:
                    self._running.remove(over)
                    row = self._row(over)
                    if row.outcome == "out_of_memory" and over.had_neighbours and over.case.id not in self._is_again:
                        self._is_again.add(over.case.id)
                        queue.insert(0, over.case)
                        continue
                    yield row
        finally:
            for one in self._running:
                one.process.kill()
            self._running.clear()

    def _fill(self, queue: list[Case], end: float) -> list[Case]:
        """Start what there is room and time for; returns what is left."""
        left: list[Case] = []
        for place, case in enumerate(queue):
            if len(self._running) >= self.num_parallel or (self._running and self._is_alone(self._running[0].case)):
                return left + queue[place:]
            has_time = self.clock() + self._needs(case).seconds <= end
            if has_time and self._has_room(case):
                self._begin(case)
            elif has_time:
                left.append(case)
        return left

    def _needs(self, case: Case) -> _Needs:
        if case.id not in self._known:
            facts = self.device.facts()
            # A cap holds whatever happens; only the context comes on top.
            num_bytes = MARGIN * case.predicted_bytes(facts) if case.cap_bytes is None else case.cap_bytes + CONTEXT_BYTES
            alone = case.alone or num_bytes > OWN_CARD_SHARE * self.device.total_bytes
            self._known[case.id] = _Needs(case.seconds(facts), num_bytes, alone)
        return self._known[case.id]

    def _is_alone(self, case: Case) -> bool:
        return self._needs(case).alone or case.id in self._is_again

    def _has_room(self, case: Case) -> bool:
        """Beside those that run; a case that runs alone waits until nothing else does."""
        if not self._running:
            return True
        if self._is_alone(case):
            return False
        taken = sum(self._needs(one.case).num_bytes for one in self._running)
        return taken + self._needs(case).num_bytes <= 0.9 * self.device.total_bytes

    def _begin(self, case: Case) -> None:
        self.prepare(case)
        before = self.use()
        one = _Running(case, self.start(case), self.clock(), before)
        for other in self._running:
            other.had_neighbours = one.had_neighbours = True
        self._running.append(one)

    def _look(self) -> None:
        now = self.use()
        for one in self._running:
            one.most_process = max(one.most_process, now.by_process.get(one.process.pid, 0))
            one.most_used = max(one.most_used, now.used_bytes - one.before.used_bytes)

    def _is_due(self, one: _Running, end: float) -> bool:
        if one.process.is_over():
            return True
        limit = min(one.started + max(LEAST_LIMIT_SECONDS, LIMIT_FACTOR * self._needs(one.case).seconds), end + GRACE_SECONDS)
        if self.clock() < limit:
            return False
        one.process.kill()
        one.was_ended = True
        return True

    def _row(self, one: _Running) -> Row:
        """What the case wrote; where it wrote nothing, how it ended."""
        case, folder = one.case, self.place.case(one.case)
        result = _result(folder, was_ended=one.was_ended)
        now = int(result.pop("device_now_bytes", 0))
        alone = not one.had_neighbours
        device_bytes = max(one.most_used, now - one.before.used_bytes) if self.device.kind == "cuda" and alone else None
        return Row(
            id=case.id,
            source="harness",
            date=datetime.now(UTC).date().isoformat(),
            mode=case.mode,
            family=case.shape.family,
            shape=case.shape.name,
            shape_config=dict(case.shape.config),
            settings=case.all_settings,
            rows=case.rows,
            device=self.device,
            versions=self.versions,
            allocator=self.allocator,
            process_bytes=one.most_process or (device_bytes if device_bytes and device_bytes > 0 else None),
            device_bytes=device_bytes if device_bytes and device_bytes > 0 else None,
            cap_bytes=case.cap_bytes,
            group=case.group or None,
            promised_bytes=case.promised_bytes,
            neighbours=one.had_neighbours,
            saves=case.saves(),
            **result,
        )


def _result(folder: Path, *, was_ended: bool) -> dict[str, Any]:
    """What the case wrote, or the end of what it printed."""
    file, console = folder / RESULT_FILE, folder / CONSOLE_FILE
    if file.is_file():
        return json.loads(file.read_text(encoding="utf-8"))
    text = console.read_text(encoding="utf-8", errors="replace")[-600:] if console.is_file() else ""
    return {"outcome": "timed_out" if was_ended else "failed", "error": text or "no output"}


def append(row: Row, path: Path) -> None:
    """Keep a row so that nothing that happens later can lose it; half a line that an interrupted command left is ended first."""
    with path.open("ab+") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                _cut_half_line(file)
        file.write(row.line().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _cut_half_line(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
