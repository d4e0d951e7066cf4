"""environment.json: what the run was made with, and whether it is still the same when it goes on."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Final

from desktop_ft import __version__
from desktop_ft.core.base_model import Hashes, recorded_hashes
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_json
from desktop_ft.core.runs import RunDir

ENVIRONMENT_VERSION: Final = 1
_LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "safetensors")


def describe(device: DeviceFacts, model_path: str, hashes: Hashes) -> dict[str, object]:
    """The content of environment.json."""
    return {
        "v": ENVIRONMENT_VERSION,
        "desktop_ft": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "device": {
            "kind": device.kind,
            "name": device.name,
            "total_bytes": device.total_bytes,
            "supports_bf16": device.supports_bf16,
            "uuid": device.uuid,
        },
        "model_path": model_path,
        "hashes": dict(hashes),
    }


def record(run: RunDir, device: DeviceFacts, model_path: str, hashes: Hashes) -> None:
    """Write environment.json."""
    write_json(run.environment_file, describe(device, model_path, hashes))


def check_unchanged(run: RunDir, hashes: Hashes) -> None:
    """Refuse to go on with other data, another base model or another tokenizer than the run started with.

    Raises:
        DesktopFtError: ``data_changed``, ``base_changed`` or ``tokenizer_changed``.
    """
    before = recorded_hashes(run)
    changed = [name for name, value in hashes.items() if name in before and before[name] != value]
    data = [name for name in changed if name.startswith("data")]
    if data:
        raise DesktopFtError(
            "data_changed",
            "The data changed since this run started",
            f"The {'evaluation' if data == ['data_eval'] else 'training'} examples are not those of the first steps: "
            f"{str(before[data[0]])[:12]} then, {str(hashes[data[0]])[:12]} now.",
            "Put the file back as it was to resume, or start a new run on the new file.",
        )
    if changed[:1] in (["model_config"], ["model_weights"]):
        raise DesktopFtError(
            "base_changed",
            "The base model changed since this run started",
            f"The hash of its {changed[0].removeprefix('model_')} was {str(before[changed[0]])[:12]} "
            f"and is {str(hashes[changed[0]])[:12]} now.",
            "Put the model's folder back as it was to resume, or start a new run.",
        )
    if changed:
        what = "chat template" if changed == ["chat_template"] else "tokenizer"
        raise DesktopFtError(
            "tokenizer_changed",
            f"The model's {what} changed since this run started",
            f"Its hash was {str(before[changed[0]])[:12]} and is {str(hashes[changed[0]])[:12]} now.",
            "Put the model's folder back as it was to resume, or start a new run.",
        )
