"""What a run trains on, as plain facts; who asks the hardware is elsewhere (NVML in the window, torch in the engine)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DeviceKind = Literal["cuda", "rocm", "xpu", "mps", "cpu"]


@dataclass(frozen=True)
class DeviceFacts:
    """One device.

    Attributes:
        kind: What accelerate calls it; ``cpu`` where there is no accelerator.
        name: As its maker names it.
        total_bytes: Its memory; main memory for a CPU.
        free_bytes: What is free for this run now, before it starts.
        other_programs_bytes: What others hold now.
        supports_bf16: Whether it computes in bfloat16 at full speed.
        uuid: NVML's UUID, empty where there is none.
    """

    kind: DeviceKind
    name: str
    total_bytes: int
    free_bytes: int
    other_programs_bytes: int = 0
    supports_bf16: bool = False
    uuid: str = ""
