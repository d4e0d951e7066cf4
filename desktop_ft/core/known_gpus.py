"""Cards by name, for an estimate of a machine that is not this one. Memory is what the driver reports, MiB."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Final

from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError

KNOWN_GPUS: Final[Mapping[str, int]] = {
    "GeForce RTX 2060": 6144, "GeForce RTX 2080 Ti": 11264,
    "GeForce RTX 3060": 12288, "GeForce RTX 3060 Ti": 8192, "GeForce RTX 3070": 8192, "GeForce RTX 3080": 10240, "GeForce RTX 3090": 24576,
    "GeForce RTX 4060": 8188, "GeForce RTX 4060 Ti 16 GB": 16380, "GeForce RTX 4070": 12282, "GeForce RTX 4080": 16376,
    "GeForce RTX 4090": 24564,
    "GeForce RTX 5060 Ti 16 GB": 16311, "GeForce RTX 5070": 12227, "GeForce RTX 5070 Ti": 16303, "GeForce RTX 5080": 16303,
    "GeForce RTX 5090": 32607,
    "RTX A4000": 16376, "RTX A5000": 24564, "RTX A6000": 49140, "RTX 6000 Ada": 49140, "RTX PRO 6000 Blackwell": 97887,
    "Tesla T4": 15360, "Tesla V100 16 GB": 16384, "Tesla V100 32 GB": 32768,
    "A10": 23028, "L4": 23034, "L40S": 46068, "A100 40 GB": 40960, "A100 80 GB": 81920, "H100": 81559, "H200": 143771,
}  # fmt: skip
_WITHOUT_BF16: Final = ("RTX 20", "Tesla")
"""Turing and Volta compute in float16 only."""
_UNITS: Final = {"k": 10, "m": 20, "g": 30, "t": 40}


def known_gpu(name: str) -> DeviceFacts:
    """An otherwise unused card as a run's device.

    Args:
        name: Such as ``RTX 4090``, ``4090`` or ``a100-80gb``; the maker's name and blanks do not matter.

    Raises:
        DesktopFtError: ``gpu_unknown``.
    """
    wanted = _key(name)
    exact = [known for known in KNOWN_GPUS if _key(known) == wanted or _key(known).endswith(wanted)]
    found = exact or [known for known in KNOWN_GPUS if wanted and wanted in _key(known)]
    if len(found) != 1:
        near = found or difflib.get_close_matches(name, KNOWN_GPUS, n=3, cutoff=0.3)
        raise DesktopFtError(
            "gpu_unknown",
            "This GPU is not in the table",
            f"'{name}' names {f'{len(found)} cards' if found else 'no card'} that is known: {', '.join(near or KNOWN_GPUS)}.",
            "Name one of those, or state its memory: --gpu-memory 24GiB",
        )
    return gpu_of_size(found[0], KNOWN_GPUS[found[0]] << 20)


def gpu_of_size(name: str, total_bytes: int) -> DeviceFacts:
    """A CUDA card with this memory and nothing else on it."""
    return DeviceFacts("cuda", name, total_bytes, total_bytes, supports_bf16=not any(old in name for old in _WITHOUT_BF16))


def _key(name: str) -> str:
    return re.sub(r"nvidia|geforce|tesla|[^a-z0-9]", "", name.lower())


def parse_bytes(text: str) -> int:
    """``24GiB``, ``24G`` or ``24564 MiB`` as bytes; the units are binary, as on the card's box.

    Raises:
        DesktopFtError: ``size_malformed``.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", text, re.IGNORECASE)
    num_bytes = int(float(match[1]) * 2 ** (_UNITS[match[2].lower()] if match[2] else 0)) if match else 0
    if num_bytes < 1 << 20:
        raise DesktopFtError("size_malformed", "This is no amount of memory", f"'{text}' was given.", "Write for example: 24GiB")
    return num_bytes
