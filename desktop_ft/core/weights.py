"""What a folder of safetensors holds, from the files' headers alone: how many numbers, in which format."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from desktop_ft.core.errors import DesktopFtError

WeightDtype = Literal["bfloat16", "float16", "float32"]
DTYPE_BYTES: Final = {"bfloat16": 2, "float16": 2, "float32": 4}
_NAMES: Final[dict[str, WeightDtype]] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float32"}
_MAX_HEADER_BYTES: Final = 100_000_000


@dataclass(frozen=True)
class StoredWeights:
    """The weights of one folder.

    Attributes:
        num_parameters: Numbers in all floating point tensors; a tied matrix counts as often as it is stored.
        dtype: The format of most of them; float32 where nothing else is known.
        num_bytes: Bytes of the weight files.
    """

    num_parameters: int
    dtype: WeightDtype
    num_bytes: int


def stored_weights(folder: Path) -> StoredWeights:
    """Read the headers of every ``*.safetensors`` in the folder.

    Raises:
        DesktopFtError: ``model_no_weights`` or ``model_unreadable``.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise DesktopFtError(
            "model_no_weights", "There are no weights here", f"{folder} has no safetensors file.", "Pick another copy of the model."
        )
    counts: Counter[str] = Counter()
    for path in files:
        for name, size in _tensors(path):
            counts[name] += size
    floats = {name: size for name, size in counts.items() if name in _NAMES}
    most = max(floats, key=lambda name: floats[name], default="F32")
    return StoredWeights(sum(floats.values()), _NAMES[most], sum(path.stat().st_size for path in files))


def _tensors(path: Path) -> Iterator[tuple[str, int]]:
    """Format and size in numbers of each tensor."""
    for name, entry in _header(path).items():
        if name == "__metadata__" or not isinstance(entry, dict):
            continue
        fields = cast("dict[str, object]", entry)
        yield str(fields.get("dtype")), math.prod(cast("list[int]", fields.get("shape", [])))


def _header(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            (length,) = cast("tuple[int]", struct.unpack("<Q", file.read(8)))
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"its header claims {length} bytes")
            value = cast("object", json.loads(file.read(length)))
    except (OSError, ValueError, struct.error) as error:
        raise DesktopFtError(
            "model_unreadable", "A weight file can't be read", f"{path.name}: {error}.", "Download the model again, or pick another copy of it."
        ) from error
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
