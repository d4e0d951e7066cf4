"""From a base model and what was trained on it to one plain model.

The adapter is merged in float32, one layer after the other, and each result is rounded once to the format that is saved: the whole
model never lies in memory in float32 (measured: merging in float32 and saving bfloat16 keeps the mean KL near 1e-3 nats, the same as
plain bfloat16 rounding of the base; float32 throughout 6e-9).
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
from peft import PeftModel
from peft.tuners.lora import LoraModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import GenerationConfig, PreTrainedModel

from desktop_ft.core.config.schema import QuantizationConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.exports import WeightDtype, stored_dtype
from desktop_ft.core.files import write_json
from desktop_ft.engine.device import DTYPES
from desktop_ft.engine.load import load_base_model
from desktop_ft.engine.methods.base import fit_vocabulary
from desktop_ft.engine.methods.quantization import dequantized
from desktop_ft.engine.methods.start import plain_adapter

MAX_SHARD_SIZE: Final = "4GB"


@dataclass(frozen=True)
class FourBit:
    """A base that was kept in 4 bit under its adapter.

    The merge goes into the dequantised base: an adapter corrects what quantisation did to the weights, and merged into others, or
    rounded back to 4 bit, it is another model (measured on SmolLM2-135M: KL to the trained model 1e-3 nats dequantised, 0.23 with the
    original weights, 4.1 in 4 bit).

    Attributes:
        quantization: As it was trained.
        device: Where the 4-bit values are computed; best where they were for the training, for rounding differs between devices.
    """

    quantization: QuantizationConfig
    device: DeviceFacts


def load_model(folder: Path, dtype: WeightDtype, four_bit: FourBit | None = None) -> PreTrainedModel:
    """A causal language model from safetensors in a local folder, on the CPU, ready to read.

    Args:
        folder: Config and weights.
        dtype: Format of the weights.
        four_bit: Take each linear layer's values through 4 bit, as they were trained on.
    """
    device = DeviceFacts("cpu", "CPU", 0, 0) if four_bit is None else four_bit.device
    model = load_base_model(folder, DTYPES[dtype], None, device, quantization=four_bit.quantization if four_bit else None)
    return (model if four_bit is None else dequantized(model)).eval()


def load_with_adapter(base: Path, adapter: Path, dtype: WeightDtype, four_bit: FourBit | None = None) -> PeftModel:
    """The base with the adapter on it, unmerged: the model as it was trained. The adapter itself is float32.

    Raises:
        DesktopFtError: ``adapter_mismatch`` where the adapter is not one of this base.
    """
    return put_adapter(load_model(base, dtype, four_bit), adapter)


def put_adapter(model: PreTrainedModel, adapter: Path) -> PeftModel:
    """The model with an adapter on it, unmerged; of a checkpoint too, and with the rows of a vocabulary that grew.

    Raises:
        DesktopFtError: ``adapter_mismatch`` where shapes or names do not fit, which PEFT passes over with a warning.
    """
    fit_vocabulary(model, adapter)
    with warnings.catch_warnings(record=True) as caught, plain_adapter(adapter) as plain:
        warnings.simplefilter("always")
        try:
            with_adapter = PeftModel.from_pretrained(model, str(plain), is_trainable=False)
        except (RuntimeError, ValueError) as error:
            raise _mismatch(adapter, str(error)) from error
    missing = next((str(item.message) for item in caught if "missing adapter keys" in str(item.message)), None)
    if missing is not None:
        raise _mismatch(adapter, missing)
    return with_adapter.eval()


def _mismatch(adapter: Path, why: str) -> DesktopFtError:
    return DesktopFtError(
        "adapter_mismatch",
        "The adapter does not fit this base model",
        f"The adapter in {adapter.name} could not be put on the model: {' '.join(why.split())[:400]}",
        "Use the base model that the adapter was trained on.",
    )


def merge_adapter(model: PeftModel, dtype: WeightDtype) -> PreTrainedModel:
    """Merge in float32 layer by layer, round to ``dtype``, and take the adapter's modules out.

    Raises:
        DesktopFtError: ``export_not_finite`` where the merged weights are not numbers.
    """
    _untie_adapted(model)
    for name, layer in model.named_modules():
        if isinstance(layer, BaseTunerLayer):
            _merge_layer(name, layer, DTYPES[dtype])
    tuner = model.base_model
    assert isinstance(tuner, LoraModel)
    plain = tuner.unload().to(DTYPES[dtype]).eval()
    assert isinstance(plain, PreTrainedModel)
    return plain


def _merge_layer(name: str, layer: BaseTunerLayer, dtype: torch.dtype) -> None:
    assert isinstance(layer, torch.nn.Module)
    layer.to(torch.float32)
    try:
        layer.merge(safe_merge=True)
    except ValueError as error:
        raise DesktopFtError(
            "export_not_finite",
            "The trained weights are broken",
            f"Merging gives values that are not numbers, first in {name}: the training had diverged.",
            "Export an earlier checkpoint, or train again with a lower learning rate.",
        ) from error
    layer.get_base_layer().to(dtype)


def _untie_adapted(model: PeftModel) -> None:
    """Give the output matrix its own copy where the adapter changes only one of two tied matrices.

    PEFT adapts the input embedding alone; merged into the shared matrix, the change would reach the output as well.
    """
    plain = cast("PreTrainedModel", model.get_base_model())
    inner, outer = plain.get_input_embeddings(), plain.get_output_embeddings()
    if not isinstance(outer, torch.nn.Module) or not (isinstance(inner, BaseTunerLayer) or isinstance(outer, BaseTunerLayer)):
        return
    source, target = (part.get_base_layer() if isinstance(part, BaseTunerLayer) else part for part in (inner, outer))
    if source.weight is target.weight:
        target.weight = torch.nn.Parameter(cast("torch.Tensor", target.weight).detach().clone(), requires_grad=False)
        plain.config.tie_word_embeddings = False


def merged_model(
    base: Path,
    trained: Path,
    dtype: WeightDtype,
    *,
    is_adapter: bool = True,
    trained_in: WeightDtype | None = None,
    four_bit: FourBit | None = None,
) -> PreTrainedModel:
    """The plain model, in memory.

    Args:
        base: Folder of the base model.
        trained: Folder of the adapter, or of the whole trained model.
        dtype: Format of its weights.
        is_adapter: Whether ``trained`` belongs on top of ``base``.
        trained_in: Format of the base below the adapter; None: as stored.
        four_bit: The base below the adapter was kept in 4 bit.

    Raises:
        DesktopFtError: ``adapter_mismatch`` or ``export_not_finite``.
    """
    if is_adapter:
        return merge_adapter(load_with_adapter(base, trained, trained_in or stored_dtype(base), four_bit), dtype)
    model = load_model(trained, dtype)
    _check_finite(model)
    return model


def save_model(model: PreTrainedModel, out: Path, max_shard_size: str = MAX_SHARD_SIZE) -> None:
    """Write config and weights into an existing folder.

    Args:
        model: Without adapter.
        out: An existing folder.
        max_shard_size: Largest weight file, as transformers writes sizes.

    Raises:
        OSError: The disk could not take it; likewise SafetensorError.
    """
    model.generation_config = GenerationConfig()  # saving refuses settings that contradict each other, as many models ship them
    model.save_pretrained(str(out), max_shard_size=max_shard_size)


def merge_to_folder(
    base: Path,
    trained: Path,
    out: Path,
    dtype: WeightDtype,
    *,
    is_adapter: bool = True,
    max_shard_size: str = MAX_SHARD_SIZE,
) -> None:
    """As `merged_model` and `save_model`: one plain model in an existing folder."""
    save_model(merged_model(base, trained, dtype, is_adapter=is_adapter), out, max_shard_size)


def _check_finite(model: PreTrainedModel) -> None:
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise DesktopFtError(
                "export_not_finite",
                "The trained weights are broken",
                f"{name} has values that are not numbers: the training had diverged.",
                "Export an earlier checkpoint, or train again with a lower learning rate.",
            )


def write_generation_config(base: Path, out: Path, stop_ids: tuple[int, ...]) -> None:
    """The base's generation_config.json with every token that ends an answer in ``eos_token_id``.

    A base model often stops only at its end-of-text token; taught to chat, it ends its turns with another one and, without this,
    would go on for ever.
    """
    path = base / "generation_config.json"
    settings = cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    known = _ids(settings.get("eos_token_id"))
    ids = [*known, *(token for token in stop_ids if token not in known)]
    if ids:
        settings["eos_token_id"] = ids if len(ids) > 1 else ids[0]
    write_json(out / "generation_config.json", settings)


def _ids(value: object) -> list[int]:
    if isinstance(value, int):
        return [value]
    return [item for item in cast("list[object]", value) if isinstance(item, int)] if isinstance(value, list) else []
