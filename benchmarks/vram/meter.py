"""What is alive and what is held, phase by phase: the peaks are read and set back whenever the engine enters another phase."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from benchmarks.vram.archive import Peak


class Meter:
    """Peaks by phase. Make it before the device is touched; it does not touch the device itself.

    Args:
        read: Allocated and reserved bytes at most since the last reset.
        reset: Begin anew.
    """

    def __init__(self, read: Callable[[], tuple[int, int]], reset: Callable[[], None]) -> None:
        self._read, self._reset = read, reset
        self._phase = "start"
        self.peaks: dict[str, Peak] = {}

    def enter(self, phase: str) -> None:
        """Close the phase before; of one that comes again the larger peak counts."""
        allocated, reserved = self._read()
        before = self.peaks.get(self._phase, Peak(allocated_bytes=0, reserved_bytes=0))
        self.peaks[self._phase] = Peak(
            allocated_bytes=max(before.allocated_bytes, allocated), reserved_bytes=max(before.reserved_bytes, reserved)
        )
        self._phase = phase
        self._reset()

    @property
    def allocated_bytes(self) -> int:
        """At most, over all phases."""
        return max((peak.allocated_bytes for peak in self.peaks.values()), default=0)

    @property
    def reserved_bytes(self) -> int:
        """At most, over all phases."""
        return max((peak.reserved_bytes for peak in self.peaks.values()), default=0)


def cuda_meter() -> Meter:
    """Of torch's allocator; before CUDA is in use everything is 0."""
    import torch

    def read() -> tuple[int, int]:
        if not torch.cuda.is_initialized():
            return 0, 0
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()

    def reset() -> None:
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()

    return Meter(read, reset)


def resident_meter() -> Meter:
    """Of the process's resident memory: where the system lets its peak be set back, by phase; else the peak so far."""

    def read() -> tuple[int, int]:
        peak = peak_resident_bytes()
        return peak, peak

    return Meter(read, reset_peak_resident)


def peak_resident_bytes() -> int:
    """The most that was resident since the start, or since it was set back (Linux)."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next((line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")), "")
        if line:
            return int(line.split()[1]) * 1024
    from desktop_ft.core.device import DeviceFacts
    from desktop_ft.engine.device import peak_memory_bytes

    return peak_memory_bytes(DeviceFacts("cpu", "", 0, 0))


def reset_peak_resident() -> None:
    """Linux: writing 5 to clear_refs sets the peak to what is resident now (proc(5))."""
    if sys.platform == "linux":
        try:
            file = os.open("/proc/self/clear_refs", os.O_WRONLY)
        except OSError:
            return
        try:
            os.write(file, b"5")
        except OSError:
            return
        finally:
            os.close(file)


# --- watching the engine ------------------------------------------------------------------------------------------------------


@contextmanager
def watching(meter: Meter) -> Generator[None]:
    """Tell the meter when the engine enters a phase, and within a step its forward passes, backward passes and optimizer.

    Looks on at the event log, at ``Tensor.backward`` and at every optimizer's ``step``; nothing of the engine is replaced.
    """
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

    from desktop_ft.core.eventlog import EventWriter
    from desktop_ft.core.events import Event, PhaseChanged

    write, backward = EventWriter.write, torch.Tensor.backward

    @functools.wraps(write)
    def told(self: EventWriter, event: Event) -> Event:
        if isinstance(event, PhaseChanged):
            meter.enter("forward" if event.phase == "train" else event.phase)
        return write(self, event)

    @functools.wraps(backward)
    def measured(self: torch.Tensor, *settings: Any, **named: Any) -> None:  # noqa: ANN401 - torch's own signature
        meter.enter("backward")
        backward(self, *settings, **named)
        meter.enter("forward")

    hooks = [
        register_optimizer_step_pre_hook(lambda *_: meter.enter("optimizer")),
        register_optimizer_step_post_hook(lambda *_: meter.enter("forward")),
    ]
    cast("Any", EventWriter).write, cast("Any", torch.Tensor).backward = told, measured
    try:
        yield
    finally:
        cast("Any", EventWriter).write, cast("Any", torch.Tensor).backward = write, backward
        for hook in hooks:
            hook.remove()
        meter.enter("end")
