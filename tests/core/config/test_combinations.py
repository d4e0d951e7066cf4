"""Every combination of method and objective runs or is refused with the reason; what has no effect is told."""

from __future__ import annotations

import pytest

from desktop_ft.core.config import RunConfig, problems_of, set_value, validate
from desktop_ft.core.config.combinations import least_micro_batch, num_generations, policy_of
from desktop_ft.core.config.defaults import METHODS, MethodName, defaults_for
from desktop_ft.core.config.ignored import ignored_note, ignored_settings
from desktop_ft.core.config.objectives import OBJECTIVES, ObjectiveName

RULE = [{"kind": "length"}]


def tree(objective: str = "sft", method: str = "lora", **changes: object) -> dict[str, object]:
    values: dict[str, object] = {
        "model": {"source": "x"}, "data": {"train": "x"}, "method": {"kind": method}, "objective": {"kind": objective},
        "training": {"global_batch_size": 32},
    }  # fmt: skip
    if objective in ("grpo", "rloo", "ppo"):
        values = set_value(values, "objective.rewards.rules", RULE)
    for path, value in changes.items():
        values = set_value(values, path.replace("__", "."), value)
    return values


def told(objective: str = "sft", method: str = "lora", **changes: object) -> list[tuple[str, str]]:
    """Path and hint of each problem."""
    return [(problem.path, problem.hint) for problem in problems_of(tree(objective, method, **changes))]


def config(objective: str = "sft", method: str = "lora", **changes: object) -> RunConfig:
    return validate(tree(objective, method, **changes))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", METHODS)
def test_every_cell_of_the_matrix_can_run(method: str, objective: str) -> None:
    assert told(objective, method) == []


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_packing_is_for_whole_rows_of_text(objective: str) -> None:
    paths = [path for path, _ in told(objective, data__packing=True)]
    assert paths == ([] if objective in ("sft", "pretrain") else ["data.packing"])
    assert told(objective, data__packing=False) == []


@pytest.mark.parametrize(
    "loss, smoothing, hint",
    [
        ("sigmoid", 0.1, "robust"), ("ipo", 0.1, "robust"), ("robust", 0.1, ""), ("robust", 0.0, ""), ("aot", 0.1, ""),
        ("exo_pair", 0.0, "0.001"), ("exo_pair", 0.001, ""),
    ],
)  # fmt: skip
def test_label_smoothing_only_where_the_loss_uses_it(loss: str, smoothing: float, hint: str) -> None:
    found = told("dpo", objective__dpo__loss_type=loss, objective__dpo__label_smoothing=smoothing)
    assert [path for path, _ in found] == (["objective.dpo.label_smoothing"] if hint else [])
    assert all(hint in said for _, said in found)
    assert told("sft", objective__dpo__loss_type=loss, objective__dpo__label_smoothing=smoothing) == []


def test_kto_needs_two_answers_in_a_micro_batch() -> None:
    assert told("kto", training__micro_batch_size=1) == [("training.micro_batch_size", "Set it to 2 or more, or to auto.")]
    assert told("kto", training__global_batch_size=1) == [("training.global_batch_size", "Set it to 2 or more.")]
    assert told("kto", training__micro_batch_size=2) == []
    assert told("kto", training__micro_batch_size=1, objective__kto__loss_type="apo_zero_unpaired") == []
    assert least_micro_batch(config("kto")) == 2


@pytest.mark.parametrize("objective", ["grpo", "rloo", "ppo"])
def test_a_reward_needs_something_to_score_by(objective: str) -> None:
    assert [path for path, _ in told(objective, objective__rewards__rules=[])] == ["objective.rewards.model"]
    assert told(objective, objective__rewards__rules=[], objective__rewards__model="/runs/scorer") == []


def test_rlhf_brings_its_own_reward_model() -> None:
    assert told("rlhf") == []
    assert [path for path, _ in told("rlhf", objective__rewards__model="/runs/scorer")] == ["objective.rewards.model"]


@pytest.mark.parametrize(
    "objective, whole, hint",
    [
        ("grpo", 32, ""),
        ("grpo", 20, "Set it to 16 or 24"),
        ("grpo", 6, "Set it to 8"),
        ("rloo", 20, ""),
        ("rloo", 18, "Set it to 16 or 20"),
    ],
)
def test_sampled_answers_come_in_whole_groups(objective: str, whole: int, hint: str) -> None:
    found = told(objective, training__global_batch_size=whole)
    assert [path for path, _ in found] == (["training.global_batch_size"] if hint else [])
    assert all(hint in said for _, said in found)


def test_rlhf_has_the_groups_of_its_policy() -> None:
    assert told("rlhf", objective__rlhf__policy="grpo", training__global_batch_size=20)[0][0] == "training.global_batch_size"
    assert told("rlhf", objective__rlhf__policy="ppo", training__global_batch_size=20) == []
    of = config("rlhf", objective__rlhf__policy="rloo")
    assert (policy_of(of), num_generations(of)) == ("rloo", 4)


def test_an_adaptive_coefficient_does_not_start_at_nothing() -> None:
    found = told("ppo", objective__ppo__target_kl=6.0, objective__ppo__kl_coef=0.0)
    assert [path for path, _ in found] == ["objective.ppo.kl_coef"]
    assert told("ppo", objective__ppo__kl_coef=0.0) == []


# --- without effect --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", METHODS)
def test_defaults_are_never_called_ignored(method: MethodName, objective: ObjectiveName) -> None:
    values = tree(objective, method)
    for path, value in defaults_for(method, objective).items():
        values = set_value(values, path, value)
    assert ignored_settings(validate(values)) == {}
    assert ignored_note(validate(values)) == ""


@pytest.mark.parametrize(
    "objective, method, changes, paths",
    [
        ("sft", "lora", {"objective__dpo__beta": 0.2}, ["objective.dpo.beta"]),
        ("dpo", "lora", {"objective__dpo__beta": 0.2}, []),
        ("sft", "lora", {"objective__rewards__rules": RULE}, ["objective.rewards.rules"]),
        ("rlhf", "lora", {"objective__ppo__lam": 0.9, "objective__grpo__beta": 0.1}, ["objective.grpo.beta"]),
        ("ppo", "lora", {"objective__ppo__kl_horizon": 5}, ["objective.ppo.kl_horizon"]),
        ("ppo", "lora", {"objective__ppo__kl_horizon": 5, "objective__ppo__target_kl": 6.0}, []),
        ("dpo", "lora", {"data__assistant_only_loss": False}, ["data.assistant_only_loss"]),
        ("sft", "lora", {"data__assistant_only_loss": False}, []),
        ("sft", "lora", {"method__quantization__quant_type": "fp4"}, ["method.quantization.quant_type"]),
        ("sft", "qlora", {"method__quantization__quant_type": "fp4"}, []),
        ("sft", "full", {"method__rank": 8}, ["method.rank"]),
        ("sft", "lora", {"method__weight_updates": "float32"}, ["method.weight_updates"]),
        ("sft", "lora", {"model__adapter": "/a", "method__rank": 8}, ["method.rank"]),
        ("sft", "lora", {"training__max_steps": 5, "training__num_train_epochs": 2.0}, ["training.num_train_epochs"]),
        ("sft", "lora", {"training__lr_scheduler_type": "constant", "training__warmup_steps": 5.0}, ["training.warmup_steps"]),
        ("reward", "lora", {"evaluation__sample_prompts": ["Hi"]}, ["evaluation.sample_prompts"]),
        ("dpo", "lora", {"method__dropout": 0.1}, ["method.dropout"]),
        ("sft", "lora", {"method__dropout": 0.1}, []),
    ],
)
def test_what_was_changed_and_does_not_count_is_named(objective: str, method: str, changes: dict[str, object], paths: list[str]) -> None:
    of = config(objective, method, **changes)
    assert list(ignored_settings(of)) == paths
    assert all(reason.endswith(".") for reason in ignored_settings(of).values())
    assert all(path in ignored_note(of) for path in paths)
