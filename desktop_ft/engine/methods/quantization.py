"""Bases in 4 bit (QLoRA): how they are loaded, where they can be, and how they become plain weights again.

Source: Dettmers et al. 2023, arXiv 2305.14314.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final, cast

import torch

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.schema import QuantizationConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_json
from desktop_ft.engine.device import DTYPES

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import BitsAndBytesConfig, PreTrainedModel

QUANTIZATION_FILE: Final = "base_quantization.json"


def check_bitsandbytes(wanted: str) -> None:
    """Refuse what needs bitsandbytes where it is not installed; what a device lacks, `desktop_ft.core.device_check` has refused before.

    Args:
        wanted: The setting that needs it, such as ``method.kind: qlora``.

    Raises:
        DesktopFtError: ``bitsandbytes_missing``.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise DesktopFtError(
            "bitsandbytes_missing",
            "bitsandbytes is not installed",
            f"{wanted} needs the package bitsandbytes, which this installation lacks.",
            "Install bitsandbytes into the program's environment, or use method.kind: lora and training.optim: auto.",
        )


def quantization_of(config: RunConfig) -> QuantizationConfig | None:
    """How the run keeps its frozen weights in 4 bit; None where it does not."""
    return config.method.quantization if config.method.kind == "qlora" else None


def bits_and_bytes_config(quantization: QuantizationConfig, weights: torch.dtype) -> BitsAndBytesConfig:
    """Transformers' configuration of a 4-bit base.

    Args:
        quantization: As the person set it.
        weights: Format of what stays unquantised: embeddings, norms, heads. ``compute_dtype: auto`` is this format.
    """
    from transformers import BitsAndBytesConfig

    compute = quantization.compute_dtype
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.quant_type,
        bnb_4bit_use_double_quant=quantization.double_quant,
        bnb_4bit_compute_dtype=weights if compute == "auto" else DTYPES[compute],
    )


def keep_unpacked(model: torch.nn.Module) -> None:
    """Keep 4-bit layers from changing their layout at the first evaluation on a CPU.

    On a CPU with AVX512-BF16, `bitsandbytes.nn.Linear4bit.forward` re-packs the weight in place in eval mode (0.50.2). Whatever
    dequantises it afterwards (DoRA's norm, a merge) reads garbage, and training after that evaluation as well. Each layer asks the
    processor once, when it is made, and keeps the answer in this attribute.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def keep_quantization(quantization: QuantizationConfig, folder: Path) -> None:
    """Write beside an adapter how the base below it was kept, for whoever loads both."""
    write_json(folder / QUANTIZATION_FILE, quantization.model_dump(mode="json"))


def kept_quantization(folder: Path) -> QuantizationConfig | None:
    """How the base below an adapter was kept while it was trained; None: not in 4 bit, or nobody knows."""
    path = folder / QUANTIZATION_FILE
    return QuantizationConfig.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None


def dequantized(model: PreTrainedModel) -> PreTrainedModel:
    """The same model on the CPU with plain weights, in the very values that the 4-bit layers compute with; takes the model over."""
    cast("torch.nn.Module", model).to("cpu")
    return cast("PreTrainedModel", model.dequantize())
