"""Defaults by method and objective: their values, that each combination is a configuration, and that a switch keeps what was typed."""

from __future__ import annotations

import pytest

from desktop_ft.core.config import SETTINGS, Draft
from desktop_ft.core.config.defaults import METHODS, RATES, MethodName, changes_for, default_rate, defaults_for, sources_for
from desktop_ft.core.config.objectives import OBJECTIVES, ObjectiveName

LEAST = Draft({"model": {"source": "demo"}, "data": {"train": "demo"}})
RULES = {"objective.rewards.rules": [{"kind": "exact_answer"}]}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", METHODS)
def test_every_combination_with_its_defaults_is_a_configuration(kind: MethodName, objective: ObjectiveName) -> None:
    rewards = RULES if objective in ("grpo", "rloo", "ppo") else {}
    draft = LEAST.with_values({"method.kind": kind, "objective.kind": objective, **defaults_for(kind, objective), **rewards})
    assert draft.problems() == ()


@pytest.mark.parametrize(
    "objective, adapter, full",
    [("sft", 2e-4, 1e-5), ("dpo", 5e-6, 5e-7), ("kto", 5e-6, 5e-7), ("reward", 1e-4, 1e-5), ("ppo", 1e-5, 1e-6), ("grpo", 1e-5, 1e-6)],
)
def test_learning_rates(objective: ObjectiveName, adapter: float, full: float) -> None:
    assert [default_rate(kind, objective) for kind in METHODS] == [adapter, adapter, full]


def test_lora_with_sft_has_the_declared_defaults() -> None:
    assert all(SETTINGS[path].default == value for path, value in defaults_for("lora", "sft").items())


def test_every_combination_has_the_same_paths_and_every_source_names_one() -> None:
    paths = set(defaults_for("lora", "sft"))
    assert all(set(defaults_for(kind, objective)) == paths for kind in METHODS for objective in OBJECTIVES)
    assert all(set(sources_for(objective)) <= paths for objective in OBJECTIVES)
    assert all(rates.source for rates in RATES.values())


def test_dora_is_off_over_4_bit_and_while_sampling() -> None:
    assert defaults_for("lora", "dpo")["method.use_dora"] is True
    assert defaults_for("qlora", "sft")["method.use_dora"] is False
    assert defaults_for("lora", "ppo")["method.use_dora"] is False


def test_a_switch_there_and_back_changes_nothing() -> None:
    there = LEAST.with_values(changes_for(LEAST, "full", "dpo"))
    assert (there.get("training.learning_rate"), there.get("training.warmup_steps")) == (5e-7, 0.1)
    back = there.with_values(changes_for(there, "lora", "sft"))
    assert all(back.get(path) == LEAST.get(path) for path in SETTINGS)


def test_what_was_typed_stays() -> None:
    typed = LEAST.with_values({"training.learning_rate": 3e-4, "method.rank": 8})
    changes = changes_for(typed, objective="pretrain")
    assert changes == {"objective.kind": "pretrain"}
    assert changes_for(LEAST, objective="pretrain")["method.alpha"] == 128.0
