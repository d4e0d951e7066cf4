"""The runs that go, watched against the card: what each holds, and an alarm when another program takes what it will still need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from PySide6.QtCore import QObject, Signal

from desktop_ft.core.gpu import GpuState
from desktop_ft.core.run_prediction import Prediction, predict_run
from desktop_ft.core.runs import RunDir
from desktop_ft.jobs.background import IsCancelled, ReportProgress, TaskSlot
from desktop_ft.jobs.machine_model import MachineModel
from desktop_ft.jobs.run_model import RunModel

WORTH_SAYING_BYTES: Final = 64 << 20
"""Less than this, short of what is needed or taken by another program, is the driver's own come and go."""


@dataclass(frozen=True)
class Shortage:
    """What a run will still need, and what is left of the card.

    Attributes:
        model: The run.
        needed_bytes: Beyond what it holds already.
        free_bytes: Of the card now.
        taken_bytes: What other programs hold more than when the run was first seen.
        program: The other program that holds most, such as ``blender (4711)``; empty where the driver does not tell.
    """

    model: RunModel
    needed_bytes: int
    free_bytes: int
    taken_bytes: int
    program: str = ""


@dataclass
class _Watched:
    """One run."""

    model: RunModel
    least_others: int | None = None
    largest_own: int = 0
    is_alarmed: bool = False
    is_asked: bool = False


class RunMemoryWatch(QObject):
    """Looks at every reading of the machine.

    Args:
        machine: Whose readings.
        live_models: The runs that go now.
        parent: Qt's owner.
    """

    shortage_began = Signal(object)
    """`Shortage`, once until it is over."""
    shortage_ended = Signal(object)
    """`RunModel`: there is room again, or the run has ended."""
    crashed = Signal(object)
    """Traceback (str) of an exception that nobody expected in a background task."""

    def __init__(self, machine: MachineModel, live_models: Callable[[], Iterable[RunModel]], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._machine = machine
        self._live_models = live_models
        self._watched: dict[Path, _Watched] = {}
        self._slot = TaskSlot(self, self.crashed)
        machine.changed.connect(self._on_machine_changed)

    def close(self) -> None:
        """Look no more."""
        self._machine.changed.disconnect(self._on_machine_changed)
        self._slot.drop()

    def _on_machine_changed(self) -> None:
        live = {model.run.path: model for model in self._live_models() if model.is_live and model.engine is not None}
        for path in [path for path in self._watched if path not in live]:
            self._end(self._watched.pop(path))
        for path, model in live.items():
            self._look(self._watched.setdefault(path, _Watched(model)))

    def _look(self, watched: _Watched) -> None:
        model, machine = watched.model, self._machine
        assert model.engine is not None
        own = machine.bytes_of(model.engine.pid)
        if own is None:  # the engine tells what it reserved, which is less than the driver counts
            own = int(model.curves["memory_bytes"].last or 0)
        else:
            model.note_own_bytes(own)
        watched.largest_own = max(watched.largest_own, own)
        if model.predicted_bytes is None:
            self._ask(watched)
        card = _card_of(machine, model.engine.pid)
        if card is None:
            return
        others = machine.others_bytes if card.uuid == machine.device.uuid else max(0, card.used_bytes - own)
        watched.least_others = others if watched.least_others is None else min(watched.least_others, others)
        if model.predicted_bytes is None:
            return
        peak = model.predicted_bytes if model.epoch < 1 else watched.largest_own
        shortage = Shortage(model, peak - own, card.free_bytes, others - watched.least_others, self._largest_other(card))
        self._judge(watched, shortage)

    def _judge(self, watched: _Watched, now: Shortage) -> None:
        is_short = now.needed_bytes > now.free_bytes
        if is_short and not watched.is_alarmed and now.taken_bytes >= WORTH_SAYING_BYTES:
            watched.is_alarmed = True
            self.shortage_began.emit(now)
        elif watched.is_alarmed and now.needed_bytes + WORTH_SAYING_BYTES <= max(now.free_bytes, WORTH_SAYING_BYTES):
            self._end(watched)

    def _end(self, watched: _Watched) -> None:
        if watched.is_alarmed:
            watched.is_alarmed = False
            self.shortage_ended.emit(watched.model)

    def _largest_other(self, card: GpuState) -> str:
        own = {watched.model.engine.pid for watched in self._watched.values() if watched.model.engine is not None}
        others = {pid: num_bytes for pid, num_bytes in (card.processes or {}).items() if num_bytes and pid not in own}
        return _program_name(max(others, key=lambda pid: others[pid])) if others else ""

    def _ask(self, watched: _Watched) -> None:
        """Once the engine has said what it trains on: what was it expected to need?"""
        model = watched.model
        if watched.is_asked or self._slot.is_busy or model.config is None or not model.num_steps:
            return
        watched.is_asked = True
        run, config = model.run, model.config

        def work(_cancelled: IsCancelled, _progress: ReportProgress) -> object:
            return run, predict_run(run, config)

        self._slot.start(work, self._on_predicted, lambda _error: None)

    def _on_predicted(self, result: object) -> None:
        run, found = cast("tuple[RunDir, Prediction | None]", result)
        watched = self._watched.get(run.path)
        if watched is not None and found is not None and watched.model.predicted_bytes is None:
            watched.model.predicted_bytes = found.total_bytes


def _card_of(machine: MachineModel, pid: int) -> GpuState | None:
    """The card that a run works on: where the driver sees it, else the one that runs are started on."""
    return next((gpu for gpu in machine.gpus if pid in (gpu.processes or {})), machine.gpu)


def _program_name(pid: int) -> str:
    import psutil

    try:
        return f"{psutil.Process(pid).name()} ({pid})"
    except psutil.Error:
        return ""
