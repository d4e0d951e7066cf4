"""What a device lacks for a run: refused before the start with the reason, or replaced and told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError, Problem

BITSANDBYTES_DEVICES: Final = ("cuda", "rocm", "xpu", "cpu")
"""Where bitsandbytes 0.50 brings kernels along; its MPS backend loads them from the net."""
BITSANDBYTES_OPTIMIZERS: Final = ("adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit")
PAGED_DEVICES: Final = ("cuda", "rocm", "xpu")
"""Where memory can be shared with the host, to which paged states are moved when the device is full."""

OFFLOAD_DEVICES: Final = ("cuda", "rocm", "xpu")
"""With memory of their own beside the main memory."""


def device_problems(config: RunConfig, device: DeviceFacts) -> Iterator[Problem]:
    """Settings that this device cannot train with."""
    has_bitsandbytes = device.kind in BITSANDBYTES_DEVICES
    if config.method.kind == "qlora" and not has_bitsandbytes:
        why = f"qlora keeps the model in 4 bit with bitsandbytes, which has no kernels for {device.name}."
        yield Problem("method.kind", why, "Set it to lora.")
    if config.training.optim in BITSANDBYTES_OPTIMIZERS and not has_bitsandbytes:
        why = f"{config.training.optim} is bitsandbytes', which has no kernels for {device.name}."
        yield Problem("training.optim", why, "Set it to auto.")
    if config.training.offload_checkpoints and device.kind not in OFFLOAD_DEVICES:
        why = f"{device.name} has no memory of its own from which main memory could relieve it."
        yield Problem("training.offload_checkpoints", why, "Set it to false.")
    if device.kind == "cpu" and config.model.dtype == "float16":
        yield Problem("model.dtype", "a CPU does not train in float16.", "Set it to auto, float32 or bfloat16.")
    if config.method.weight_updates == "kahan" and config.method.kind == "full" and not _has_bf16(device):
        why = f"kahan needs bfloat16 weights, and {device.name} does not compute in bfloat16."
        yield Problem("method.weight_updates", why, "Set it to auto or float32.")


def device_notes(config: RunConfig, device: DeviceFacts) -> Iterator[str]:
    """What this device does another way, one sentence each."""
    if config.training.optim.startswith("paged_") and device.kind not in PAGED_DEVICES:
        plain = config.training.optim.removeprefix("paged_")
        yield f"{device.name} has no memory to page to: {config.training.optim} keeps its states like {plain}."
    if config.model.dtype == "bfloat16" and not _has_bf16(device):
        yield f"{device.name} computes bfloat16 only by emulation, many times slower; model.dtype: auto takes what it is fast in."
    if device.kind == "cpu" and config.method.kind == "qlora":
        yield "On a CPU 4-bit weights save memory and no time."


def check_device(config: RunConfig, device: DeviceFacts) -> None:
    """Refuse what this device cannot do.

    Raises:
        DesktopFtError: ``device_unsuitable``, with every reason.
    """
    problems = list(device_problems(config, device))
    if problems:
        raise DesktopFtError(
            "device_unsuitable",
            "This device cannot train with these settings",
            "\n".join(f"{problem.path}: {problem.message}" for problem in problems),
            "\n".join(f"{problem.path}: {problem.hint}" for problem in problems),
        )


def _has_bf16(device: DeviceFacts) -> bool:
    """A CPU computes bfloat16 in software at worst, which is what a test or a small model may want."""
    return device.supports_bf16 or device.kind == "cpu"
