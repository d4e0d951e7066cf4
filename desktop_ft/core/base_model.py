"""Is the base model still the one that a run was trained on? Fingerprints of its config and weights, cheap enough for every start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from desktop_ft.core.model_files import weight_files
from desktop_ft.core.runs import RunDir, sha256_of

MODEL_CONFIG: Final = "model_config"
MODEL_WEIGHTS: Final = "model_weights"
Hashes = Mapping[str, str | None]
_NUM_BLOCKS: Final = 64
_BLOCK_BYTES: Final = 64 << 10


def base_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of config.json, and of the weights' sizes, headers and evenly spread blocks (4 MiB a file, not all of it).

    Raises:
        DesktopFtError: As `weight_files`.
    """
    return {MODEL_CONFIG: sha256_of(folder / "config.json"), MODEL_WEIGHTS: _weights_hash(weight_files(folder))}


def _weights_hash(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}\n".encode())
        with path.open("rb") as file:
            for index in range(_NUM_BLOCKS):
                file.seek(index * max(0, size - _BLOCK_BYTES) // (_NUM_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


def recorded_hashes(run: RunDir) -> Hashes:
    """What the run started with: data, tokenizer, chat template, base; empty where nothing was written."""
    try:
        value = cast("object", json.loads(run.environment_file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
    hashes = cast("dict[str, object]", value).get("hashes") if isinstance(value, dict) else None
    return cast("Hashes", hashes) if isinstance(hashes, dict) else {}
