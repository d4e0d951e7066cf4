"""What a device lacks is refused with the reason, or replaced and told."""

from __future__ import annotations

from typing import Final

import pytest

from desktop_ft.core.config import RunConfig, set_value, validate
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.device_check import check_device, device_notes, device_problems
from desktop_ft.core.errors import DesktopFtError

GIB: Final = 1 << 30
DEVICES: Final = {
    "H100": DeviceFacts("cuda", "NVIDIA H100", 80 * GIB, 79 * GIB, supports_bf16=True),
    "T4": DeviceFacts("cuda", "Tesla T4", 15 * GIB, 15 * GIB),
    "Arc": DeviceFacts("xpu", "Intel Arc", 16 * GIB, 15 * GIB, supports_bf16=True),
    "Apple": DeviceFacts("mps", "Apple M4", 24 * GIB, 20 * GIB),
    "CPU": DeviceFacts("cpu", "CPU, 2 threads", 24 * GIB, 22 * GIB),
}


def config(**changes: object) -> RunConfig:
    values: dict[str, object] = {"model": {"source": "x"}, "data": {"train": "x"}}
    for path, value in changes.items():
        values = set_value(values, path.replace("__", "."), value)
    return validate(values)


@pytest.mark.parametrize(
    "changes, refused_on",
    [
        ({}, {}),
        ({"method__kind": "qlora"}, {"Apple": "method.kind"}),
        ({"training__optim": "adamw_8bit"}, {"Apple": "training.optim"}),
        ({"model__dtype": "float16"}, {"CPU": "model.dtype"}),
        ({"method__kind": "full", "method__weight_updates": "kahan"}, {"T4": "method.weight_updates", "Apple": "method.weight_updates"}),
        ({"method__kind": "lora", "method__weight_updates": "kahan"}, {}),
    ],
)
def test_what_cannot_run_is_refused(changes: dict[str, object], refused_on: dict[str, str]) -> None:
    found = {name: problem.path for name, device in DEVICES.items() for problem in device_problems(config(**changes), device)}
    assert found == refused_on


def test_the_error_names_setting_reason_and_remedy() -> None:
    with pytest.raises(DesktopFtError) as caught:
        check_device(config(method__kind="qlora"), DEVICES["Apple"])
    assert caught.value.code == "device_unsuitable"
    assert "no kernels for Apple M4" in caught.value.message
    assert caught.value.hint == "method.kind: Set it to lora."
    check_device(config(method__kind="qlora"), DEVICES["CPU"])


@pytest.mark.parametrize(
    "changes, told_on",
    [
        ({"training__optim": "paged_adamw_8bit"}, ["Apple", "CPU"]),
        ({"model__dtype": "bfloat16"}, ["T4", "Apple"]),
        ({"method__kind": "qlora"}, ["CPU"]),
        ({}, []),
    ],
)
def test_what_is_done_another_way_is_told(changes: dict[str, object], told_on: list[str]) -> None:
    notes = {name: list(device_notes(config(**changes), device)) for name, device in DEVICES.items()}
    assert [name for name, told in notes.items() if told] == told_on
