"""What this computer has for training, from the readings of the GPU monitor: the card, who holds its memory, what is free."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from PySide6.QtCore import QObject, Signal

from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.gpu import GpuReader, GpuReading, GpuState, cpu_device, training_device
from desktop_ft.jobs.gpu_monitor import GpuMonitor, GpuSource


class MachineModel(QObject):
    """The state of the machine, updated once a second.

    Args:
        own_processes: Process ids of the engines that go now; called at every reading.
        make_source: What asks the driver.
        parent: Qt's owner.

    Attributes:
        device: What the next run would train on, with what is free now.
        gpu: The state of that card; None where the CPU trains.
        num_gpus: Cards in this computer.
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
        self.num_gpus = 0
        self.own_bytes = 0
        self.problem = ""
        self._own_processes = own_processes
        self._monitor = GpuMonitor(make_source, parent=self)
        self._monitor.reading_changed.connect(self._on_reading)

    def start(self) -> None:
        """Begin to ask."""
        self._monitor.start()

    def _on_reading(self, reading: object) -> None:
        now = cast("GpuReading", reading)
        self.device = training_device(now)
        self.gpu = next((gpu for gpu in now.gpus if gpu.uuid == self.device.uuid), None)
        self.num_gpus = len(now.gpus)
        self.problem = now.problem or ""
        self.own_bytes = self._held_by_us()
        self.changed.emit()

    def _held_by_us(self) -> int:
        if self.gpu is not None:
            processes = self.gpu.processes or {}
            return sum(processes.get(pid) or 0 for pid in self._own_processes())
        return sum(_resident_bytes(pid) for pid in self._own_processes())

    @property
    def others_bytes(self) -> int:
        """Memory of the device that is not ours."""
        used = self.device.total_bytes - self.device.free_bytes
        return max(0, used - self.own_bytes)


def _resident_bytes(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
