"""What a method does to the base before it gets an adapter or a trainer: a grown vocabulary, frozen layers, experts that stay."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.methods import weight_updates
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import WarningRaised
from desktop_ft.core.exports import ADAPTER_WEIGHTS
from desktop_ft.engine.checkpointing import checkpoint_as_stated


def prepare_base(config: RunConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make a loaded base ready for the run's method.

    Args:
        config: Without any ``auto``.
        model: As `load_base_model` gives it; changed in place.
        tokenizer: With the run's added tokens.

    Raises:
        DesktopFtError: ``num_frozen_layers_too_many`` or ``checkpoint_every_n_layers_too_many``.
    """
    checkpoint_as_stated(config.training, model)
    if config.model.added_tokens:
        ids = cast("list[int]", tokenizer.convert_tokens_to_ids(list(config.model.added_tokens)))
        grow_vocabulary(model, ids)
    if config.method.kind == "full":
        freeze_layers(model, config.method.num_frozen_layers)


# --- a grown vocabulary --------------------------------------------------------------------------------------------------


def grow_vocabulary(model: PreTrainedModel, ids: list[int]) -> None:
    """Give each new token a row in both embeddings, the mean of the rows before it, so that it starts as no token in particular.

    Source: Hewitt 2021, "Initializing new word embeddings for pretrained language models". The same on every machine and in every
    process, unlike transformers' ``mean_resizing``, which draws.
    """
    resize_vocabulary(model, max(ids) + 1)
    with torch.no_grad():
        for matrix in _embeddings(model):
            others = torch.ones(matrix.shape[0], dtype=torch.bool, device=matrix.device)
            others[min(ids) :] = False
            matrix[ids] = matrix[others].mean(dim=0, dtype=torch.float32).to(matrix.dtype)


def resize_vocabulary(model: PreTrainedModel, num_rows: int) -> None:
    """At least so many rows in the embeddings; many models have spare ones."""
    if num_rows > _rows(model):
        model.resize_token_embeddings(num_rows, mean_resizing=False)


def fit_vocabulary(model: PreTrainedModel, adapter: Path) -> None:
    """Give a base the rows that an adapter with a grown vocabulary brings values for."""
    if not (adapter / ADAPTER_WEIGHTS).is_file():
        return
    inner = model.get_input_embeddings()
    name = next(name for name, module in model.named_modules() if module is inner)
    with safe_open(adapter / ADAPTER_WEIGHTS, "pt") as file:
        key = f"base_model.model.{name}.weight"
        if key in set(file.keys()):
            resize_vocabulary(model, int(file.get_slice(key).get_shape()[0]))


def _rows(model: PreTrainedModel) -> int:
    return cast("torch.nn.Embedding", model.get_input_embeddings()).weight.shape[0]


def _embeddings(model: PreTrainedModel) -> list[torch.Tensor]:
    """The input matrix, and the output's where it is another one: [V, D]."""
    parts = (model.get_input_embeddings(), model.get_output_embeddings())
    matrices = [cast("torch.Tensor", part.weight) for part in parts if isinstance(part, torch.nn.Module)]
    return list({id(matrix): matrix for matrix in matrices}.values())


def embedding_modules(model: PreTrainedModel) -> list[str]:
    """Names of the modules that a grown vocabulary trains whole; of two that share one matrix, the input's."""
    parts = [model.get_input_embeddings(), model.get_output_embeddings()]
    if is_tied(model):
        parts = parts[:1]
    return [name.rpartition(".")[2] for name, module in model.named_modules() if any(module is part for part in parts)]


def is_tied(model: PreTrainedModel) -> bool:
    """Whether input and output embedding are one matrix."""
    return len(_embeddings(model)) == 1 and isinstance(model.get_output_embeddings(), torch.nn.Module)


# --- frozen layers -------------------------------------------------------------------------------------------------------


def freeze_layers(model: PreTrainedModel, num_layers: int) -> None:
    """Freeze the lowest layers and the embedding below them; a tied output matrix is frozen with it.

    Raises:
        DesktopFtError: ``num_frozen_layers_too_many``.
    """
    if num_layers == 0:
        return
    decoder = model.base_model
    layers = cast("torch.nn.ModuleList", decoder.get_submodule("layers" if hasattr(decoder, "layers") else "h"))
    if num_layers >= len(layers):
        raise DesktopFtError(
            "num_frozen_layers_too_many",
            "Nothing would be left to train",
            f"method.num_frozen_layers is {num_layers}; the model has {len(layers)} layers.",
            f"Set it to {len(layers) - 1} or less.",
        )
    for part in (model.get_input_embeddings(), *layers[:num_layers]):
        part.requires_grad_(requires_grad=False)


# --- what to know -------------------------------------------------------------------------------------------------------


def method_warnings(config: RunConfig, model: torch.nn.Module) -> list[WarningRaised]:
    """What a person should know about this method on this model, before the first step."""
    warnings: list[WarningRaised] = []
    method = config.method
    num_experts = num_expert_weights(model)
    if method.kind != "full" and method.target_modules == "all-linear" and num_experts and not _trains_experts(model):
        share = num_experts / sum(_num_weights(parameter) for parameter in model.parameters())
        stays = " They stay in 16 bit as well." if method.kind == "qlora" else ""
        hint = "To change the experts, use method.kind: full."
        if not can_adapt_experts(config):
            hint = "For an adapter on the experts set method.use_dora to false, method.dropout to 0 and method.init to default."
        warnings.append(
            WarningRaised(
                code="experts_not_trained",
                title="The experts are not trained",
                message=f"This model keeps its experts ({share:.0%} of the weights) in stacked matrices, which get no adapter with these "
                f"settings: only attention is trained.{stays}",
                hint=hint,
            )
        )
    if method.kind == "full" and weight_updates(config)[0] == "plain" and config.model.dtype == "bfloat16":
        warnings.append(
            WarningRaised(
                code="plain_bfloat16",
                title="Most updates will be lost to rounding",
                message=f"The weights are trained in plain bfloat16, as stock TRL does. At a learning rate of "
                f"{config.training.learning_rate:g} few of them move.",
                hint="Set training.kernels to auto, or method.weight_updates to kahan or float32.",
            )
        )
    return warnings


def num_expert_weights(model: torch.nn.Module) -> int:
    """Weights of experts that are stacked into one matrix [experts, in, out]."""
    return sum(parameter.numel() for name, parameter in model.named_parameters() if parameter.ndim == 3 and "experts" in name)


def can_adapt_experts(config: RunConfig) -> bool:
    """Whether PEFT can put this adapter on stacked experts; where it knows the family, all-linear then includes them (0.21)."""
    method = config.method
    return not method.use_dora and not method.dropout and method.init in {"default", "gaussian"}


def _trains_experts(model: torch.nn.Module) -> bool:
    return any(parameter.requires_grad and "experts" in name for name, parameter in model.named_parameters())


def _num_weights(parameter: torch.Tensor) -> int:
    """In 4 bit one byte holds two."""
    return parameter.numel() * (2 if parameter.dtype == torch.uint8 else 1)
