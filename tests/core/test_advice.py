"""Warnings before the start: each appears where it should and not where it should not."""

from __future__ import annotations

import pytest

from desktop_ft.core.advice import advise
from desktop_ft.core.config import SETTINGS, RunConfig, validate
from desktop_ft.core.config.defaults import METHODS, MethodName, default_rate, defaults_for
from desktop_ft.core.config.objectives import OBJECTIVES, ObjectiveName
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


def test_stock_full_fine_tuning_in_bfloat16_loses_small_steps() -> None:
    of = config(method__kind="full", training__learning_rate=1e-5)
    assert codes(of, dtype="bfloat16") == []
    stock = config(method__kind="full", training__learning_rate=1e-5, training__kernels="none")
    assert codes(stock, dtype="bfloat16") == ["bfloat16_rounding"]
    assert codes(stock, dtype="float32") == []


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
    small = advise(config(method__kind="qlora", method__use_dora=True), 2000, num_parameters=135_000_000)
    assert [advice.code for advice in small] == ["qlora_small_model", "dora_very_slow"]
    found += small
    assert all(advice.path in SETTINGS and advice.why and advice.what_to_do for advice in found)


def test_the_demo_model_bears_the_demo_rate() -> None:
    assert "learning_rate_high" not in {advice.code for advice in advise(demo_config(), 380)}


RULES = [{"kind": "length"}]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", METHODS)
def test_the_defaults_of_every_combination_on_enough_data_need_no_warning(method: MethodName, objective: ObjectiveName) -> None:
    rules = {"objective.rewards.rules": RULES} if objective in ("grpo", "rloo", "ppo") else {}
    dora = {} if method == "full" else {"method.use_dora": False}
    changes = {"objective.kind": objective, "method.kind": method, **defaults_for(method, objective), **dora, **rules}
    found = codes(changed_config(config(), changes))
    expected = {"orpo": ["micro_batch_matters"], "kto": ["micro_batch_matters"]}.get(objective, [])
    assert found == expected


@pytest.mark.parametrize(
    "objective, method, rate, expected",
    [
        ("dpo", "lora", 5e-5, []),
        ("dpo", "lora", 2e-4, ["learning_rate_high"]),
        ("dpo", "lora", 4e-7, ["learning_rate_low"]),
        ("dpo", "full", 1e-5, ["learning_rate_high"]),
        ("reward", "lora", 5e-4, []),
        ("reward", "lora", 6e-4, ["learning_rate_high"]),
        ("pretrain", "lora", 2e-4, []),
        ("rlhf", "full", 5e-5, ["learning_rate_high"]),
    ],
)
def test_the_learning_rate_is_judged_by_the_objective(objective: str, method: str, rate: float, expected: list[str]) -> None:
    assert codes(config(objective__kind=objective, method__kind=method, training__learning_rate=rate)) == expected


@pytest.mark.parametrize("objective, enough", [("dpo", 200), ("reward", 300), ("sft", 50), ("pretrain", 20)])
def test_how_many_rows_are_few_depends_on_the_objective(objective: ObjectiveName, enough: int) -> None:
    of = config(objective__kind=objective, training__learning_rate=default_rate("lora", objective))
    assert codes(of, enough) == []
    assert codes(of, enough - 1) == ["few_rows"]


def test_passes_over_preferences_and_for_a_scorer() -> None:
    dpo = config(objective__kind="dpo", training__learning_rate=5e-6, training__num_train_epochs=4)
    assert codes(dpo) == ["many_epochs"]
    scorer = config(objective__kind="reward", training__learning_rate=1e-4, training__num_train_epochs=3)
    assert codes(scorer) == ["many_epochs"]
    whole = config(objective__kind="rlhf", training__learning_rate=1e-5, objective__rlhf__reward_num_train_epochs=3.0)
    assert [advice.path for advice in advise(whole, 5000)] == ["objective.rlhf.reward_num_train_epochs"]


def test_a_policy_without_a_hold_and_groups_that_are_too_small() -> None:
    online = {"objective__kind": "grpo", "training__learning_rate": 1e-5, "training__global_batch_size": 32}
    scored = config(**online, objective__rewards__model="/a/scorer")
    assert [(advice.code, advice.path) for advice in advise(scored, 5000)] == [("nothing_holds_policy", "objective.grpo.beta")]
    assert codes(config(**online, objective__rewards__model="/a/scorer", objective__grpo__beta=0.04)) == []
    assert codes(config(**online, objective__rewards__rules=RULES)) == []
    assert codes(config(**online, objective__rewards__rules=RULES, objective__grpo__num_generations=2)) == ["few_generations"]


def test_settings_without_effect_are_named() -> None:
    found = advise(config(objective__dpo__beta=0.2, objective__kto__beta=0.2), 5000)
    assert [(advice.code, advice.path) for advice in found] == [("settings_ignored", "objective.dpo.beta")]
    assert "objective.dpo.beta, objective.kto.beta" in found[0].why
