"""What a device, its driver and the libraries that compute on it raise, in words: torch 2.13, bitsandbytes 0.50, Triton."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.engine.errors import Situation

_LOST: Final = (
    "busy or unavailable",
    "no CUDA-capable device is detected",
    "uncorrectable ECC error",
    "unknown error",
    "the launch timed out and was terminated",
    "device is lost",
    "GPU is lost",
    "No CUDA GPUs are available",
    "No HIP GPUs are available",
)
_TOO_OLD: Final = (
    "driver version is insufficient",
    "driver on your system is too old",
    "the provided PTX was compiled with an unsupported toolchain",
)
_NOT_BUILT_FOR: Final = ("no kernel image is available for execution on the device", "Torch not compiled with")
_BITSANDBYTES: Final = (
    "bitsandbytes native library",
    "bitsandbytes library",
    "CPU-only version of bitsandbytes",
    "SETUP ERROR: Missing dependency",
)
_TRITON: Final = ("working triton installation", "No module named 'triton'", "too old to be supported by the triton")


def device_error(error: BaseException, situation: Situation) -> DesktopFtError | None:
    """The error of a device that is gone, does not fit the libraries, or reported a fault; None where it is something else."""
    import torch

    text = str(error)
    if not isinstance(error, RuntimeError | AssertionError):
        return None
    if _says(text, _TOO_OLD):
        return DesktopFtError(
            "driver_too_old",
            "The GPU's driver does not fit this version of PyTorch",
            f"PyTorch {torch.__version__} was built for {_built_for()}; the driver says: {_first_line(text)}",
            "Update the driver of the graphics card, then restart the computer. What the program found is shown by: desktop-ft doctor",
        )
    if _says(text, _NOT_BUILT_FOR):
        return DesktopFtError(
            "gpu_not_supported",
            "This version of PyTorch does not know this GPU",
            f"PyTorch {torch.__version__} was built for {_built_for()}: {_first_line(text)}",
            "Install the PyTorch build for your card (desktop-ft doctor says which is there), or train on the CPU.",
        )
    is_fault = isinstance(error, torch.AcceleratorError)
    if _says(text, _LOST) and (is_fault or "GPUs are available" in text or "CUDA error" in text):
        return DesktopFtError(
            "gpu_lost",
            "The GPU is gone",
            f"It no longer answers: {_first_line(text)}",
            "Restart the computer (a driver update while it runs does this too), then resume: the run goes on from the last checkpoint. "
            "If it comes back, check the card's power, temperature and memory.",
        )
    return _fault(text) if is_fault else None


def _fault(text: str) -> DesktopFtError:
    if "device-side assert" in text:
        return DesktopFtError(
            "gpu_assert",
            "A computation on the GPU was refused",
            f"{_first_line(text)} Mostly a token's number lies outside the model's vocabulary.",
            "Check that the model's tokenizer belongs to it (same folder, nothing added by hand), then start again.",
        )
    return DesktopFtError(
        "gpu_fault",
        "The GPU reported a fault",
        _first_line(text),
        "Resume the run: it goes on from the last checkpoint. If it happens again, restart the computer and update the driver.",
    )


def library_error(error: BaseException, situation: Situation) -> DesktopFtError | None:
    """The error of bitsandbytes or Triton missing or broken; None where it is something else."""
    text = str(error)
    if isinstance(error, RuntimeError | ImportError | OSError) and (_says(text, _BITSANDBYTES) or _is_missing(error, "bitsandbytes")):
        return DesktopFtError(
            "bitsandbytes_broken",
            "bitsandbytes does not work here",
            f"It is needed for qlora and for the 8-bit optimizers, and says: {_telling_line(text)}",
            "Install bitsandbytes again for this PyTorch and driver (desktop-ft doctor shows the versions), or use method.kind: lora "
            "and training.optim: auto.",
        )
    if _says(text, _TRITON) or _is_missing(error, "triton"):
        return DesktopFtError(
            "triton_missing",
            "Triton does not work here",
            f"A faster kernel needs it: {_first_line(text)}",
            "Set training.kernels to none, which needs no Triton, or install the Triton that belongs to this PyTorch.",
        )
    return None


def _is_missing(error: BaseException, module: str) -> bool:
    return (isinstance(error, ImportError) and (error.name or "").partition(".")[0] == module) or f"requires {module}:" in str(error)


def _says(text: str, phrases: Sequence[str]) -> bool:
    return any(phrase in text for phrase in phrases)


def _first_line(text: str) -> str:
    return _lines(text)[0][:400]


def _telling_line(text: str) -> str:
    """The original error where bitsandbytes names it among its advice, else the first line."""
    lines = _lines(text)
    return next((line.removeprefix("Original error: ") for line in lines if line.startswith("Original error: ")), lines[0])[:400]


def _lines(text: str) -> list[str]:
    return [line.strip(" 🚨") for line in text.splitlines() if line.strip(" 🚨")] or ["no message"]


def _built_for() -> str:
    import torch

    if torch.version.hip:
        return f"ROCm {torch.version.hip}"
    return f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone"
