"""What each model type adds to or takes from the Llama block: one row of a table each, read in transformers' modeling files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

QkNorm = Literal["none", "head", "width"]


@dataclass(frozen=True)
class Family:
    """What a model type adds to or takes from the Llama block.

    Attributes:
        qkv_bias: Whether q, k and v have biases; ``None``: as ``attention_bias`` says, which then counts for o too.
        qk_norm: Norms on queries and keys: none, one of a head's size each, or one over the whole width each.
        norms_per_layer: Norm weights of the hidden size in each block.
        num_post_norms: Norms whose output is added to the residual stream rather than read by a linear layer.
        wide_norms: Whether norms scale in float32, before the result becomes 16 bit.
        final_norm: Whether the norm before the head has a weight.
        fused: Whether q, k, v are one matrix and gate, up another (Phi-3).
        soft_capped: Whether scores go through a tanh, which PyTorch's fused attention does not have.
        scaled_residuals: Whether a block's results are multiplied before they are added.
        adapts_experts: Whether PEFT's ``all-linear`` takes in the stacked experts and the router (0.21).
        wide_routing: Whether the weights of the chosen experts stay float32, and what they multiply with it.
        window: Of blocks with a sliding window, where config.json does not say; 0 for none.
        window_is_opt_in: Whether ``use_sliding_window`` has to be set.
        full_attention_every: Of so many blocks one looks back all the way; 0: none does.
        tied: What ``tie_word_embeddings`` means where config.json does not say.
        defaults: Values of transformers' configuration class that config.json may leave out.
    """

    qkv_bias: bool | None = None
    qk_norm: QkNorm = "none"
    norms_per_layer: int = 2
    num_post_norms: int = 0
    wide_norms: bool = False
    final_norm: bool = True
    fused: bool = False
    soft_capped: bool = False
    scaled_residuals: bool = False
    adapts_experts: bool = False
    wide_routing: bool = False
    window: int = 0
    window_is_opt_in: bool = False
    full_attention_every: int = 0
    tied: bool = False
    defaults: Mapping[str, int] | None = field(default=None, hash=False)


_GEMMA3_DEFAULTS: Final = {
    "vocab_size": 262_208,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131_072,
}
_GEMMA2: Final = Family(
    norms_per_layer=4,
    num_post_norms=2,
    wide_norms=True,
    soft_capped=True,
    window=4096,
    full_attention_every=2,
    tied=True,
    defaults={"head_dim": 256},
)
_GEMMA3: Final = Family(
    qk_norm="head",
    norms_per_layer=4,
    num_post_norms=2,
    wide_norms=True,
    window=4096,
    full_attention_every=6,
    tied=True,
    defaults=_GEMMA3_DEFAULTS,
)
_OLMO2: Final = Family(qk_norm="width", num_post_norms=2, wide_norms=True)

FAMILIES: Final[Mapping[str, Family]] = {
    "llama": Family(),
    "mistral": Family(qkv_bias=False, window=4096),
    "ministral": Family(qkv_bias=False, window=4096),
    "smollm3": Family(tied=True, window_is_opt_in=True),
    "granite": Family(scaled_residuals=True),
    "qwen2": Family(qkv_bias=True, window=4096, window_is_opt_in=True),
    "qwen3": Family(qk_norm="head", window=4096, window_is_opt_in=True),
    "gemma": Family(wide_norms=True, tied=True, defaults={"head_dim": 256}),
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA3,
    "phi3": Family(qkv_bias=False, fused=True),
    "olmo": Family(norms_per_layer=0, final_norm=False),
    "olmo2": _OLMO2,
    "olmo3": Family(qk_norm="width", num_post_norms=2, wide_norms=True, window=4096, full_attention_every=4),
    "mixtral": Family(qkv_bias=False, adapts_experts=True, wide_routing=True, defaults={"num_local_experts": 8, "num_experts_per_tok": 2}),
    "qwen2_moe": Family(qkv_bias=True, defaults={"num_experts": 60, "num_experts_per_tok": 4}),
    "qwen3_moe": Family(qk_norm="head", adapts_experts=True, defaults={"num_experts": 128, "num_experts_per_tok": 8}),
    "olmoe": Family(qk_norm="width", adapts_experts=True, defaults={"num_experts": 64, "num_experts_per_tok": 8}),
}
"""By ``model_type``."""
