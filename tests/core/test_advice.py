"""Warnings before the start: each appears where it should and not where it should not."""

from __future__ import annotations

import pytest

from desktop_ft.core.advice import advise
from desktop_ft.core.config import SETTINGS, RunConfig, validate
from desktop_ft.core.demo import demo_config
from desktop_ft.core.memory import changed_config


def config(**changes: object) -> RunConfig:
    plain = validate({"model": {"source": "x"}, "data": {"train": "x"}, "method": {"use_dora": False}})
    return changed_config(plain, {path.replace("__", "."): value for path, value in changes.items()})


def codes(of: RunConfig, num_examples: int | None = 5000, num_over_length: int = 0, dtype: str | None = None) -> list[str]:
    return [advice.code for advice in advise(of, num_examples, num_over_length=num_over_length, dtype=dtype)]


def test_the_defaults_on_enough_data_need_no_advice() -> None:
    assert codes(config()) == []


@pytest.mark.parametrize(
    "kind, rate, expected",
    [
        ("lora", 1e-3, []),
        ("lora", 2e-3, ["learning_rate_high"]),
        ("lora", 1e-5, ["learning_rate_low"]),
        ("full", 5e-5, []),
        ("full", 2e-4, ["learning_rate_high"]),
        ("full", 1e-7, ["learning_rate_low"]),
    ],
)
def test_the_learning_rate_is_judged_by_the_method(kind: str, rate: float, expected: list[str]) -> None:
    assert codes(config(method__kind=kind, training__learning_rate=rate)) == expected


def test_full_fine_tuning_in_bfloat16_loses_small_steps() -> None:
    of = config(method__kind="full", training__learning_rate=1e-5)
    assert codes(of, dtype="bfloat16") == ["bfloat16_rounding"]
    assert codes(of, dtype="float32") == []


def test_few_rows_and_many_passes() -> None:
    assert codes(config(), 49) == ["few_rows"]
    assert codes(config(), 50) == []
    assert codes(config(method__kind="full", training__learning_rate=1e-5), 500) == ["few_rows_full"]
    assert codes(config(training__num_train_epochs=10), 500) == ["many_epochs"]
    assert codes(config(training__max_steps=1000), 500) == ["many_epochs"]
    assert codes(config(training__num_train_epochs=10), 5000) == []
    assert codes(config(training__num_train_epochs=10), None) == []


def test_dora_rslora_and_the_loss_on_questions() -> None:
    assert codes(config(method__use_dora=True)) == ["dora_slow"]
    assert codes(config(method__use_rslora=True)) == ["rslora_small_rank"]
    assert codes(config(method__use_rslora=True, method__rank=64)) == []
    assert codes(config(data__assistant_only_loss=False)) == ["whole_conversation_loss"]


def test_cut_rows_from_one_in_a_hundred() -> None:
    assert codes(config(), 1000, 9) == []
    assert codes(config(), 1000, 10) == ["rows_cut"]
    assert "10 of 1,000 examples (1%)" in advise(config(), 1000, num_over_length=10)[0].why


def test_every_advice_points_at_a_setting_and_says_what_to_do() -> None:
    worst = config(method__kind="full", training__learning_rate=1.0, training__num_train_epochs=9, data__assistant_only_loss=False)
    found = advise(worst, 20, num_over_length=20, dtype="bfloat16")
    assert len(found) == 5
    assert all(advice.path in SETTINGS and advice.why and advice.what_to_do for advice in found)


def test_the_demo_model_bears_the_demo_rate() -> None:
    assert "learning_rate_high" not in {advice.code for advice in advise(demo_config(), 380)}
