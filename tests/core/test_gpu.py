"""NVML through a scripted stand-in: every way in which a driver fails is a sentence or a None, never an exception."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Final

import pytest

from desktop_ft.core.gpu import RETRY_SECONDS, GpuReader, GpuReading, GpuState, cpu_device, environment_for, training_device

GIB: Final = 1 << 30
CODES: Final = {
    "UNINITIALIZED": 1,
    "NOT_SUPPORTED": 3,
    "NO_PERMISSION": 4,
    "DRIVER_NOT_LOADED": 9,
    "LIBRARY_NOT_FOUND": 12,
    "FUNCTION_NOT_FOUND": 13,
    "GPU_IS_LOST": 15,
    "RESET_REQUIRED": 16,
    "LIB_RM_VERSION_MISMATCH": 18,
    "UNKNOWN": 999,
}


class FakeError(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.value = CODES[name]


class MismatchError(Exception):
    pass


class FakeNvml(ModuleType):
    """Two healthy cards; ``fail`` maps a function's name to the error it raises (for card 1 only where the name ends in ``@1``)."""

    NVML_TEMPERATURE_GPU = 0

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.fail: dict[str, Exception] = {}
        self.num_gpus = 2
        self.num_inits = 0
        self.mig_modes = [0, 0]
        self.NVMLError = FakeError
        self.NVMLLibraryMismatchError = MismatchError
        for name, code in CODES.items():
            setattr(self, f"NVML_ERROR_{name}", code)

    def _do(self, name: str, handle: object, value: object) -> object:
        for key in (name, f"{name}@{handle}"):
            if key in self.fail:
                raise self.fail[key]
        return value

    def nvmlInit(self) -> None:  # noqa: N802 # NVML's name
        self.num_inits += 1
        self._do("nvmlInit", None, None)

    def __getattr__(self, name: str) -> Callable[..., object]:
        values: dict[str, Callable[[int], object]] = {
            "nvmlShutdown": lambda _: None,
            "nvmlDeviceGetCount": lambda _: self.num_gpus,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetMemoryInfo": lambda index: SimpleNamespace(total=24 * GIB, used=(4 - index) * GIB, free=(20 + index) * GIB),
            "nvmlDeviceGetUtilizationRates": lambda index: SimpleNamespace(gpu=37, memory=12),
            "nvmlDeviceGetTemperature": lambda index: 61,
            "nvmlDeviceGetPowerUsage": lambda index: 250_500,
            "nvmlDeviceGetCudaComputeCapability": lambda index: (8, 9) if index else (7, 5),
            "nvmlDeviceGetMigMode": lambda index: self.mig_modes,
            "nvmlDeviceGetUUID": lambda index: f"GPU-{index}".encode(),
            "nvmlDeviceGetName": lambda index: f"Card {index}",
            "nvmlDeviceGetComputeRunningProcesses": lambda index: [
                SimpleNamespace(pid=10, usedGpuMemory=2 * GIB),
                SimpleNamespace(pid=11, usedGpuMemory=None),
            ],
            "nvmlDeviceGetGraphicsRunningProcesses": lambda index: [SimpleNamespace(pid=10, usedGpuMemory=GIB)],
        }
        if name not in values:
            raise AttributeError(name)
        return lambda *arguments: self._do(name, arguments[0] if arguments else None, values[name](arguments[0] if arguments else 0))


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_two_cards_with_all_their_numbers(nvml: FakeNvml) -> None:
    reading = GpuReader().read()
    assert reading.problem is None
    first, second = reading.gpus
    assert (first.uuid, first.name, first.total_bytes, first.used_bytes) == ("GPU-0", "Card 0", 24 * GIB, 4 * GIB)
    assert (first.utilisation_percent, first.temperature_celsius, first.power_watts) == (37, 61, 250.5)
    assert first.processes == {10: 2 * GIB, 11: None}
    assert second.compute_capability == (8, 9)
    assert nvml.num_inits == 1


def test_the_freest_card_trains_and_is_named_by_its_uuid(nvml: FakeNvml) -> None:
    device = training_device(GpuReader().read())
    assert (device.kind, device.uuid, device.free_bytes, device.other_programs_bytes) == ("cuda", "GPU-1", 21 * GIB, 3 * GIB)
    assert device.supports_bf16
    assert environment_for(device) == {"CUDA_VISIBLE_DEVICES": "GPU-1"}


def test_a_chosen_card_trains_where_it_is_there(nvml: FakeNvml) -> None:
    assert training_device(GpuReader().read(), "GPU-0").uuid == "GPU-0"
    assert training_device(GpuReader().read(), "GPU-gone").uuid == "GPU-1"


def test_a_card_in_instances_is_left_out_with_a_sentence(nvml: FakeNvml) -> None:
    nvml.mig_modes = [1, 1]
    reading = GpuReader().read()
    assert reading.gpus == ()
    assert "GPU 0 is divided into instances (MIG)" in (reading.problem or "")
    assert training_device(reading).kind == "cpu"
    nvml.fail["nvmlDeviceGetMigMode"] = FakeError("NOT_SUPPORTED")
    assert len(GpuReader().read().gpus) == 2


def test_a_turing_card_has_no_bfloat16(nvml: FakeNvml) -> None:
    nvml.num_gpus = 1
    assert not training_device(GpuReader().read()).supports_bf16


@pytest.mark.parametrize(
    "error, words",
    [
        ("LIBRARY_NOT_FOUND", "no NVIDIA driver"),
        ("DRIVER_NOT_LOADED", "not running"),
        ("LIB_RM_VERSION_MISMATCH", "updated while it was in use"),
        ("FUNCTION_NOT_FOUND", "too old"),
        ("NO_PERMISSION", "refuses"),
        ("UNKNOWN", "reports: UNKNOWN"),
    ],
)
def test_a_driver_that_does_not_start_is_one_sentence(nvml: FakeNvml, error: str, words: str) -> None:
    nvml.fail["nvmlInit"] = FakeError(error)
    reading = GpuReader().read()
    assert reading.gpus == ()
    assert words in (reading.problem or "")
    assert training_device(reading).kind == "cpu"


def test_a_library_that_cannot_be_loaded_at_all(nvml: FakeNvml) -> None:
    nvml.fail["nvmlInit"] = OSError("wrong ELF class")
    assert "wrong ELF class" in (GpuReader().read().problem or "")


def test_after_a_failure_the_driver_is_asked_again_but_not_at_once(nvml: FakeNvml) -> None:
    now = 100.0
    reader = GpuReader(clock=lambda: now)
    nvml.fail["nvmlInit"] = FakeError("DRIVER_NOT_LOADED")
    assert reader.read().problem == reader.read().problem
    assert nvml.num_inits == 1
    nvml.fail.clear()
    now += RETRY_SECONDS
    assert len(reader.read().gpus) == 2
    assert nvml.num_inits == 2


def test_a_driver_that_goes_away_while_being_watched(nvml: FakeNvml) -> None:
    now = 0.0
    reader = GpuReader(clock=lambda: now)
    assert len(reader.read().gpus) == 2
    nvml.fail["nvmlDeviceGetCount"] = FakeError("UNINITIALIZED")
    assert reader.read().gpus == ()
    nvml.fail.clear()
    assert reader.read().gpus == ()
    now += RETRY_SECONDS
    assert len(reader.read().gpus) == 2


@pytest.mark.parametrize("name", ["nvmlDeviceGetMemoryInfo", "nvmlDeviceGetTemperature", "nvmlDeviceGetHandleByIndex"])
def test_a_lost_card_does_not_hide_the_other(nvml: FakeNvml, name: str) -> None:
    nvml.fail[f"{name}@1"] = FakeError("GPU_IS_LOST")
    reading = GpuReader().read()
    assert [gpu.index for gpu in reading.gpus] == [0]
    assert reading.problem == "GPU 1: The driver has lost contact with this GPU; restart the computer."


def test_fields_that_a_card_does_not_have_are_none(nvml: FakeNvml) -> None:
    for name in ("UtilizationRates", "Temperature", "PowerUsage", "CudaComputeCapability", "ComputeRunningProcesses"):
        nvml.fail[f"nvmlDeviceGet{name}"] = FakeError("NOT_SUPPORTED")
    nvml.fail["nvmlDeviceGetGraphicsRunningProcesses"] = MismatchError()
    reading = GpuReader().read()
    assert reading.problem is None
    gpu = reading.gpus[0]
    assert (gpu.utilisation_percent, gpu.temperature_celsius, gpu.power_watts, gpu.compute_capability, gpu.processes) == (None,) * 5


def test_a_chip_without_memory_of_its_own_has_the_main_memory(nvml: FakeNvml) -> None:
    nvml.fail["nvmlDeviceGetMemoryInfo"] = FakeError("NOT_SUPPORTED")
    assert GpuReader().read().gpus[0].total_bytes == cpu_device().total_bytes


def test_a_driver_without_cards(nvml: FakeNvml) -> None:
    nvml.num_gpus = 0
    assert "no NVIDIA GPU" in (GpuReader().read().problem or "")


def test_without_the_package_there_is_a_sentence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "not installed" in (GpuReader().read().problem or "")


def test_the_cpu_has_its_main_memory_and_hides_every_card() -> None:
    device = training_device(GpuReading(()))
    assert device.kind == "cpu"
    assert 0 < device.free_bytes <= device.total_bytes
    assert environment_for(device) == {"CUDA_VISIBLE_DEVICES": ""}


def test_of_equally_free_cards_the_first_is_taken() -> None:
    cards = tuple(GpuState(index, f"GPU-{index}", "Card", 8 * GIB, GIB, 7 * GIB) for index in range(2))
    assert training_device(GpuReading(cards)).uuid == "GPU-0"
