"""Make it fit and the other way, the limits of a card, and the often quoted table under the settings for which it holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from desktop_ft.core.memory import RowLengths, Situation, changed_config, estimate
from desktop_ft.core.memory.limits import KNOWN_MODELS, largest_model, longest_context
from desktop_ft.core.models import ModelInfo
from tests.core.shapes import LLAMA_1B, LLAMA_8B, llama
from tests.core.test_memory import GIB, H100, RTX_4090, run, terms
from tests.core.test_model_shape import KNOWN as PUBLISHED

LLAMA_7B: Final = llama("llama-7b", 4096, 32, 32, 32, 11008, 32000, tied=False)
LLAMA_70B: Final = llama("llama-70b", 8192, 80, 64, 8, 28672, 128256, tied=False)
STATED: Final[dict[str, Any]] = {"model__dtype": "bfloat16", "training__optim": "adamw_torch_fused"}
LENGTHS: Final = RowLengths(100, 2000, (100, 1000, 2000), (90, 10))


@pytest.fixture(autouse=True)
def triton_as_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desktop_ft.core.memory.plan.sys.platform", "linux")


# --- what makes room -------------------------------------------------------------------------------------------------


def test_where_no_single_change_is_enough_the_cheapest_set_comes_last() -> None:
    config = run("lora", 8, 16, training__activation_checkpointing=False, **STATED)
    suggestions = estimate(config, LLAMA_8B, RTX_4090).suggestions
    together = suggestions[-1]
    assert together.is_set
    assert {"training.micro_batch_size", "training.activation_checkpointing"} <= set(together.set)
    assert "method.kind" not in together.set
    assert estimate(changed_config(config, together.set), LLAMA_8B, RTX_4090).verdict == "fits"
    assert not any(estimate(changed_config(config, one.set), LLAMA_8B, RTX_4090).verdict == "fits" for one in suggestions[:-1])


def test_where_one_change_is_enough_there_is_no_set() -> None:
    config = run("lora", 2, 16, training__activation_checkpointing=False, **STATED)
    suggestions = estimate(config, LLAMA_8B, RTX_4090).suggestions
    assert any(estimate(changed_config(config, one.set), LLAMA_8B, RTX_4090).verdict == "fits" for one in suggestions)
    assert not any(one.is_set for one in suggestions)


def test_a_shorter_length_says_how_many_rows_it_cuts() -> None:
    config = run("lora", 4, 16, training__activation_checkpointing=False, **STATED)
    suggestions = estimate(config, LLAMA_8B, RTX_4090, lengths=LENGTHS).suggestions
    shorter = next(one for one in suggestions if set(one.set) == {"data.max_length"})
    assert shorter.set == {"data.max_length": 1024}
    assert shorter.share_cut == pytest.approx(0.1 * 976 / 1000)
    assert "10% of them are longer" in shorter.title


def test_memory_left_over_can_be_spent_and_it_still_fits() -> None:
    config = run("lora", 2, 16, training__activation_checkpointing=True, **STATED)
    faster = estimate(config, LLAMA_8B, H100).faster
    assert faster[0].set == {"training.activation_checkpointing": False}
    assert [one.slowdown for one in faster] == sorted(one.slowdown for one in faster)
    for one in faster:
        assert one.slowdown < 1
        assert one.saves_bytes < 0
        assert estimate(changed_config(config, one.set), LLAMA_8B, H100).verdict == "fits"
    assert not estimate(config, LLAMA_8B, replace(H100, free_bytes=21 * GIB)).faster


# --- what settings do ------------------------------------------------------------------------------------------------


def test_every_second_layer_lies_between_all_and_none() -> None:
    def activations(more: dict[str, Any]) -> int:
        return terms(estimate(run(micro=2, **STATED, **more), LLAMA_8B, H100))["activations"]

    every, second, none = (
        activations({"training__activation_checkpointing": True}),
        activations({"training__activation_checkpointing": True, "training__checkpoint_every_n_layers": 2}),
        activations({"training__activation_checkpointing": False}),
    )
    assert every < second < none
    assert second == pytest.approx((every + none) / 2, rel=0.1)


def test_offloading_saves_the_hidden_states_of_all_layers_but_one_or_two() -> None:
    config = run(micro=2, training__activation_checkpointing=True, **STATED)
    away = changed_config(config, {"training.offload_checkpoints": True})
    saved = terms(estimate(config, LLAMA_8B, H100))["activations"] - terms(estimate(away, LLAMA_8B, H100))["activations"]
    assert saved == 30 * 2 * 4096 * 2 * 2048


def test_equal_rows_need_no_mask_and_packed_rows_one_of_their_length_squared() -> None:
    config = run(micro=4, training__activation_checkpointing=True, **STATED)
    padded, equal = estimate(config, LLAMA_1B, H100), estimate(config, LLAMA_1B, H100, lengths=RowLengths(2048, 4096))
    packed = estimate(changed_config(config, {"data.packing": True}), LLAMA_1B, H100)
    assert equal.total_bytes < padded.total_bytes
    assert terms(packed)["activations"] - terms(equal)["activations"] >= 3 * (4 * 2048) ** 2


def test_a_measured_context_goes_before_the_table() -> None:
    result = estimate(run(micro=1), LLAMA_1B, H100, context_bytes=123)
    assert terms(result)["cuda_context"] == 123


def test_the_peak_is_the_largest_of_all_moments() -> None:
    result = estimate(run("full", 2), LLAMA_1B, H100)
    assert {"load", "head", "first block", "optimizer", "evaluation", "save"} <= set(result.phases)
    assert max(result.phases.values()) == result.phases[result.phase] == result.total_bytes


# --- limits ----------------------------------------------------------------------------------------------------------


def test_the_longest_examples_fit_and_longer_ones_do_not() -> None:
    model = replace(LLAMA_8B, context_length=131_072)
    config = run("qlora", 1, 1, training__activation_checkpointing=True, **STATED)
    longest, is_models = longest_context(config, Situation(model, RTX_4090))
    assert not is_models
    fitting, too_long = (changed_config(config, {"data.max_length": length}) for length in (longest, longest + 64))
    assert estimate(fitting, model, RTX_4090).verdict == "fits"
    assert estimate(too_long, model, RTX_4090).verdict != "fits"
    assert longest_context(config, Situation(replace(model, context_length=2048), RTX_4090)) == (2048, True)


def test_a_larger_card_trains_a_larger_model() -> None:
    config = run("qlora", length=1024)
    small, num_small = largest_model(config, Situation(LLAMA_1B, RTX_4090))
    large, num_large = largest_model(config, Situation(LLAMA_1B, H100))
    assert small in KNOWN_MODELS
    assert large == "Llama 3.1 70B"
    assert num_small < num_large == 70_553_706_496
    assert largest_model(run("full", length=1024), Situation(LLAMA_1B, replace(RTX_4090, free_bytes=2 * GIB))) == (None, 0)


def test_the_table_of_models_has_the_published_shapes() -> None:
    same = {"SmolLM2 135M": "SmolLM2-135M", "Llama 3.2 1B": "Llama-3.2-1B", "Llama 3.1 8B": "Llama-3.1-8B", "Qwen3 8B": "Qwen3-8B",
            "Qwen3 0.6B": "Qwen3-0.6B", "Mistral 7B v0.3": "Mistral-7B-v0.3", "Phi-4 14B": "phi-4"}  # fmt: skip
    for known, published in same.items():
        values = PUBLISHED[published][0]
        model_type, hidden, layers, heads, kv, width, vocab, _, _ = KNOWN_MODELS[known]
        names = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size")
        assert [values[name] for name in names] + [values["vocab_size"]] == [model_type, hidden, layers, heads, kv, width, vocab], known


# --- the often quoted table ------------------------------------------------------------------------------------------

QUOTED: Final[dict[str, tuple[ModelInfo, str, float, dict[str, object]]]] = {
    "7B full, about 60 GB and more": (LLAMA_7B, "full", 60, {"training__kernels": "none"}),
    "7B LoRA, about 16 GB": (LLAMA_7B, "lora", 16, {}),
    "7B QLoRA, about 6 GB": (LLAMA_7B, "qlora", 6, {}),
    "70B QLoRA, about 48 GB": (LLAMA_70B, "qlora", 48, {"training__optim": "paged_adamw_8bit"}),
}


@pytest.mark.parametrize("row", QUOTED)
def test_the_often_quoted_table_holds_for_one_row_of_512_tokens_with_checkpointing(row: str) -> None:
    model, kind, quoted_gb, more = QUOTED[row]
    config = run(kind, 1, 1, 512, training__activation_checkpointing=True, **{**STATED, **more})
    assert estimate(config, model, H100).total_bytes / 1e9 == pytest.approx(quoted_gb, rel=0.25)
