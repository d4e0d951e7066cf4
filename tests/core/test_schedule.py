"""Steps of a run by objective, as each trainer counts them."""

from __future__ import annotations

import math

import pytest

from desktop_ft.core.config import RunConfig, set_value, validate
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.schedule import check_enough_examples, num_steps, prompts_per_step, steps_per_epoch


def config(objective: str, whole: int, **changes: object) -> RunConfig:
    values: dict[str, object] = {
        "model": {"source": "x"}, "data": {"train": "x"}, "objective": {"kind": objective}, "training": {"global_batch_size": whole},
    }  # fmt: skip
    if objective in ("grpo", "rloo", "ppo"):
        values = set_value(values, "objective.rewards.rules", [{"kind": "length"}])
    for path, value in changes.items():
        values = set_value(values, path.replace("__", "."), value)
    return validate(values)


@pytest.mark.parametrize("objective", ["sft", "pretrain", "dpo", "orpo", "kto", "reward"])
def test_examples_over_the_batch_rounded_up(objective: str) -> None:
    of = config(objective, 16, training__num_train_epochs=2.5)
    assert (steps_per_epoch(of, 1000), num_steps(of, 1000)) == (63, 158)
    assert num_steps(config(objective, 16, training__max_steps=7), 1000) == 7


def batches_of_repeat_sampler(num_prompts: int, group: int, whole: int, iterations: int) -> int:
    """Optimizer steps of an epoch as TRL's sampler makes them: whole chunks of prompts, each repeated; a rest is left out."""
    chunks = [chunk for chunk in range(0, num_prompts, whole // group) if chunk + whole // group <= num_prompts]
    return len(chunks) * iterations


@pytest.mark.parametrize("num_prompts, group, whole, iterations", [(100, 8, 32, 1), (100, 8, 32, 3), (103, 2, 8, 2), (4, 8, 32, 1)])
def test_groups_count_sampled_answers(num_prompts: int, group: int, whole: int, iterations: int) -> None:
    changes: dict[str, object] = {"objective__grpo__num_generations": group, "objective__grpo__num_iterations": iterations}
    of = config("grpo", whole, training__num_train_epochs=1.5, **changes)
    expected = batches_of_repeat_sampler(num_prompts, group, whole, iterations)
    assert steps_per_epoch(of, num_prompts) == expected
    assert num_steps(of, num_prompts) == max(1, math.ceil(1.5 * expected))
    assert prompts_per_step(of) == whole // group


def test_ppo_counts_steps_on_rollouts_and_fills_the_last_one() -> None:
    of = config("ppo", 8, objective__ppo__num_mini_batches=2, objective__ppo__num_ppo_epochs=4)
    assert num_steps(of, 32) == 2 * 8
    assert num_steps(of, 33) == 3 * 8
    assert num_steps(config("ppo", 8, training__num_train_epochs=0.01), 33) == 4
    assert num_steps(config("ppo", 8, training__max_steps=5), 33) == 5


def test_rlhf_is_the_reward_model_and_the_policy() -> None:
    changes: dict[str, object] = {"objective__rlhf__reward_num_train_epochs": 2.0, "objective__rlhf__reward_global_batch_size": 10}
    of = config("rlhf", 8, **changes)
    assert num_steps(of, 40) == 8 + 5 * 4
    assert num_steps(config("rlhf", 8, objective__rlhf__policy="rloo", **changes), 40) == 8 + 20
    assert num_steps(config("rlhf", 8, training__max_steps=3, **changes), 40) == 8 + 3


def test_too_few_prompts_for_a_step_are_refused() -> None:
    with pytest.raises(DesktopFtError) as caught:
        check_enough_examples(config("grpo", 32), 3)
    assert (caught.value.code, caught.value.hint) == ("too_few_prompts", "Set training.global_batch_size to 24, or add prompts.")
    check_enough_examples(config("grpo", 32), 4)
    check_enough_examples(config("ppo", 32), 3)
    check_enough_examples(config("dpo", 32), 3)
