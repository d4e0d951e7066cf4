"""What this process holds of the device: by torch's allocator and by the driver, and what the driver counts beyond torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch

from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.gpu import GpuReader, GpuReading, GpuState
from desktop_ft.core.memory.terms import known_context_bytes
from desktop_ft.engine.device import peak_memory_bytes

LARGEST_CONTEXT_BYTES: Final = 4 << 30
"""A difference beyond this is another program's, or memory that a library took past torch."""


@dataclass(frozen=True)
class OwnMemory:
    """The process at its peak so far, bytes.

    Attributes:
        process: As the driver shows it; resident on a CPU.
        allocated: Of torch's tensors; None on a CPU.
        reserved: By torch for them; None on a CPU.
        context: What the driver counts beyond that; None on a CPU and where the driver does not say.
    """

    process: int
    allocated: int | None = None
    reserved: int | None = None
    context: int | None = None


class MemoryMeter:
    """Asks torch and the driver. Make it before the accelerator is started.

    Where the driver gives no memory by process (Windows; a container, whose process ids are not the driver's), what the card holds now is
    compared with what it held then.
    """

    def __init__(self) -> None:
        self._used_before = {gpu.uuid: gpu.used_bytes for gpu in _reading().gpus}

    def read(self, device: DeviceFacts) -> OwnMemory:
        """The peak so far on the device that this process computes on."""
        peak = peak_memory_bytes(device)
        if device.kind not in {"cuda", "rocm"}:
            return OwnMemory(peak)
        context = self._context(device)
        known = known_context_bytes(device) if context is None else context
        return OwnMemory(peak + known, torch.cuda.max_memory_allocated(), peak, context)

    def _context(self, device: DeviceFacts) -> int | None:
        torch.cuda.synchronize()
        gpu = next((gpu for gpu in _reading().gpus if gpu.uuid == device.uuid), None)
        if gpu is None:
            return None
        context = process_bytes(gpu, os.getpid(), self._used_before) - torch.cuda.memory_reserved()
        return context if 0 < context < LARGEST_CONTEXT_BYTES else None


def process_bytes(gpu: GpuState, pid: int, used_before: Mapping[str, int]) -> int:
    """What a process holds of a card: by its id, else by what the card holds more than before; 0 where neither is known."""
    told = (gpu.processes or {}).get(pid)
    if told is not None:
        return told
    return max(0, gpu.used_bytes - used_before[gpu.uuid]) if gpu.uuid in used_before else 0


def _reading() -> GpuReading:
    reader = GpuReader()
    try:
        return reader.read()
    finally:
        reader.close()
