"""The machine that is measured on: its card as the driver sees it, the libraries, and the bytes of each process. Touches no CUDA."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Final

import psutil

from benchmarks.vram.archive import Device
from desktop_ft.core.gpu import GpuReader, GpuState

LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "triton", "torch-optimi", "liger-kernel")
ALLOCATOR_VARIABLES: Final = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


def versions() -> dict[str, str]:
    """Of Python, of this program and of every library that a peak depends on."""
    found = {"python": platform.python_version(), "desktop-ft": _version("desktop-ft") or "source"}
    return found | {name: version for name in LIBRARIES if (version := _version(name))}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def allocator() -> str:
    """Settings of torch's allocator in this environment; empty: its defaults."""
    return next((os.environ[name] for name in ALLOCATOR_VARIABLES if os.environ.get(name)), "")


@dataclass(frozen=True)
class Use:
    """What a card holds now, in bytes: all of it, and by process where the driver tells."""

    used_bytes: int
    free_bytes: int
    by_process: Mapping[int, int]


class Card:
    """The first visible NVIDIA card, watched through the driver; or this computer's main memory where there is none."""

    def __init__(self) -> None:
        self._reader = GpuReader()
        self._uuid = ""
        state = self._state()
        self._uuid = state.uuid if state else ""
        self.device = _card(state) if state else _computer()

    @property
    def is_cuda(self) -> bool:
        """Whether there is a card."""
        return self.device.kind == "cuda"

    def use(self) -> Use:
        """What is held now."""
        state = self._state()
        if state is None:
            memory = psutil.virtual_memory()
            return Use(memory.total - memory.available, memory.available, {})
        by_process = {pid: num_bytes for pid, num_bytes in (state.processes or {}).items() if num_bytes is not None}
        return Use(state.used_bytes, state.free_bytes, by_process)

    def close(self) -> None:
        """Let the driver go."""
        self._reader.close()

    def _state(self) -> GpuState | None:
        gpus = self._reader.read().gpus
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        for gpu in gpus:
            if self._uuid and gpu.uuid == self._uuid:
                return gpu
        named = next((gpu for gpu in gpus if visible.startswith("GPU-") and gpu.uuid.startswith(visible)), None)
        return named or (gpus[0] if gpus else None)


def _card(state: GpuState) -> Device:
    capability = state.compute_capability
    return Device(
        kind="cuda",
        name=state.name,
        total_bytes=state.total_bytes,
        supports_bf16=capability is not None and capability >= (8, 0),
        driver=driver_version(),
        compute_capability=capability,
        platform=sys.platform,
    )


def _computer() -> Device:
    return Device(kind="cpu", name="CPU, 1 thread", total_bytes=psutil.virtual_memory().total, platform=sys.platform)


def driver_version() -> str | None:
    """NVIDIA's driver; None where it does not say."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None
