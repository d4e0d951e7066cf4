"""The advisor: which objective and method for which data, model and card, and that it says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from desktop_ft.core.advisor import DataSketch, Recommendation, recommend, sketch_of
from desktop_ft.core.config import Draft
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.data.signals import Signal
from desktop_ft.core.device import DeviceFacts
from tests.core.shapes import LLAMA_1B, LLAMA_8B, SMOLLM2, UNKNOWN
from tests.core.test_memory import GIB, H100, RTX_4090

SMALL_CARD: Final = DeviceFacts("cuda", "NVIDIA GeForce RTX 3060", 12 * GIB, 11 * GIB, supports_bf16=True)
TINY_CARD: Final = DeviceFacts("cuda", "NVIDIA GTX 1650", 4 * GIB, 3 * GIB)
APPLE: Final = DeviceFacts("mps", "Apple M4", 12 * GIB, 11 * GIB)


def said(found: Recommendation, words: str) -> bool:
    return any(words in reason for reason in found.reasons)


@pytest.mark.parametrize(
    "signal, objective", [("answers", "sft"), ("text", "pretrain"), ("pairs", "dpo"), ("judgments", "kto"), ("prompts", "grpo")]
)
def test_the_data_decide_the_objective(signal: Signal, objective: ObjectiveName) -> None:
    found = recommend(DataSketch(signal, 1000), LLAMA_1B, H100)
    assert (found.objective, found.method, found.verdict) == (objective, "lora", "fits")
    assert said(found, "fewer than a few thousand")
    assert all(reason.endswith((".", ".)")) for reason in found.reasons)
    assert objective not in {other.objective for other in found.alternatives}


def test_uncertain_preferences_ask_for_rlhf_and_a_few_for_the_robust_loss() -> None:
    uncertain = recommend(DataSketch("pairs", 1000, num_conflicting=80), LLAMA_1B, H100)
    assert uncertain.objective == "rlhf"
    assert said(uncertain, "80 of 1,000 pairs (8%)")
    some = recommend(DataSketch("pairs", 1000, num_conflicting=40), LLAMA_1B, H100)
    assert some.objective == "dpo"
    assert (some.settings["objective.dpo.loss_type"], some.settings["objective.dpo.label_smoothing"]) == ("robust", 0.02)


def test_a_broad_shift_asks_for_a_higher_rank_or_for_every_weight() -> None:
    some = recommend(DataSketch("text", 10_000, num_tokens=2_000_000), LLAMA_1B, H100)
    assert (some.method, some.settings["method.rank"]) == ("lora", 64)
    assert said(some, "higher rank")
    broad = DataSketch("text", 50_000, num_tokens=40_000_000)
    whole = recommend(broad, LLAMA_1B, H100)
    assert (whole.method, whole.settings["training.learning_rate"]) == ("full", 1e-5)
    assert said(whole, "40 million tokens")
    assert recommend(broad, LLAMA_8B, RTX_4090).method != "full"
    assert recommend(replace(broad, num_examples=1000), LLAMA_1B, H100).method == "lora"


def test_the_card_decides_between_lora_and_4_bit() -> None:
    data = DataSketch("answers", 1000)
    small = recommend(data, LLAMA_8B, SMALL_CARD)
    assert (small.method, small.verdict, small.settings["method.use_dora"]) == ("qlora", "fits", False)
    assert said(small, "in 16 bit does not fit")
    nothing = recommend(data, LLAMA_8B, TINY_CARD)
    assert nothing.verdict == "does_not_fit"
    assert said(nothing, "choose a smaller model")
    apple = recommend(data, LLAMA_8B, APPLE)
    assert (apple.method, apple.verdict) == ("lora", "does_not_fit")
    assert said(apple, "has no kernels")


def test_a_small_model_is_not_put_into_4_bit_without_a_word() -> None:
    card = DeviceFacts("cuda", "a tiny card", 2 * GIB, 1150 << 20, supports_bf16=True)
    found = recommend(DataSketch("answers", 1000), SMOLLM2, card)
    assert found.method == "qlora"
    assert said(found, "loses quality in 4 bit")


def test_without_a_model_or_its_shape_nothing_is_said_about_memory() -> None:
    for model in (None, UNKNOWN):
        found = recommend(DataSketch("answers", 1000), model, H100)
        assert (found.method, found.verdict) == ("lora", None)


@pytest.mark.parametrize("goal", ["sft", "pretrain", "dpo", "orpo", "kto", "reward", "rlhf"])
def test_a_goal_is_kept_and_the_settings_make_a_configuration(goal: ObjectiveName) -> None:
    found = recommend(DataSketch("pairs", 300), LLAMA_1B, H100, goal)
    assert found.objective == goal
    least = Draft({"model": {"source": "x"}, "data": {"train": "x"}})
    assert least.with_values(found.settings).problems() == ()


def test_the_sketch_of_a_report() -> None:
    report: dict[str, object] = {
        "format": "preference", "num_usable": 200, "lengths": {"mean": 50.5}, "findings": [{"code": "swapped_pairs", "num_rows": 6}],
    }  # fmt: skip
    assert sketch_of(report) == DataSketch("pairs", 200, 10_100, 6)
    assert sketch_of({"format": "messages", "num_usable": 3}) == DataSketch("answers", 3)
