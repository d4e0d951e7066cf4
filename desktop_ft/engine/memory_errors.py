"""A full memory in words: what was needed, what was free, when, and the cheapest change. Torch 2.13's own texts hold the numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from desktop_ft.core.config import RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.retry import smaller_micro_batch

if TYPE_CHECKING:
    from desktop_ft.engine.errors import Situation

_GIB: Final = 1 << 30
_SIZE: Final = r"([\d.]+ (?:bytes|[KMG]iB))"
_UNITS: Final = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def out_of_memory(error: BaseException, situation: Situation) -> DesktopFtError | None:
    """The error of a full memory, the device's or the computer's; None where it is something else."""
    import torch

    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and _is_device_full(text)):
        return _full("The GPU's memory is full", _device_numbers(text), situation)
    # torch's CPU allocator raises a bare RuntimeError (c10/core/impl/alloc_cpu.cpp).
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in text):
        return _full("The computer's memory is full", _computer_numbers(text), situation)
    return None


def _is_device_full(text: str) -> bool:
    """Libraries below torch's allocator, and Apple's, say it in their own words."""
    return "MPS backend out of memory" in text or "CUDA error: out of memory" in text or "_STATUS_ALLOC_FAILED" in text


def _device_numbers(text: str) -> str:
    needed, free, total = _size(r"Tried to allocate", text), _size(r"of which", text), _size(r"has a total capacity of", text)
    own = _size(r"this process has", text)
    if "MPS backend" in text:
        total, own = _size(r"max allowed:", text), _size(r"MPS allocated:", text) or 0
        free = None if total is None else max(0, total - own - (_size(r"other allocations:", text) or 0))
    asked = f"needed {_words(needed)} more" if needed is not None else "needed more than there was"
    if free is None or total is None:
        return f"{asked}."
    others = max(0, total - free - (own if own is not None else total - free))
    also = f" This run holds {_words(own)}, other programs {_words(others)}." if own is not None else ""
    return f"{asked}; {_words(free)} of {_words(total)} were free.{also}"


def _computer_numbers(text: str) -> str:
    import psutil

    needed = re.search(r"allocate (\d+) bytes", text)
    asked = f"needed {_words(int(needed[1]))} more" if needed else "needed more than there was"
    memory = psutil.virtual_memory()
    return f"{asked}; {_words(memory.available)} of {_words(memory.total)} are free."


def _size(before: str, text: str) -> int | None:
    found = re.search(rf"{before} {_SIZE}", text)
    if found is None:
        return None
    number, unit = found[1].split(" ")
    return round(float(number) * _UNITS[unit])


def _words(num_bytes: int) -> str:
    return f"{num_bytes / _GIB:.2f} GiB" if num_bytes >= _GIB // 100 else f"{num_bytes / (1 << 20):.1f} MiB"


def _full(title: str, numbers: str, situation: Situation) -> DesktopFtError:
    what = {
        "load": "Loading the model",
        "tokenize": "Reading the data",
        "evaluate": f"An evaluation after step {situation.step}",
        "generate": "Answering the sample prompts",
        "save": "Saving",
        "export": "Exporting",
        "train": f"Training step {situation.step + 1}",
    }[situation.phase]
    return DesktopFtError("out_of_memory", title, f"{what} {numbers}", _what_to_change(situation))


def _what_to_change(situation: Situation) -> str:
    config = situation.config
    if config is None:
        return "Close other programs, or pick a smaller model."
    ways = [*_on_resume(situation.phase in {"train", "evaluate"}, config), *_in_a_new_run(config)]
    return f"In this order: {'; '.join(ways)}. Or close other programs and resume."


def _on_resume(helps: bool, config: RunConfig) -> list[str]:
    micro = config.training.micro_batch_size
    smaller = smaller_micro_batch(config, micro // 2) if isinstance(micro, int) and helps else None
    if smaller is None:
        return []
    return [f"resume with training.micro_batch_size {smaller} instead of {micro} (desktop-ft resume RUN_DIR --halve-micro-batch)"]


def _in_a_new_run(config: RunConfig) -> list[str]:
    ways: list[str] = []
    if config.training.activation_checkpointing is not True:
        ways.append("set training.activation_checkpointing to true")
    if config.data.max_length > 256:
        ways.append(f"lower data.max_length from {config.data.max_length} to {config.data.max_length // 2}")
    if config.method.kind == "full":
        ways.append("set method.kind to lora")
    elif config.method.kind == "lora":
        ways.append("set method.kind to qlora")
    ways.append("pick a smaller model")
    return [f"start a new run: {ways[0]}", *ways[1:]]
