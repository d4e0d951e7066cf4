"""What this child computes on, asked of torch, and which number formats that allows."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Final

import psutil
import torch

from desktop_ft.core.config.methods import WeightUpdates
from desktop_ft.core.config.schema import DtypeName
from desktop_ft.core.device import DeviceFacts

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """How numbers are kept and computed.

    Attributes:
        weights: Format of the base model's weights.
        bf16: Compute under bfloat16 autocast.
        fp16: Compute under float16 autocast with loss scaling.
    """

    weights: torch.dtype
    bf16: bool
    fp16: bool


def detect_device() -> DeviceFacts:
    """The first accelerator, else the CPU. Initialises the accelerator."""
    if torch.cuda.is_available():
        return _cuda()
    if torch.backends.mps.is_available():
        free = psutil.virtual_memory().available
        return DeviceFacts("mps", f"Apple {platform.processor() or 'GPU'}", torch.mps.recommended_max_memory(), free)
    if torch.xpu.is_available():
        properties = torch.xpu.get_device_properties(0)
        free, total = torch.xpu.mem_get_info(0)
        return DeviceFacts("xpu", str(properties.name), total, free, max(0, total - free), supports_bf16=torch.xpu.is_bf16_supported())
    memory = psutil.virtual_memory()
    num_threads = torch.get_num_threads()
    name = f"CPU, {num_threads} thread{'' if num_threads == 1 else 's'}"
    return DeviceFacts("cpu", name, memory.total, memory.available, memory.total - memory.available)


def _cuda() -> DeviceFacts:
    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info(0)
    return DeviceFacts(
        kind="rocm" if torch.version.hip else "cuda",
        name=str(properties.name),
        total_bytes=total,
        free_bytes=free,
        other_programs_bytes=max(0, total - free),
        supports_bf16=torch.cuda.is_bf16_supported(including_emulation=False),
        uuid=f"GPU-{properties.uuid}" if hasattr(properties, "uuid") else "",
    )


def precision_of(dtype: DtypeName, device: DeviceFacts, *, updates: WeightUpdates | None = None) -> Precision:
    """Weights and autocast for a resolved dtype, as TRL has it: autocast on every accelerator, never on a CPU unless asked.

    Args:
        dtype: Wanted format of the weights; ``auto`` is resolved before.
        device: What computes.
        updates: How full fine-tuning keeps small updates (`desktop_ft.core.config.methods.weight_updates`); None: the weights are frozen.
            With ``float32`` they are kept in float32 and computed with in ``dtype``; float16 weights cannot be trained under loss
            scaling, so they are as well.
    """
    assert dtype != "auto", "resolve the configuration first"
    weights = DTYPES[dtype]
    has_autocast = device.kind not in {"cpu", "mps"}
    fp16 = dtype == "float16" or (has_autocast and not device.supports_bf16)
    bf16 = not fp16 and (dtype == "bfloat16" or has_autocast)
    if updates == "float32" or (updates is not None and weights == torch.float16):
        weights = torch.float32
    return Precision(weights, bf16=bf16, fp16=fp16)


def peak_memory_bytes(device: DeviceFacts) -> int:
    """Peak memory of this process so far: reserved by torch on a GPU, resident on a CPU."""
    if device.kind in {"cuda", "rocm"}:
        return torch.cuda.max_memory_reserved()
    if device.kind == "xpu":
        return torch.xpu.max_memory_reserved()
    if device.kind == "mps":
        return torch.mps.driver_allocated_memory()
    return _peak_resident_bytes()


def _peak_resident_bytes() -> int:
    if os.name == "posix":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if platform.system() == "Darwin" else peak * 1024
    info = psutil.Process().memory_info()
    return int(getattr(info, "peak_wset", info.rss))
