"""The shape of a language model from its config.json alone: widths, depth, vocabulary, experts, and the exact number of parameters.

Memory estimates need it before a single weight is read. Field names and defaults are those of transformers' configuration
classes; what each family adds to the Llama block (biases, norms, fused matrices, experts) is one row of a table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.model_families import FAMILIES, Family, QkNorm

JsonObject = Mapping[str, object]


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder, in elements.

    Attributes:
        hidden_size: Width of the residual stream (D).
        head_dim: Width of one attention head.
        intermediate_size: Width of a dense block's MLP.
        vocab_size: Rows of the embedding (V).
        tied: Whether the head is the embedding.
        num_experts: Routed experts of a sparse block; 0 for a dense model.
        num_experts_per_token: How many of them a token visits.
        expert_intermediate_size: Width of one routed expert.
        shared_intermediate_size: Width of the expert that every token visits; 0 for none.
        num_sparse_layers: Blocks with experts instead of a dense MLP.
        fused: Whether q, k, v are one matrix and gate, up another.
        qk_norm: How queries and keys are normalised.
        family: What its type adds to the Llama block.
        window: Tokens that a block with a sliding window looks back; 0 for none.
        num_windowed_layers: Blocks with one.
        num_parameters: All weights, counted by formula; a tied head counts once.
    """

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tied: bool
    num_experts: int = 0
    num_experts_per_token: int = 0
    expert_intermediate_size: int = 0
    shared_intermediate_size: int = 0
    num_sparse_layers: int = 0
    fused: bool = False
    qk_norm: QkNorm = "none"
    family: Family = FAMILIES["llama"]
    window: int = 0
    num_windowed_layers: int = 0
    num_parameters: int = 0

    @property
    def query_width(self) -> int:
        """Columns of q: heads times their width."""
        return self.num_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Columns of k, and of v."""
        return self.num_kv_heads * self.head_dim

    @property
    def active_intermediate_size(self) -> int:
        """MLP width that one token passes through in a block: its experts together, or the dense MLP."""
        if not self.num_sparse_layers:
            return self.intermediate_size
        return self.num_experts_per_token * self.expert_intermediate_size + self.shared_intermediate_size

    @property
    def head_parameters(self) -> int:
        """Weights of the output head (shared with the embedding where tied)."""
        return self.vocab_size * self.hidden_size

    @property
    def layer_parameters(self) -> int:
        """Weights of one block, averaged over the blocks."""
        embeddings = self.head_parameters * (1 if self.tied else 2)
        return (self.num_parameters - embeddings) // self.num_layers


def read_model_shape(config_json: Path | JsonObject) -> ModelShape:
    """The shape that a config.json describes; a multimodal model counts as its language part.

    Raises:
        DesktopFtError: ``model_config_unreadable``, or ``model_architecture_unknown`` where the estimate does not know the
            model type or a size is missing (training such a model may work all the same).
    """
    config = text_config(read_config(config_json) if isinstance(config_json, Path) else config_json)
    model_type = str(config.get("model_type", ""))
    family = FAMILIES.get(model_type)
    if family is None:
        raise unknown_architecture(f"its type is '{model_type or 'not stated'}'")
    sizes = _Sizes(config, family)
    shape = _shape_without_count(sizes, family, model_type)
    counted = _count_parameters(shape, sizes, family, model_type)
    return replace(shape, num_parameters=counted)


def read_config(path: Path) -> dict[str, object]:
    """The values of a config.json.

    Raises:
        DesktopFtError: ``model_config_missing`` or ``model_config_unreadable``.
    """
    try:
        value = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise DesktopFtError(
            "model_config_missing",
            "This folder is not a model",
            f"{path.parent} has no config.json.",
            "Choose the folder that holds config.json, tokenizer.json and the .safetensors files.",
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(value, dict):
        raise _unreadable(path, "it holds no object")
    return cast("dict[str, object]", value)


def text_config(config: JsonObject) -> JsonObject:
    """The language part of a configuration: ``text_config`` of a multimodal one, else the whole."""
    inner = config.get("text_config")
    if not isinstance(inner, dict):
        return config
    text = cast("dict[str, object]", inner)
    outer_type = str(config.get("model_type", ""))
    inherited = {"tie_word_embeddings": config["tie_word_embeddings"]} if "tie_word_embeddings" in config else {}
    return {"model_type": f"{outer_type}_text", **inherited, **text}


def context_length(config: JsonObject) -> int:
    """Longest sequence that the model was made for, in tokens; 0 where config.json does not say."""
    text = text_config(config)
    family = FAMILIES.get(str(text.get("model_type", "")))
    value = text.get("max_position_embeddings", (family.defaults or {}).get("max_position_embeddings") if family else None)
    return value if isinstance(value, int) else 0


class _Sizes:
    """Whole numbers of a configuration, by name, with the family's defaults behind them."""

    def __init__(self, config: JsonObject, family: Family) -> None:
        self.config = config
        self._defaults = family.defaults or {}

    def get(self, name: str, default: int | None = None) -> int:
        value = self.config.get(name)
        if value is None:
            value = self._defaults.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise unknown_architecture(f"its config.json has no usable '{name}'")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.config.get(name)
        return value if isinstance(value, bool) else default


def _shape_without_count(sizes: _Sizes, family: Family, model_type: str) -> ModelShape:
    hidden, heads, layers = sizes.get("hidden_size"), sizes.get("num_attention_heads"), sizes.get("num_hidden_layers")
    if min(hidden, heads, layers) < 1:
        raise unknown_architecture("its config.json has a size of 0")
    experts = sizes.get("num_experts", sizes.get("num_local_experts", 0))
    intermediate = sizes.get("intermediate_size", 0)
    has_shared = model_type == "qwen2_moe"
    return ModelShape(
        hidden_size=hidden,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=sizes.get("num_key_value_heads", heads),
        head_dim=sizes.get("head_dim", hidden // heads),
        intermediate_size=intermediate,
        vocab_size=sizes.get("vocab_size"),
        tied=sizes.flag("tie_word_embeddings", family.tied),
        num_experts=experts,
        num_experts_per_token=sizes.get("num_experts_per_tok", 0) if experts else 0,
        expert_intermediate_size=sizes.get("moe_intermediate_size", intermediate) if experts else 0,
        shared_intermediate_size=sizes.get("shared_expert_intermediate_size", 0) if has_shared else 0,
        num_sparse_layers=_num_sparse_layers(sizes, layers) if experts else 0,
        fused=family.fused,
        qk_norm=family.qk_norm,
        family=family,
        **_windows(sizes, family, layers),
    )


def _windows(sizes: _Sizes, family: Family, num_layers: int) -> dict[str, int]:
    """Blocks that look back over a window only, as transformers' configuration classes decide it; `layer_types` says it outright."""
    given = sizes.config.get("sliding_window", family.window or None)
    window = given if isinstance(given, int) and not isinstance(given, bool) else 0
    if not window or (family.window_is_opt_in and not sizes.flag("use_sliding_window")):
        return {}
    listed = sizes.config.get("layer_types")
    if isinstance(listed, list):
        count = cast("list[object]", listed).count("sliding_attention")
    elif family.window_is_opt_in:
        count = max(0, num_layers - sizes.get("max_window_layers", 28))
    else:
        every = sizes.get("sliding_window_pattern", family.full_attention_every)
        count = num_layers - (num_layers // every if every else 0)
    return {"window": window, "num_windowed_layers": count} if count else {}


def _num_sparse_layers(sizes: _Sizes, num_layers: int) -> int:
    step = max(1, sizes.get("decoder_sparse_step", 1))
    listed = sizes.config.get("mlp_only_layers")
    dense = {index for index in cast("list[object]", listed) if isinstance(index, int)} if isinstance(listed, list) else set[int]()
    return sum(1 for index in range(num_layers) if index not in dense and (index + 1) % step == 0)


def _count_parameters(shape: ModelShape, sizes: _Sizes, family: Family, model_type: str) -> int:
    hidden, layers = shape.hidden_size, shape.num_layers
    mlp_bias = 2 * shape.intermediate_size + hidden if sizes.flag("mlp_bias") else 0
    dense = 3 * hidden * shape.intermediate_size + mlp_bias
    blocks = layers * (_attention_parameters(shape, sizes, family) + family.norms_per_layer * hidden)
    blocks += (layers - shape.num_sparse_layers) * dense + shape.num_sparse_layers * _sparse_parameters(shape, model_type)
    embeddings = shape.head_parameters * (1 if shape.tied else 2)
    return embeddings + blocks + (hidden if family.final_norm else 0)


def _attention_parameters(shape: ModelShape, sizes: _Sizes, family: Family) -> int:
    hidden, query, kv = shape.hidden_size, shape.query_width, shape.kv_width
    matrices = hidden * (query + 2 * kv) + query * hidden
    if family.qkv_bias is None:
        bias = query + 2 * kv + hidden if sizes.flag("attention_bias") else 0
    else:
        bias = query + 2 * kv if family.qkv_bias else 0
    norms = {"none": 0, "head": 2 * shape.head_dim, "width": query + kv}[family.qk_norm]
    return matrices + bias + norms


def _sparse_parameters(shape: ModelShape, model_type: str) -> int:
    hidden = shape.hidden_size
    experts = shape.num_experts * 3 * hidden * shape.expert_intermediate_size
    router = shape.num_experts * hidden
    shared_gate = hidden if model_type == "qwen2_moe" else 0
    return experts + router + 3 * hidden * shape.shared_intermediate_size + shared_gate


def unknown_architecture(why: str) -> DesktopFtError:
    """The error of an estimate for a model that it does not know."""
    return DesktopFtError(
        "model_architecture_unknown",
        "The memory cannot be predicted for this model",
        f"The estimate does not know this architecture: {why}.",
        "Let it be computed from the model's own code (desktop-ft estimate RUN.yaml --exact); or train it all the same: begin with a small "
        "micro-batch and watch the memory.",
    )


def _unreadable(path: Path, why: str) -> DesktopFtError:
    return DesktopFtError(
        "model_config_unreadable", "The model's settings can't be read", f"{path}: {why}.", "Download this file again; it is damaged."
    )
