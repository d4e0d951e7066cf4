"""Parameters counted from config.json alone, against the published counts."""

from __future__ import annotations

import pytest

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.model_shape import context_length, read_model_shape


def config(model_type: str, hidden: int, layers: int, heads: int, kv: int, width: int, vocab: int, **more: object) -> dict[str, object]:
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": width,
        "vocab_size": vocab,
        **more,
    }


LLAMA_1B = config("llama", 2048, 16, 32, 8, 8192, 128256, head_dim=64, tie_word_embeddings=True, attention_bias=False)
GEMMA3_270M = config("gemma3_text", 640, 18, 4, 1, 2048, 262144, head_dim=256)
QWEN3_30B = config(
    "qwen3_moe", 2048, 48, 32, 4, 6144, 151936, head_dim=128, num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768
)
QWEN15_MOE = config(
    "qwen2_moe", 2048, 24, 16, 16, 5632, 151936,
    num_experts=60, num_experts_per_tok=4, moe_intermediate_size=1408, shared_expert_intermediate_size=5632,
)  # fmt: skip

KNOWN = {
    "Llama-3.2-1B": (LLAMA_1B, 1_235_814_400),
    "Llama-3.1-8B": (config("llama", 4096, 32, 32, 8, 14336, 128256), 8_030_261_248),
    "SmolLM2-135M": (config("llama", 576, 30, 9, 3, 1536, 49152, tie_word_embeddings=True), 134_515_008),
    "Qwen2.5-0.5B": (config("qwen2", 896, 24, 14, 2, 4864, 151936, tie_word_embeddings=True), 494_032_768),
    "Qwen3-8B": (config("qwen3", 4096, 36, 32, 8, 12288, 151936, head_dim=128, attention_bias=False), 8_190_735_360),
    "Qwen3-0.6B": (config("qwen3", 1024, 28, 16, 8, 3072, 151936, head_dim=128, tie_word_embeddings=True), 596_049_920),
    "Mistral-7B-v0.3": (config("mistral", 4096, 32, 32, 8, 14336, 32768), 7_248_023_552),
    "gemma-2-2b": (config("gemma2", 2304, 26, 8, 4, 9216, 256000, head_dim=256), 2_614_341_888),
    "gemma-3-270m": (GEMMA3_270M, 268_098_176),
    "gemma-3-1b": (config("gemma3_text", 1152, 26, 4, 1, 6912, 262144, head_dim=256), 999_885_952),
    "Phi-3-mini-4k": (config("phi3", 3072, 32, 32, 32, 8192, 32064), 3_821_079_552),
    "phi-4": (config("phi3", 5120, 40, 40, 10, 17920, 100352), 14_659_507_200),
    "OLMo-2-1B": (config("olmo2", 2048, 16, 16, 16, 8192, 100352), 1_484_916_736),
    "OLMo-1B": (config("olmo", 2048, 16, 16, 16, 8192, 50304, tie_word_embeddings=True), 1_176_764_416),
    "Mixtral-8x7B": (config("mixtral", 4096, 32, 32, 8, 14336, 32000, num_local_experts=8, num_experts_per_tok=2), 46_702_792_704),
    "Qwen3-30B-A3B": (QWEN3_30B, 30_532_122_624),
    "Qwen1.5-MoE-A2.7B": (QWEN15_MOE, 14_315_784_192),
    "OLMoE-1B-7B": (config("olmoe", 2048, 16, 16, 16, 1024, 50304, num_experts=64, num_experts_per_tok=8), 6_919_161_856),
}


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_equal_the_published_count(name: str) -> None:
    values, expected = KNOWN[name]
    assert read_model_shape(values).num_parameters == expected


def test_multimodal_model_counts_its_language_part_with_the_defaults_of_its_class() -> None:
    text: dict[str, object] = {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34}
    shape = read_model_shape({"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 1152}})
    assert shape.num_parameters == 3_880_263_168
    assert (shape.num_heads, shape.num_kv_heads, shape.head_dim, shape.tied) == (8, 4, 256, True)
    assert context_length({"model_type": "gemma3", "text_config": text}) == 131_072


def test_experts_set_the_width_a_token_passes_through() -> None:
    shape = read_model_shape(QWEN3_30B)
    assert (shape.num_sparse_layers, shape.active_intermediate_size) == (48, 8 * 768)


@pytest.mark.parametrize(
    "values",
    [
        {"model_type": "mamba", "hidden_size": 8},
        {},
        {**LLAMA_1B, "hidden_size": "wide"},
        {**LLAMA_1B, "num_attention_heads": 0},
        {key: value for key, value in LLAMA_1B.items() if key != "vocab_size"},
    ],
)
def test_what_the_estimate_does_not_know_is_said(values: dict[str, object]) -> None:
    with pytest.raises(DesktopFtError) as caught:
        read_model_shape(values)
    assert caught.value.code == "model_architecture_unknown"
    assert "train" in caught.value.hint
