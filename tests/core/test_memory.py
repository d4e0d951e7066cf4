"""The closed-form estimate against measured runs, and the ways in which it must behave."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any, Final, Literal

import pytest

from desktop_ft.core.config import RunConfig, validate
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.memory import TERM_KEYS, MemoryEstimate, RowLengths, changed_config, estimate
from desktop_ft.core.memory.plan import Dtype, Plan, linears
from desktop_ft.core.memory.terms import predict
from desktop_ft.core.models import ModelInfo
from tests.core.shapes import LLAMA_1B, LLAMA_8B, SMALL, SMOLLM2, UNKNOWN, llama

GIB: Final = 1 << 30
MIB: Final = 1 << 20
H100: Final = DeviceFacts("cuda", "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, GIB, supports_bf16=True, uuid="GPU-0")
RTX_4090: Final = DeviceFacts("cuda", "NVIDIA GeForce RTX 4090", 24 * GIB, 23 * GIB, GIB, supports_bf16=True, uuid="GPU-0")
CPU: Final = DeviceFacts("cpu", "CPU, 2 threads", 24 * GIB, 22 * GIB)


@pytest.fixture(autouse=True)
def triton_as_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desktop_ft.core.memory.plan.sys.platform", "linux")


def run(kind: str = "lora", micro: int | str = "auto", whole: int | None = None, length: int = 2048, **more: object) -> RunConfig:
    """A configuration; ``more`` sets dotted paths with ``__`` for the dot."""
    config = validate(
        {
            "model": {"source": "x"},
            "data": {"train": "x", "max_length": length},
            "method": {"kind": kind, "use_dora": False},
            "training": {"micro_batch_size": micro, "global_batch_size": whole or (micro if isinstance(micro, int) else 16)},
        }
    )
    return changed_config(config, {path.replace("__", "."): value for path, value in more.items()})


def terms(result: MemoryEstimate) -> dict[str, int]:
    return {term.key: term.num_bytes for term in result.terms}


# --- against measurements --------------------------------------------------------------------------------------------

H100_ROWS: Final = {
    "LoRA 8B, batch 4": (LLAMA_8B, "lora", False, 4, 20.7),
    "LoRA 8B, batch 2": (LLAMA_8B, "lora", False, 2, 18.4),
    "DoRA 8B, batch 2": (LLAMA_8B, "lora", True, 2, 20.4),
    "LoRA 1B, batch 8": (LLAMA_1B, "lora", False, 8, 6.7),
    "full 1B, batch 4": (LLAMA_1B, "full", False, 4, 10.8),
    "QLoRA 8B, batch 4": (LLAMA_8B, "qlora", False, 4, 10.4),
    "QLoRA 8B, batch 2": (LLAMA_8B, "qlora", False, 2, 8.1),
}
"""Peak reserved GiB of stock TRL 1.16 + PEFT 0.21 with sdpa, every row 2048 tokens, checkpointing on, on one H100.

Stock full fine-tuning keeps bfloat16 weights and lets small updates get lost (``weight_updates: plain``).
"""


@pytest.mark.parametrize("name", H100_ROWS)
def test_stock_runs_on_an_h100_within_three_percent(name: str) -> None:
    model, kind, use_dora, micro, reserved_gib = H100_ROWS[name]
    config = run(kind, micro, method__use_dora=use_dora, training__activation_checkpointing=True, training__kernels="none")
    result = estimate(config, model, H100, lengths=RowLengths(2048, 2048))
    measured = (reserved_gib + 0.75) * GIB
    assert result.total_bytes == pytest.approx(measured, rel=0.03)
    assert result.low_bytes < measured < result.high_bytes


CPU_ROWS: Final = [
    # model, method, DoRA, micro-batch, tokens, checkpointing, accumulation, peak resident MiB
    (SMALL, "lora", False, 8, 128, False, 1, 929),
    (SMALL, "lora", True, 8, 128, False, 1, 1033),
    (SMALL, "full", False, 8, 128, False, 1, 914),
    (SMOLLM2, "lora", False, 2, 256, False, 1, 2806),
    (SMOLLM2, "lora", False, 2, 256, True, 1, 2108),
    (SMOLLM2, "lora", False, 8, 256, False, 1, 7620),
    (SMOLLM2, "lora", False, 8, 256, True, 1, 5245),
    (SMOLLM2, "lora", True, 2, 256, False, 1, 3567),
    (SMOLLM2, "full", False, 2, 256, False, 1, 3910),
]
"""Peak resident memory of a process with SFTTrainer (torch 2.13 without CUDA, one thread, float32, three steps)."""


@pytest.mark.parametrize("model, kind, use_dora, micro, length, checkpointing, accumulation, peak_mib", CPU_ROWS)
def test_runs_on_a_cpu_within_the_stated_uncertainty(
    model: ModelInfo, kind: str, use_dora: bool, micro: int, length: int, checkpointing: bool, accumulation: int, peak_mib: int
) -> None:
    config = run(kind, micro, micro * accumulation, length, method__use_dora=use_dora, training__activation_checkpointing=checkpointing)
    result = estimate(config, model, CPU)
    assert result.low_bytes <= peak_mib * MIB <= result.high_bytes
    assert result.total_bytes == pytest.approx(peak_mib * MIB, rel=0.15)


EIGHT_BLOCKS: Final = llama("eight-blocks", 4096, 8, 32, 8, 14336, 1024, tied=False).known_shape()
BLOCK_ROWS: Final = [
    # method, DoRA, checkpointing, format, micro-batch, peak reserved MiB
    ("lora", False, False, "bfloat16", 4, 19774),
    ("lora", False, True, "bfloat16", 4, 7676),
    ("lora", True, False, "bfloat16", 2, 17924),
    ("lora", True, True, "bfloat16", 2, 7598),
    ("full", False, False, "bfloat16", 4, 25148),
    ("lora", False, False, "float32", 2, 30788),
    ("lora", False, True, "float32", 2, 12868),
]
"""Third step of eight blocks of the 8B shape without a loss, 2048 tokens, on an H100: torch 2.11, transformers 5.17, PEFT 0.21.0."""


@pytest.mark.parametrize("kind, use_dora, checkpointing, dtype, micro, reserved_mib", BLOCK_ROWS)
def test_blocks_alone_with_and_without_checkpointing_within_seven_percent(
    kind: Literal["lora", "full"], use_dora: bool, checkpointing: bool, dtype: Dtype, micro: int, reserved_mib: int
) -> None:
    plan = Plan(
        EIGHT_BLOCKS, EIGHT_BLOCKS.num_parameters, kind, dtype, "sdpa", micro, 2048, checkpointing, "adamw_torch_fused", accumulates=False,
        has_flash_attention=dtype != "float32", use_dora=use_dora, targets=tuple(linear.name for linear in linears(EIGHT_BLOCKS)),
    )  # fmt: skip
    prediction = predict(plan, H100)
    context = next(term.num_bytes for term in prediction.terms if term.key == "cuda_context")
    assert prediction.total_bytes - context == pytest.approx(reserved_mib * MIB, rel=0.07)


# --- behaviour -------------------------------------------------------------------------------------------------------


def test_the_parts_add_up_and_have_the_documented_names() -> None:
    result = estimate(run(micro=2), LLAMA_8B, H100)
    assert tuple(terms(result)) == TERM_KEYS
    assert sum(terms(result).values()) == result.total_bytes
    assert terms(result)["weights"] == 2 * 8_030_261_248
    assert result.low_bytes < result.total_bytes < result.high_bytes


def test_the_adapter_is_counted_exactly() -> None:
    adapter = 32 * 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
    found = terms(estimate(run(micro=1), LLAMA_8B, H100))
    assert found["adapter"] == 4 * adapter
    assert found["optimizer"] == 8 * adapter
    attention = terms(estimate(run(micro=1, method__target_modules="attention"), LLAMA_8B, H100))
    assert attention["adapter"] == 4 * 32 * 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024))
    one = terms(estimate(run(micro=1, method__target_modules=("q_proj",)), LLAMA_8B, H100))
    assert one["adapter"] == 4 * 32 * 16 * (4096 + 4096)


def test_full_fine_tuning_is_a_maximum_over_phases_and_not_a_sum() -> None:
    config = run("full", 4, training__activation_checkpointing=True)
    alone = estimate(config, LLAMA_1B, H100)
    accumulated = estimate(run("full", 4, 16, training__activation_checkpointing=True), LLAMA_1B, H100)
    assert alone.phase == "last block"
    assert accumulated.phase == "head"
    assert 0.5 * GIB < accumulated.total_bytes - alone.total_bytes < 2 * GIB


@pytest.mark.parametrize(
    "change",
    [
        {"training__micro_batch_size": 8, "training__global_batch_size": 8},
        {"data__max_length": 4096},
        {"method__rank": 64},
        {"method__use_dora": True},
        {"method__dropout": 0.1},
        {"training__activation_checkpointing": False},
        {"model__attention": "eager"},
        {"model__dtype": "float32"},
        {"method__kind": "full"},
    ],
)
def test_what_needs_more_is_predicted_to_need_more(change: dict[str, object]) -> None:
    config = run(micro=4, training__activation_checkpointing=True, model__dtype="bfloat16")
    less = estimate(config, LLAMA_8B, H100)
    more = estimate(changed_config(config, {path.replace("__", "."): value for path, value in change.items()}), LLAMA_8B, H100)
    assert more.total_bytes > less.total_bytes


def test_optimizers_have_their_states() -> None:
    stock: dict[str, Any] = {"training__kernels": "none", "training__activation_checkpointing": False}
    states = {
        optim: terms(estimate(run("full", 1, training__optim=optim, **stock), LLAMA_1B, H100))["optimizer"]
        for optim in ("adamw_torch_fused", "adamw_torch", "adafactor", "sgd", "paged_adamw_8bit", "paged_adamw_32bit")
    }
    assert states["adamw_torch_fused"] == 4 * 1_235_814_400
    assert states["sgd"] == 0
    assert states["paged_adamw_8bit"] == int((2 + 2 * 4 / 256) * (1_235_814_400 - 128_256 * 2048)) + 8 * 128_256 * 2048
    assert states["paged_adamw_32bit"] == 8 * 1_235_814_400
    assert states["adafactor"] < 0.05 * states["adamw_torch_fused"]
    assert states["adamw_torch"] >= states["adamw_torch_fused"]


def test_without_triton_the_head_needs_many_copies_of_its_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    config = run(micro=4, training__activation_checkpointing=True)
    linux = estimate(config, LLAMA_1B, RTX_4090)
    monkeypatch.setattr("desktop_ft.core.memory.plan.sys.platform", "win32")
    windows = estimate(config, LLAMA_1B, RTX_4090)
    assert windows.phase == "head"
    assert windows.total_bytes > linux.total_bytes + 2 * GIB


def test_a_card_without_flash_attention_makes_scores_for_grouped_heads() -> None:
    config = run(micro=1, training__activation_checkpointing=True)
    turing = DeviceFacts("cuda", "Tesla T4", 15 * GIB, 15 * GIB)
    ampere = replace(turing, supports_bf16=True)
    scores = 4 * 32 * 2048**2 + int(1.7 * 4 * 32 * 2048**2) + 2048 * 2 * 2 * (2048 - 512)
    difference = terms(estimate(config, LLAMA_1B, turing))["activations"] - terms(estimate(config, LLAMA_1B, ampere))["activations"]
    assert difference == scores


def test_the_longest_example_counts_where_it_is_known() -> None:
    config = run(micro=8, length=2048)
    assert estimate(config, LLAMA_1B, H100, 256).total_bytes < estimate(config, LLAMA_1B, H100).total_bytes
    assert estimate(config, LLAMA_1B, H100, 9999).total_bytes == estimate(config, LLAMA_1B, H100).total_bytes


def test_a_cpu_has_no_context_and_trains_in_float32() -> None:
    result = estimate(run(micro=1), SMOLLM2, CPU)
    assert terms(result)["cuda_context"] == 0
    assert terms(result)["weights"] == 4 * 134_515_008


def test_verdicts_are_about_what_is_free() -> None:
    config = run(micro=4, training__activation_checkpointing=True, training__optim="adamw_torch_fused")
    needed = estimate(config, LLAMA_8B, H100)
    verdicts = {
        free: estimate(config, LLAMA_8B, replace(H100, free_bytes=free)).verdict
        for free in (needed.high_bytes, needed.high_bytes - 1, needed.total_bytes, needed.total_bytes - 1)
    }
    assert list(verdicts.values()) == ["fits", "tight", "tight", "does_not_fit"]


def test_what_does_not_fit_comes_with_changes_that_save_what_they_say() -> None:
    stated: dict[str, Any] = {"model__dtype": "bfloat16", "training__optim": "adamw_torch_fused"}
    config = run("full", 8, 16, method__use_dora=True, training__activation_checkpointing=False, **stated)
    result = estimate(config, LLAMA_8B, RTX_4090)
    assert result.verdict == "does_not_fit"
    titles = [suggestion.title for suggestion in result.suggestions]
    assert titles[0] == "Micro-batch of 4; the global batch stays 16"
    assert "LoRA instead of full fine-tuning" in titles
    assert "Compute activations again (activation checkpointing)" in titles
    for suggestion in result.suggestions:
        changed = estimate(changed_config(config, suggestion.set), LLAMA_8B, RTX_4090)
        assert result.total_bytes - changed.total_bytes == suggestion.saves_bytes > 0
        assert suggestion.slowdown > 0


def test_dora_is_the_first_to_go() -> None:
    config = run(micro=2, method__use_dora=True, training__activation_checkpointing=True)
    small = replace(RTX_4090, free_bytes=16 * GIB)
    assert estimate(config, LLAMA_8B, small).suggestions[0].set == {"method.use_dora": False}


def test_where_it_fits_nothing_is_suggested_but_the_levers_stay() -> None:
    stated: dict[str, Any] = {"training__activation_checkpointing": True, "training__optim": "adamw_torch_fused"}
    config = run(micro=4, whole=16, method__use_dora=True, **stated)
    result = estimate(config, LLAMA_8B, H100)
    assert result.verdict == "fits"
    assert result.suggestions == ()
    titles = ["Plain LoRA instead of DoRA", "Activation checkpointing off", "Micro-batch of 2 instead of 4"]
    assert [lever.title for lever in result.levers] == titles
    assert [lever.num_bytes > 0 for lever in result.levers] == [False, True, False]
    for lever in result.levers:
        changed = estimate(changed_config(config, lever.set), LLAMA_8B, H100)
        assert changed.total_bytes - result.total_bytes == lever.num_bytes


def test_an_unknown_architecture_has_no_estimate() -> None:
    with pytest.raises(DesktopFtError) as caught:
        estimate(run(), UNKNOWN, H100)
    assert caught.value.code == "model_architecture_unknown"


def test_json_has_the_documented_keys() -> None:
    value = estimate(run("full", 8), LLAMA_8B, RTX_4090).to_json()
    keys = {"total_bytes", "low_bytes", "high_bytes", "terms", "device_free_bytes", "verdict", "suggestions", "resolved"}
    assert set(value) == keys | {"phases", "faster"}
    assert set(json.loads(json.dumps(value, allow_nan=False))["suggestions"][0]) == {"set", "title", "saves_bytes", "slowdown"}


def test_an_estimate_takes_a_few_milliseconds() -> None:
    config = run(method__use_dora=True)
    estimate(config, LLAMA_8B, RTX_4090)
    started = time.process_time()
    for _ in range(10):
        estimate(config, LLAMA_8B, RTX_4090)
    assert (time.process_time() - started) / 10 < 0.03


def test_the_small_model_of_the_program_fits_any_computer() -> None:
    assert estimate(run(length=1024), SMALL, replace(CPU, free_bytes=4 * GIB), 128).verdict == "fits"
