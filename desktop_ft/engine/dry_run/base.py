"""The base model from config.json alone: tensors without content, noted as loading them on the device would take them."""

# pyright: reportPrivateUsage=false
# What torch and transformers do inside is replaced or asked here, and has no public name.

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils._python_dispatch import _disable_current_modes
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from desktop_ft.core.config.schema import QuantizationConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.engine.dry_run.depth import layers_of
from desktop_ft.engine.dry_run.tape import Tape
from desktop_ft.engine.load import Head
from desktop_ft.engine.methods.quantization import bits_and_bytes_config, check_bitsandbytes, keep_unpacked


@dataclass(frozen=True)
class Loading:
    """How the base is kept.

    Attributes:
        weights: Format of what is not in 4 bit.
        attention: ``sdpa`` or ``eager``.
        head: What the model ends in.
        quantization: Of the blocks' linear layers; None: none.
        is_accelerator: Whether it goes to a device with a caching allocator.
    """

    weights: torch.dtype
    attention: str
    head: Head = "causal"
    quantization: QuantizationConfig | None = None
    is_accelerator: bool = True


def read_architecture(folder: Path) -> PretrainedConfig:
    """What config.json describes; code beside it is never executed.

    Raises:
        DesktopFtError: ``exact_architecture_unknown`` or ``exact_remote_code``.
    """
    try:
        return cast("PretrainedConfig", AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))
    except (ValueError, KeyError, OSError, TypeError) as error:
        raise _unknown(folder, error) from error


def _unknown(folder: Path, error: Exception) -> DesktopFtError:
    if "trust_remote_code" in str(error):
        return DesktopFtError(
            "exact_remote_code",
            "This model brings its own code",
            f"The architecture of {folder.name} is Python code in its folder, which is never executed here.",
            "Choose a model whose architecture transformers knows.",
        )
    return DesktopFtError(
        "exact_architecture_unknown",
        "This architecture is not known",
        f"The installed transformers cannot build a model from {folder.name}: {str(error).splitlines()[0][:300]}",
        "Update the program, or choose a Llama, Qwen, Mistral, Gemma, Phi or OLMo model.",
    )


def shape_only_model(config: PretrainedConfig, loading: Loading) -> PreTrainedModel:
    """A model whose tensors are only described (the meta device); call it outside of `FakeTensorMode`.

    Raises:
        DesktopFtError: ``exact_architecture_unknown``.
    """
    loader: Any = AutoModelForCausalLM if loading.head == "causal" else AutoModelForSequenceClassification
    if loading.head == "score":
        config.num_labels = 1
    try:
        from transformers.initialization import no_init_weights

        with no_init_weights(), torch.device("meta"):
            model = loader.from_config(config, dtype=loading.weights, attn_implementation=loading.attention, trust_remote_code=False)
    except (ValueError, KeyError) as error:
        raise _unknown(Path(str(config.model_type)), error) from error
    model.tie_weights()  # which creating a model does where it draws weights
    return cast("PreTrainedModel", model).eval()


def load_shapes(config: PretrainedConfig, loading: Loading, tape: Tape, weight: Callable[[int | None], int]) -> PreTrainedModel:
    """The base as the engine loads it: one block for everything first, then tensor after tensor into it.

    Call it inside of `FakeTensorMode` and `Watching`. Source: transformers 5.23, `caching_allocator_warmup`.

    Args:
        config: Of the shallow model.
        loading: How it is kept.
        tape: Where it is noted.
        weight: How many of the whole model's blocks a block stands for.

    Raises:
        DesktopFtError: ``exact_architecture_unknown``, ``bitsandbytes_missing``.
    """
    tape.begin("load")
    with _disable_current_modes():
        model = shape_only_model(config, loading)
        quantizer = None if loading.quantization is None else _prepare_4_bit(model, loading)
    made: dict[int, torch.Tensor] = {}
    layers = layers_of(model)
    if loading.is_accelerator:
        tape.scratch(int(_loaded_bytes(model, quantizer, layers, weight)))
    for module in model.modules():
        tape.layer = layers.get(module)
        if quantizer is not None and type(module).__name__ == "Linear4bit":
            _quantize(module, loading, tape)
        _give_shapes(module, made, tape)
    tape.layer = None
    if quantizer is not None:
        keep_unpacked(model)
        marked: Any = model  # as transformers marks it
        marked.is_loaded_in_4bit = marked.is_quantized = True
        marked.hf_quantizer, marked.quantization_method = quantizer, quantizer.quantization_config.quant_method
        if loading.is_accelerator:
            tape.empty_cache()
    return model


def _prepare_4_bit(model: PreTrainedModel, loading: Loading) -> Any:  # noqa: ANN401 - transformers' quantizer
    """Linear layers become bitsandbytes' own, those that it leaves out excepted."""
    assert loading.quantization is not None
    check_bitsandbytes("method.kind: qlora")
    from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer

    settings = bits_and_bytes_config(loading.quantization, loading.weights)
    quantizer: Any = Bnb4BitHfQuantizer(settings, pre_quantized=False)
    quantizer.preprocess_model(model=model, device_map=None, keep_in_fp32_modules=[])
    model.config.quantization_config = settings  # pyright: ignore[reportAttributeAccessIssue]
    return quantizer


def _loaded_bytes(
    model: PreTrainedModel,
    quantizer: Any,  # noqa: ANN401 - transformers' quantizer, or None
    layers: Mapping[torch.nn.Module, int],
    weight: Callable[[int | None], int],
) -> float:
    """Of the whole model; a matrix that two modules share counts once."""
    found: dict[int, float] = {}
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(module_name, recurse=False):
            each = parameter.element_size() if quantizer is None else quantizer.param_element_size(model, name, parameter)
            found.setdefault(id(parameter), weight(layers.get(module)) * each * parameter.numel())
    return sum(found.values())


def _give_shapes(module: torch.nn.Module, made: dict[int, torch.Tensor], tape: Tape) -> None:
    """Tensors of the device in place of those that are only described; what two modules share stays shared."""
    for name, parameter in module._parameters.items():
        if parameter is not None and parameter.is_meta:
            if id(parameter) not in made:
                made[id(parameter)] = torch.nn.Parameter(torch.empty(parameter.shape, dtype=parameter.dtype), parameter.requires_grad)
            module._parameters[name] = cast("torch.nn.Parameter", made[id(parameter)])
            tape.name(made[id(parameter)], "weights")
    for name, buffer in module._buffers.items():
        if buffer is not None and buffer.is_meta:
            module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
            tape.name(module._buffers[name], "weights")


def _quantize(module: Any, loading: Loading, tape: Tape) -> None:  # noqa: ANN401 - bitsandbytes' Linear4bit
    """The matrix in 16 bit, then in 4; `Params4bit` cannot hold a tensor without content, so a parameter with its attributes does."""
    from bitsandbytes import functional

    asked = module.weight
    whole = torch.empty((module.out_features, module.in_features), dtype=loading.weights)
    packed, state = functional.quantize_4bit(
        whole, blocksize=asked.blocksize, compress_statistics=asked.compress_statistics, quant_type=asked.quant_type
    )
    del whole
    weight = torch.nn.Parameter(packed, requires_grad=False)
    for attribute in ("blocksize", "compress_statistics", "quant_type", "quant_storage"):
        setattr(weight, attribute, getattr(asked, attribute))
    cast("Any", weight).quant_state, cast("Any", weight).bnb_quantized, cast("Any", weight).module = state, True, module
    module.weight, module.quant_state = weight, state
    parts = [state.absmax, state.code, state.offset, *((state.state2.absmax, state.state2.code) if state.state2 is not None else ())]
    for part in (weight, *parts):
        tape.name(part, "weights")
