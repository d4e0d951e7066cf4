"""Importing everything once, so that each case starts by a fork; without starting CUDA, or no forked child could use the card."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, cast

from benchmarks.vram.child import Place
from benchmarks.vram.pool import fork

TRAINERS: Final = ("sft", "dpo", "orpo", "kto", "reward", "grpo", "rloo", "ppo")


def quieten() -> None:
    """Set what torch and its libraries read when they are imported."""
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # torch asks the driver's library instead of starting CUDA
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from desktop_ft.engine import quiet

    quiet.quieten()


def warm_up(place: Place, capability: tuple[int, int] | None) -> bool:
    """Import what every case needs, and see whether a forked child can use the device after that.

    Args:
        place: Where the trial writes.
        capability: The card's compute capability as the driver has it.
    """
    import torch

    torch.set_num_threads(1)  # GNU's OpenMP hangs in a forked child whose parent used its threads
    with _answering(capability):
        importlib.import_module("desktop_ft.engine.train")
        for name in TRAINERS:
            importlib.import_module(f"desktop_ft.engine.objectives.{name}")
    if place.device_kind != "cuda":
        return True
    log = place.folder / "trial.log"
    trial = fork(_use_device, log)
    while not trial.is_over():
        time.sleep(0.05)
    told = log.read_text(encoding="utf-8", errors="replace").strip()
    if told.endswith("works"):
        return True
    print(f"a forked child cannot use the card:\n{told[-800:]}", flush=True)
    return False


@contextmanager
def _answering(capability: tuple[int, int] | None) -> Generator[None]:
    """Tell the card's capability to whoever asks torch for it while being imported: bitsandbytes 0.50 does, and torch would start CUDA."""
    import torch

    cuda = cast("Any", torch.cuda)
    ask = cuda.get_device_capability
    if capability is not None:
        cuda.get_device_capability = lambda *_: capability
    try:
        yield
    finally:
        cuda.get_device_capability = ask


def _use_device() -> None:
    import torch

    assert float(torch.ones(8, device="cuda").sum()) == 8.0
    print("works", flush=True)
