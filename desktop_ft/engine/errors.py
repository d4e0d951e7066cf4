"""The one border where exceptions of torch, Hugging Face and the system become errors that a person can act on."""

from __future__ import annotations

import errno
import traceback
from dataclasses import dataclass
from typing import Final

from desktop_ft.core.config import RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import ErrorRaised, Phase
from desktop_ft.core.files import write_error
from desktop_ft.engine.device_errors import device_error, library_error
from desktop_ft.engine.memory_errors import out_of_memory

BUG_CODE: Final = "engine_bug"


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
    for translator in (out_of_memory, device_error, library_error, _weights, _hub, _system):
        found = translator(error, situation)
        if found is not None:
            return found
    return DesktopFtError(
        BUG_CODE,
        "Desktop FT ran into a bug",
        f"{type(error).__name__}: {str(error)[:600] or 'no message'}",
        "Copy the details into a report. Checkpoints that were saved are good; the run can be resumed.",
    )


# --- weights, the Hub, the system ----------------------------------------------------------------------------------------


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
