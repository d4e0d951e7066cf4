"""What NVIDIA's driver says about the GPUs. The only room that imports pynvml; nothing here raises for what the driver does.

Three layers can be missing or broken: the library (no driver at all), the driver, and single fields that a card does not have.
Each is answered with a sentence or with None, and the reader starts anew a few seconds after a failure.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final, TypeVar, cast

from desktop_ft.core.device import DeviceFacts

RETRY_SECONDS: Final = 5.0
"""After a failure the driver is asked again at most this often; starting it can take a second."""
BF16_CAPABILITY: Final = (8, 0)
"""Compute capability from which a card has bfloat16 tensor cores (Ampere)."""

_MIG_ENABLED: Final = 1
_T = TypeVar("_T")


@dataclass(frozen=True)
class GpuState:
    """One card now.

    Attributes:
        index: The driver's number, in PCI order; not CUDA's unless CUDA_DEVICE_ORDER says so. Name cards by uuid.
        used_bytes: What all programs hold, the driver's own reserve included.
        compute_capability: Major and minor, None where the driver does not say.
        processes: Bytes by process id; None where the driver does not tell (Windows, other users).
    """

    index: int
    uuid: str
    name: str
    total_bytes: int
    used_bytes: int
    free_bytes: int
    utilisation_percent: int | None = None
    temperature_celsius: int | None = None
    power_watts: float | None = None
    compute_capability: tuple[int, int] | None = None
    processes: Mapping[int, int | None] | None = None


@dataclass(frozen=True)
class GpuReading:
    """All cards now, or why there are none.

    Attributes:
        problem: One sentence where something is wrong; None where all is well.
    """

    gpus: tuple[GpuState, ...]
    problem: str | None = None


class GpuReader:
    """Asks the driver; keep one and call `read` about once a second from a thread (a call can take tens of milliseconds).

    Args:
        clock: Seconds of a clock that only goes forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._nvml: ModuleType | None = None
        self._problem: str | None = None
        self._next_try = -math.inf

    def read(self) -> GpuReading:
        """The state of every card; never raises for a failure of the driver."""
        if self._nvml is None and self._clock() >= self._next_try:
            self._start()
        nvml = self._nvml
        if nvml is None:
            return GpuReading((), self._problem)
        try:
            return _read_all(nvml)
        except nvml.NVMLError as error:
            self.close()
            return self._failed(_sentence(nvml, error))

    def close(self) -> None:
        """Let the driver go; `read` starts it again."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            _optional(nvml, nvml.nvmlShutdown)

    def _start(self) -> None:
        try:
            import pynvml
        except ImportError:
            self._failed("The package that reads NVIDIA cards (nvidia-ml-py) is not installed.")
            return
        nvml = cast("ModuleType", pynvml)
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            self._failed(_sentence(nvml, error))
        except (OSError, AttributeError) as error:
            self._failed(f"NVIDIA's driver library can't be loaded: {error}.")
        else:
            self._nvml, self._problem = nvml, None

    def _failed(self, problem: str) -> GpuReading:
        self._problem = problem
        self._next_try = self._clock() + RETRY_SECONDS
        return GpuReading((), problem)


def _read_all(nvml: ModuleType) -> GpuReading:
    gpus: list[GpuState] = []
    lost: list[str] = []
    for index in range(int(nvml.nvmlDeviceGetCount())):
        try:
            if _is_divided(nvml, index):
                lost.append(_DIVIDED.format(index))
            else:
                gpus.append(_read_one(nvml, index))
        except nvml.NVMLError as error:
            if _code(error) == nvml.NVML_ERROR_UNINITIALIZED:
                raise
            lost.append(f"GPU {index}: {_sentence(nvml, error)}")
    if not gpus and not lost:
        return GpuReading((), "NVIDIA's driver is installed, but there is no NVIDIA GPU in this computer.")
    return GpuReading(tuple(gpus), " ".join(lost) or None)


_DIVIDED: Final = (
    "GPU {0} is divided into instances (MIG): their memory can't be told apart here, so it is left out. Turn MIG off to train on the "
    "whole card, or start the program with CUDA_VISIBLE_DEVICES set to one instance; then the engine uses that, unwatched."
)


def _is_divided(nvml: ModuleType, index: int) -> bool:
    """Whether a card is in MIG mode; most have none."""
    handle = cast("object", nvml.nvmlDeviceGetHandleByIndex(index))
    modes = _optional(nvml, lambda: cast("Sequence[int]", nvml.nvmlDeviceGetMigMode(handle)))
    return modes is not None and int(modes[0]) == _MIG_ENABLED


def _read_one(nvml: ModuleType, index: int) -> GpuState:
    handle = cast("object", nvml.nvmlDeviceGetHandleByIndex(index))
    total, used, free = _memory(nvml, handle)
    rates = _optional(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    milliwatts = _optional(nvml, lambda: int(nvml.nvmlDeviceGetPowerUsage(handle)))
    capability = _optional(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    return GpuState(
        index=index,
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        total_bytes=total,
        used_bytes=used,
        free_bytes=free,
        utilisation_percent=None if rates is None else int(rates.gpu),
        temperature_celsius=_optional(nvml, lambda: int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
        power_watts=None if milliwatts is None else milliwatts / 1000,
        compute_capability=None if capability is None else (int(capability[0]), int(capability[1])),
        processes=_processes(nvml, handle),
    )


def _memory(nvml: ModuleType, handle: object) -> tuple[int, int, int]:
    """Total, used and free bytes; a chip that shares the main memory has none of its own and says so."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError as error:
        if _code(error) != nvml.NVML_ERROR_NOT_SUPPORTED:
            raise
        device = cpu_device()
        return device.total_bytes, device.other_programs_bytes, device.free_bytes
    return int(memory.total), int(memory.used), int(memory.free)


def _processes(nvml: ModuleType, handle: object) -> Mapping[int, int | None] | None:
    """Compute and graphics processes together; one that is both counts with its larger number."""
    found: dict[int, int | None] = {}
    answered = False
    for ask in (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses):
        listed = _optional(nvml, lambda ask=ask: list(ask(handle)))
        answered = answered or listed is not None
        for process in listed or ():
            num_bytes = None if process.usedGpuMemory is None else int(process.usedGpuMemory)
            known = found.get(int(process.pid))
            found[int(process.pid)] = num_bytes if known is None else max(known, num_bytes or 0)
    return found if answered else None


def _optional(nvml: ModuleType, ask: Callable[[], _T]) -> _T | None:
    """The answer, or None where this card or this driver's version has none; a driver that went away is the caller's."""
    try:
        return ask()
    except nvml.NVMLLibraryMismatchError:
        return None
    except nvml.NVMLError as error:
        if _code(error) in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_UNINITIALIZED) and ask is not nvml.nvmlShutdown:
            raise
        return None


def _code(error: BaseException) -> int:
    value = cast("object", getattr(error, "value", 0))
    return value if isinstance(value, int) else 0


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _sentence(nvml: ModuleType, error: BaseException) -> str:
    sentences = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "There is no NVIDIA driver on this computer.",
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: "NVIDIA's driver is installed but not running; restart the computer.",
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "NVIDIA's driver was updated while it was in use; restart the computer.",
        nvml.NVML_ERROR_FUNCTION_NOT_FOUND: "NVIDIA's driver is too old to be asked; update it.",
        nvml.NVML_ERROR_GPU_IS_LOST: "The driver has lost contact with this GPU; restart the computer.",
        nvml.NVML_ERROR_RESET_REQUIRED: "This GPU needs a reset; restart the computer.",
        nvml.NVML_ERROR_NO_PERMISSION: "NVIDIA's driver refuses to answer this user.",
    }
    return sentences.get(_code(error), f"NVIDIA's driver reports: {error}.")


# --- what a run trains on --------------------------------------------------------------------------------------------


def training_device(reading: GpuReading, chosen: str = "") -> DeviceFacts:
    """What a run would train on; the CPU with its main memory where there is no card.

    Args:
        reading: All cards now.
        chosen: UUID of a card that is preferred where it is there; else the one with the most free memory.
    """
    if not reading.gpus:
        return cpu_device()
    preferred = next((gpu for gpu in reading.gpus if chosen and gpu.uuid == chosen), None)
    return gpu_device(preferred or max(reading.gpus, key=lambda gpu: (gpu.free_bytes, -gpu.index)))


def gpu_device(gpu: GpuState) -> DeviceFacts:
    """One card as a run's device."""
    return DeviceFacts(
        kind="cuda",
        name=gpu.name,
        total_bytes=gpu.total_bytes,
        free_bytes=gpu.free_bytes,
        other_programs_bytes=gpu.used_bytes,
        supports_bf16=(gpu.compute_capability or (0, 0)) >= BF16_CAPABILITY,
        uuid=gpu.uuid,
    )


def cpu_device() -> DeviceFacts:
    """The CPU with the main memory that programs can still get."""
    import psutil

    memory = psutil.virtual_memory()
    threads = psutil.cpu_count() or 1
    return DeviceFacts(
        kind="cpu",
        name=f"CPU, {threads} thread" + ("" if threads == 1 else "s"),
        total_bytes=int(memory.total),
        free_bytes=int(memory.available),
        other_programs_bytes=int(memory.total - memory.available),
        supports_bf16=False,
    )


def environment_for(device: DeviceFacts) -> dict[str, str]:
    """What the launcher adds to the child's environment, so that it sees this device and no other.

    By uuid, as CUDA and the driver number cards differently; a CPU run must not start CUDA at all.
    """
    if device.kind == "cuda" and device.uuid:
        return {"CUDA_VISIBLE_DEVICES": device.uuid}
    return {"CUDA_VISIBLE_DEVICES": ""} if device.kind == "cpu" else {}
