"""The one border where exceptions of torch, Hugging Face and the system become errors that a person can act on."""

from __future__ import annotations

import errno
import re
import traceback
from dataclasses import dataclass
from typing import Final

from desktop_ft.core.config import RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import ErrorRaised, Phase
from desktop_ft.core.files import write_error

BUG_CODE: Final = "engine_bug"
_GIB: Final = 1 << 30


@dataclass
class Situation:
    """What the engine was doing; filled in as it gets on.

    Attributes:
        phase: Of the run.
        step: Optimizer steps done.
        config: Resolved, where it got so far.
    """

    phase: Phase = "load"
    step: int = 0
    config: RunConfig | None = None


def error_event(error: BaseException, situation: Situation) -> ErrorRaised:
    """The event for whatever ended the run."""
    shown = translate(error, situation)
    return ErrorRaised(
        code=shown.code,
        title=shown.title,
        message=shown.message,
        hint=shown.hint,
        traceback="".join(traceback.format_exception(error)),
    )


def translate(error: BaseException, situation: Situation) -> DesktopFtError:
    """An error of ours as it is; a library's in a person's words; anything else as our bug."""
    if isinstance(error, DesktopFtError):
        return error
    for translator in (_memory, _device, _weights, _hub, _system):
        found = translator(error, situation)
        if found is not None:
            return found
    return DesktopFtError(
        BUG_CODE,
        "Desktop FT ran into a bug",
        f"{type(error).__name__}: {str(error)[:600] or 'no message'}",
        "Copy the details into a report. Checkpoints that were saved are good; the run can be resumed.",
    )


# --- memory ------------------------------------------------------------------------------------------------------------


def _memory(error: BaseException, situation: Situation) -> DesktopFtError | None:
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return _out_of_memory("The GPU's memory is full", _gpu_numbers(error), situation)
    # torch's CPU allocator raises a bare RuntimeError (c10/core/impl/alloc_cpu.cpp).
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)):
        return _out_of_memory("The computer's memory is full", _cpu_numbers(error), situation)
    return None


def _gpu_numbers(error: BaseException) -> str:
    import torch

    needed = re.search(r"Tried to allocate ([\d.]+ [KMG]iB)", str(error))
    asked = f"needed {needed[1]} more" if needed else "needed more than there was"
    if not torch.cuda.is_available():
        return f"Training {asked}."
    free, total = torch.cuda.mem_get_info()
    own = torch.cuda.memory_reserved()
    others = max(0, total - free - own)
    return (
        f"Training {asked}; {free / _GIB:.1f} of {total / _GIB:.1f} GiB are free, "
        f"this run holds {own / _GIB:.1f} GiB and other programs {others / _GIB:.1f} GiB."
    )


def _cpu_numbers(error: BaseException) -> str:
    import psutil

    needed = re.search(r"allocate (\d+) bytes", str(error))
    asked = f"needed {int(needed[1]) / _GIB:.1f} GiB more" if needed else "needed more than there was"
    memory = psutil.virtual_memory()
    return f"Training {asked}; {memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB are free."


def _out_of_memory(title: str, numbers: str, situation: Situation) -> DesktopFtError:
    when = {"load": " It happened while the model was loaded.", "evaluate": " It happened in an evaluation."}.get(situation.phase, "")
    return DesktopFtError("out_of_memory", title, numbers + when, _what_to_change(situation.config))


def _what_to_change(config: RunConfig | None) -> str:
    if config is None:
        return "Close other programs, or pick a smaller model."
    training, micro = config.training, config.training.micro_batch_size
    ways: list[str] = []
    if isinstance(micro, int) and micro > 1:
        ways.append(f"set training.micro_batch_size to {micro // 2}")
    if training.activation_checkpointing is not True:
        ways.append("set training.activation_checkpointing to true")
    if config.data.max_length > 256:
        ways.append(f"lower data.max_length from {config.data.max_length} to {config.data.max_length // 2}")
    if config.method.kind == "full":
        ways.append("set method.kind to lora")
    ways.append("pick a smaller model")
    return f"In this order: {'; '.join(ways)}. Or close other programs. Then resume."


# --- the device, weights, the Hub, the system ----------------------------------------------------------------------------


def _device(error: BaseException, situation: Situation) -> DesktopFtError | None:
    import torch

    if not isinstance(error, torch.AcceleratorError):
        return None
    return DesktopFtError(
        "gpu_fault",
        "The GPU reported a fault",
        str(error).splitlines()[0][:400],
        "Resume the run: it goes on from the last checkpoint. If it happens again, restart the computer and update the driver.",
    )


def _weights(error: BaseException, situation: Situation) -> DesktopFtError | None:
    from safetensors import SafetensorError

    if not isinstance(error, SafetensorError):
        return None
    return DesktopFtError(
        "weights_unreadable",
        "A weights file can't be read",
        f"safetensors says: {str(error)[:400]}.",
        "The file is probably cut short. Download the model again.",
    )


def _hub(error: BaseException, situation: Situation) -> DesktopFtError | None:
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    if not isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
        return None
    return DesktopFtError(
        "model_missing",
        "A file of the model is not on this machine",
        f"The program works offline unless you ask for the Hub: {str(error)[:300]}",
        "Download the model first, or pick a folder.",
    )


def _system(error: BaseException, situation: Situation) -> DesktopFtError | None:
    if not isinstance(error, OSError):
        return None
    name = error.filename if isinstance(error.filename, str) else ""
    if error.errno == errno.ENOENT:
        return DesktopFtError(
            "file_missing", "A file is missing", f"There is no file {name}.", "Put it back, or choose another in the run's settings."
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return DesktopFtError(
            "file_not_allowed",
            "A file may not be used",
            f"The system refused access to {name}.",
            "Change the file's permissions, or choose another.",
        )
    if error.errno is not None:
        from pathlib import Path

        return write_error(Path(name or "the run's folder"), error)
    if situation.phase == "load":  # transformers raises OSError without a number for folders that it cannot make sense of
        return DesktopFtError(
            "model_unreadable",
            "The model can't be loaded",
            str(error)[:400],
            "Check that the folder is complete, or download the model again.",
        )
    return None
