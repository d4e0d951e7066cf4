"""What a block keeps and needs, family by family: bytes a token as counted on the real modules (benchmarks/vram/count_blocks.py)."""

from __future__ import annotations

from typing import Any, Final, Literal

import pytest

from desktop_ft.core.memory.activations import block_bytes, kept_bytes
from desktop_ft.core.memory.plan import ATTENTION_NAMES, Plan, linears
from desktop_ft.core.model_shape import read_model_shape

SIZES: Final[dict[str, object]] = {
    "hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64,
    "intermediate_size": 1408, "vocab_size": 1000, "sliding_window": None,
}  # fmt: skip
EXPERTS: Final[dict[str, object]] = {
    "num_experts": 8, "num_local_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 384, "intermediate_size": 384,
}  # fmt: skip
LENGTH: Final = 1024
Method = Literal["full", "lora", "qlora"]

COUNTED: Final[dict[tuple[str, Method, str], tuple[int, int]]] = {
    ("llama", "full", ""): (22_056, 30_001), ("llama", "lora", ""): (24_612, 39_469), ("llama", "qlora", ""): (20_232, 28_145),
    ("qwen3", "full", ""): (25_936, 33_881), ("qwen3", "lora", ""): (27_212, 42_069), ("qwen3", "qlora", ""): (22_832, 30_745),
    ("gemma", "full", ""): (24_108, 32_053),
    ("gemma3_text", "full", ""): (37_473, 47_972), ("gemma3_text", "lora", ""): (31_325, 47_200),
    ("gemma3_text", "qlora", ""): (26_945, 39_492),
    ("phi3", "full", ""): (23_336, 31_281), ("phi3", "lora", ""): (22_676, 37_533), ("phi3", "qlora", ""): (21_416, 31_377),
    ("olmo", "full", ""): (20_016, 28_217), ("olmo2", "full", ""): (29_232, 38_965), ("olmo2", "qlora", ""): (22_800, 34_581),
    ("granite", "lora", ""): (24_612, 41_517),
    ("mixtral", "full", ""): (21_148, 35_750), ("mixtral", "lora", ""): (32_509, 47_110), ("mixtral", "qlora", ""): (28_469, 43_070),
    ("qwen3_moe", "full", ""): (25_012, 33_470), ("qwen3_moe", "lora", "attention"): (20_380, 30_946),
    ("llama", "lora", "attention"): (19_472, 30_233), ("llama", "qlora", "attention"): (16_296, 27_057),
    ("llama", "lora", "dropout"): (29_092, 49_565), ("llama", "qlora", "dropout"): (28_808, 38_033),
    ("llama", "qlora", "dora"): (58_429, 82_066),
    ("llama", "lora", "eager"): (74_244, 111_029), ("gemma2", "lora", "eager"): (94_740, 129_463),
}  # fmt: skip
"""Of one token: what a block keeps, and what its backward pass needs with checkpointing; one row of 1,024 tokens, rank 16."""


@pytest.mark.parametrize("family, method, more", COUNTED)
def test_bytes_of_a_token_are_those_that_were_counted(family: str, method: Method, more: str) -> None:
    kept, needed = COUNTED[family, method, more]
    experts = EXPERTS if family in ("mixtral", "qwen3_moe") else {}
    shape = read_model_shape({"model_type": family, **SIZES, **experts})
    names = [linear.name for linear in linears(shape) if more != "attention" or linear.name in ATTENTION_NAMES]
    settings: dict[str, Any] = {"use_dora": more == "dora", "dropout": 0.05 if more == "dropout" else 0.0}
    plan = Plan(
        shape, shape.num_parameters, method, "bfloat16", "eager" if more == "eager" else "sdpa", 1, LENGTH, checkpointing=True,
        optim="adamw_torch_fused", accumulates=False, targets=() if method == "full" else tuple(names),
        adapts_experts=method != "full" and bool(experts) and more != "attention", **settings,
    )  # fmt: skip
    assert kept_bytes(plan) / LENGTH == pytest.approx(kept, rel=0.002)
    assert block_bytes(plan) / LENGTH == pytest.approx(needed, rel=0.02)
