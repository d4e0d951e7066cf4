"""What this computer has for training, from the readings of the GPU monitor: the cards, who holds their memory, what is free."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from PySide6.QtCore import QObject, Signal

from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.gpu import GpuReader, GpuReading, GpuState, cpu_device, training_device
from desktop_ft.jobs.gpu_monitor import GpuMonitor, GpuSource


class MachineModel(QObject):
    """The state of the machine, updated once a second; rarely while nobody looks and nothing of ours works on it.

    Args:
        own_processes: Process ids of the engines that go now; called at every reading.
        make_source: What asks the driver.
        parent: Qt's owner.

    Attributes:
        device: What the next run would train on, with what is free now.
        gpu: The state of that card; None where the CPU trains.
        gpus: Every card in this computer.
        own_bytes: Memory that this program's engines hold on the card.
        problem: Why there is no card or no answer, one sentence; empty where all is well.
    """

    changed = Signal()

    def __init__(
        self,
        own_processes: Callable[[], frozenset[int]],
        make_source: Callable[[], GpuSource] = GpuReader,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.device: DeviceFacts = cpu_device()
        self.gpu: GpuState | None = None
        self.gpus: tuple[GpuState, ...] = ()
        self.own_bytes = 0
        self.problem = ""
        self._chosen = ""
        self._is_watched = True
        self._reading: GpuReading | None = None
        self._used_without_us: dict[str, int] = {}
        self._own_processes = own_processes
        self._own: frozenset[int] = frozenset()
        self._monitor = GpuMonitor(make_source, parent=self)
        self._monitor.reading_changed.connect(self._on_reading)

    @property
    def num_gpus(self) -> int:
        """Cards in this computer."""
        return len(self.gpus)

    def start(self) -> None:
        """Begin to ask."""
        self._monitor.start()

    def choose(self, uuid: str) -> None:
        """Train on this card from now on; empty: on the one with the most free memory."""
        if uuid == self._chosen:
            return
        self._chosen = uuid
        if self._reading is not None:
            self._take(self._reading)

    @property
    def chosen(self) -> str:
        """UUID of the card that was chosen; empty for none, or where it is not in this computer now."""
        return self._chosen if any(gpu.uuid == self._chosen for gpu in self.gpus) else ""

    def set_watched(self, watched: bool) -> None:
        """Whether the window is seen."""
        self._is_watched = watched
        self._monitor.set_resting(not watched and not self._own)

    def bytes_of(self, pid: int) -> int | None:
        """What a process of ours holds of the device that it works on; None where that cannot be told."""
        card = next((gpu for gpu in self.gpus if (gpu.processes or {}).get(pid) is not None), None)
        if card is not None:
            return (card.processes or {})[pid]
        if self.gpu is None:
            return _resident_bytes(pid)
        return self._difference(self.gpu) if self._own == frozenset({pid}) and not _names_bytes(self.gpu) else None

    def _on_reading(self, reading: object) -> None:
        self._take(cast("GpuReading", reading))

    def _take(self, reading: GpuReading) -> None:
        self._reading = reading
        self._own = self._own_processes()
        self.device = training_device(reading, self._chosen)
        self.gpus = reading.gpus
        self.gpu = next((gpu for gpu in reading.gpus if gpu.uuid == self.device.uuid), None)
        self.problem = reading.problem or ""
        if not self._own:
            self._used_without_us = {gpu.uuid: gpu.used_bytes for gpu in reading.gpus}
        self.own_bytes = self._held_by_us()
        self._monitor.set_resting(not self._is_watched and not self._own)
        self.changed.emit()

    def _held_by_us(self) -> int:
        if self.gpu is None:
            return sum(_resident_bytes(pid) for pid in self._own)
        if self._own and not _names_bytes(self.gpu):
            return self._difference(self.gpu) or 0
        processes = self.gpu.processes or {}
        return sum(processes.get(pid) or 0 for pid in self._own)

    def _difference(self, gpu: GpuState) -> int | None:
        """What the card holds more than before our engines began; None where nobody looked then."""
        before = self._used_without_us.get(gpu.uuid)
        return None if before is None else max(0, gpu.used_bytes - before)

    @property
    def others_bytes(self) -> int:
        """Memory of the device that is not ours."""
        used = self.device.total_bytes - self.device.free_bytes
        return max(0, used - self.own_bytes)


def _names_bytes(gpu: GpuState) -> bool:
    """Whether the driver gives memory by process: not on Windows, nor in a container, whose processes it does not see."""
    return any(gpu.processes.values()) if gpu.processes else False


def _resident_bytes(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
