"""What torch and its libraries can do here, as one line of JSON: ``python -m desktop_ft.engine.facts``.

A child of its own, since a broken CUDA can end the process that asks.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from importlib import metadata

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes", "triton")
PROBLEMS = (ImportError, OSError, RuntimeError, AttributeError, ValueError)
"""What a library raises that was built for something else."""


def main() -> int:
    """Print the facts."""
    answers, sys.stdout = sys.stdout, sys.stderr
    facts = {"libraries": {name: _version(name) for name in LIBRARIES}, "torch": _asked(_torch), "bitsandbytes": _asked(_bitsandbytes)}
    answers.write(json.dumps({**facts, "triton": _asked(_triton)}, allow_nan=False) + "\n")
    return 0


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _asked(ask: Callable[[], dict[str, object]]) -> dict[str, object]:
    try:
        return {"ok": True, **ask()}
    except PROBLEMS as error:
        return {"ok": False, "problem": f"{type(error).__name__}: {error}"}


def _torch() -> dict[str, object]:
    """The device that a run would use, and whether it gets a product right."""
    import torch

    from desktop_ft.engine.device import detect_device

    device = detect_device()
    ones = torch.ones(8, 8, device="cuda" if device.kind == "rocm" else device.kind)
    return {
        "cuda_build": torch.version.cuda,
        "rocm_build": torch.version.hip,
        "cuda_available": torch.cuda.is_available(),
        "device": device.name,
        "kind": device.kind,
        "supports_bf16": device.supports_bf16,
        "computes": float((ones @ ones).sum()) == 8.0**3,
    }


def _bitsandbytes() -> dict[str, object]:
    """Whether 4-bit weights can be computed with: on a GPU, or on the CPU."""
    import torch

    functional = importlib.import_module("bitsandbytes.functional")
    weights = torch.linspace(-1, 1, 64, device="cuda" if torch.cuda.is_available() else "cpu")
    packed, state = functional.quantize_4bit(weights, quant_type="nf4")
    error = (functional.dequantize_4bit(packed, state) - weights).abs().max()
    return {"largest_error": round(float(error), 4)}


def _triton() -> dict[str, object]:
    importlib.import_module("triton")
    return {}


if __name__ == "__main__":
    sys.exit(main())
