"""Models to measure with: each as its config.json has it, in the sizes that its maker published; the weights are random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Values = Mapping[str, object]


@dataclass(frozen=True)
class Shape:
    """One model's sizes.

    Attributes:
        family: Whose rows belong together when coefficients are fitted.
        config: Content of config.json; token ids and positions are added when it is written.
    """

    name: str
    family: str
    config: Values

    def cut(self, num_layers: int) -> Shape:
        """The same blocks, fewer of them: a true shape of its own, for what would be too large or too slow whole."""
        config: dict[str, object] = {**self.config, "num_hidden_layers": num_layers}
        kinds = config.get("layer_types")
        if isinstance(kinds, list):
            config["layer_types"] = kinds[:num_layers]
        return Shape(f"{self.name}-{num_layers}l", self.family, config)


def _shape(name: str, family: str, model_type: str, architecture: str, sizes: tuple[int, ...], *, tied: bool, **more: object) -> Shape:
    """A decoder.

    Args:
        name: What the rows call it.
        family: Whose rows belong together.
        model_type: transformers' name.
        architecture: transformers' class.
        sizes: Hidden size, blocks, heads, heads of keys, MLP width, vocabulary.
        tied: Whether the head is the embedding.
        **more: Further values of config.json.
    """
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size")
    return Shape(
        name,
        family,
        {
            "model_type": model_type, "architectures": [architecture], **dict(zip(names, sizes, strict=True)),
            "tie_word_embeddings": tied, "dtype": "bfloat16", **more,
        },
    )  # fmt: skip


def _llama(name: str, sizes: tuple[int, ...], *, tied: bool, family: str = "llama", **more: object) -> Shape:
    return _shape(name, family, "llama", "LlamaForCausalLM", sizes, tied=tied, **more)


def _qwen2(name: str, sizes: tuple[int, ...], *, tied: bool) -> Shape:
    return _shape(name, "qwen2", "qwen2", "Qwen2ForCausalLM", sizes, tied=tied)


def _qwen3(name: str, sizes: tuple[int, ...], *, tied: bool) -> Shape:
    return _shape(name, "qwen3", "qwen3", "Qwen3ForCausalLM", sizes, tied=tied, head_dim=128)


_GEMMA3_1B_PATTERN: Final = ["full_attention" if (index + 1) % 6 == 0 else "sliding_attention" for index in range(26)]

ALL: Final[tuple[Shape, ...]] = (
    _llama("llama-1b", (2048, 16, 32, 8, 8192, 128256), tied=True, head_dim=64),
    _llama("llama-3b", (3072, 28, 24, 8, 8192, 128256), tied=True, head_dim=128),
    _llama("llama-8b", (4096, 32, 32, 8, 14336, 128256), tied=False),
    _llama("smollm2-135m", (576, 30, 9, 3, 1536, 49152), tied=True, family="smollm2"),
    _llama("smollm2-360m", (960, 32, 15, 5, 2560, 49152), tied=True, family="smollm2"),
    _llama("smollm2-1.7b", (2048, 24, 32, 32, 8192, 49152), tied=True, family="smollm2"),
    _qwen2("qwen2.5-0.5b", (896, 24, 14, 2, 4864, 151936), tied=True),
    _qwen2("qwen2.5-1.5b", (1536, 28, 12, 2, 8960, 151936), tied=True),
    _qwen2("qwen2.5-7b", (3584, 28, 28, 4, 18944, 152064), tied=False),
    _qwen2("qwen2.5-14b", (5120, 48, 40, 8, 13824, 152064), tied=False),
    _qwen3("qwen3-0.6b", (1024, 28, 16, 8, 3072, 151936), tied=True),
    _qwen3("qwen3-4b", (2560, 36, 32, 8, 9728, 151936), tied=True),
    _qwen3("qwen3-8b", (4096, 36, 32, 8, 12288, 151936), tied=False),
    _shape(
        "mistral-7b", "mistral", "mistral", "MistralForCausalLM", (4096, 32, 32, 8, 14336, 32768), tied=False, head_dim=128,
        sliding_window=None,
    ),
    _shape(
        "mistral-nemo-12b", "mistral", "mistral", "MistralForCausalLM", (5120, 40, 32, 8, 14336, 131072), tied=False, head_dim=128,
        sliding_window=None,
    ),
    _shape(
        "gemma2-2b", "gemma2", "gemma2", "Gemma2ForCausalLM", (2304, 26, 8, 4, 9216, 256000), tied=True, head_dim=256,
        query_pre_attn_scalar=256, sliding_window=4096, hidden_activation="gelu_pytorch_tanh", attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
    ),
    _shape(
        "gemma3-1b", "gemma3", "gemma3_text", "Gemma3ForCausalLM", (1152, 26, 4, 1, 6912, 262144), tied=True, head_dim=256,
        query_pre_attn_scalar=256, sliding_window=512, hidden_activation="gelu_pytorch_tanh", layer_types=_GEMMA3_1B_PATTERN,
    ),
    _shape("phi3-mini", "phi3", "phi3", "Phi3ForCausalLM", (3072, 32, 32, 32, 8192, 32064), tied=False),
    _shape("phi4-14b", "phi3", "phi3", "Phi3ForCausalLM", (5120, 40, 40, 10, 17920, 100352), tied=False),
    _shape("olmo2-1b", "olmo2", "olmo2", "Olmo2ForCausalLM", (2048, 16, 16, 16, 8192, 100352), tied=False),
    _shape("olmo2-7b", "olmo2", "olmo2", "Olmo2ForCausalLM", (4096, 32, 32, 32, 11008, 100352), tied=False),
    _shape(
        "olmoe-7b", "mixture", "olmoe", "OlmoeForCausalLM", (2048, 16, 16, 16, 1024, 50304), tied=False, num_experts=64,
        num_experts_per_tok=8,
    ),
    _shape(
        "qwen3-30b-a3b", "mixture", "qwen3_moe", "Qwen3MoeForCausalLM", (2048, 48, 32, 4, 6144, 151936), tied=False, head_dim=128,
        num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768, norm_topk_prob=True,
    ),
    _llama("tiny", (64, 2, 4, 2, 96, 4096), tied=True, family="tiny"),
)  # fmt: skip
SHAPES: Final[Mapping[str, Shape]] = {shape.name: shape for shape in ALL}
HELD_OUT_FAMILIES: Final = frozenset({"qwen3", "phi3"})
"""No coefficient is ever fitted on these: they show what the estimate is worth on a family that nobody looked at."""


def shape_of(name: str, num_layers: int | None = None) -> Shape:
    """A shape by name, whole or cut."""
    whole = SHAPES[name]
    return whole if num_layers is None else whole.cut(num_layers)
