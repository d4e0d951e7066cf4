"""PPO runs on a tiny model: what they tell, that micro-batches do not matter, where they start from, and where passes end early."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from desktop_ft.core.events import ErrorRaised, EvaluationDone, RunFinished, RunStarted, SampleDone, StepDone, WarningRaised
from desktop_ft.core.reward_model import RewardSource
from desktop_ft.engine.objectives import ppo
from desktop_ft.engine.objectives.parts import Parts
from desktop_ft.engine.ppo.experience import Schedule
from desktop_ft.engine.ppo.roles import Roles
from desktop_ft.engine.reward_model import RewardModel
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work
from tests.engine.ppo.ppo_runs import SETTINGS, assert_same, assert_same_weights, numbers, randomise, weights

METRICS = {
    "reward", "reward_std", "rewards/regex_1/mean", "rewards/regex_2/mean", "score", "rlhf_reward", "kl", "kl_coef", "entropy", "approx_kl",
    "clip_fraction", "policy_loss", "value_loss", "explained_variance", "advantages/std", "completions/mean_length",
    "completions/share_finished",
}  # fmt: skip


@pytest.fixture
def settings(tiny: Path, prompts: Path) -> dict[str, object]:
    return {**SETTINGS, "model.source": str(tiny), "data.train": str(prompts)}


@pytest.fixture(scope="module")
def ending(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with 60 tokens that end an answer, so that its random answers are of all lengths."""
    folder = Path(shutil.copytree(tiny, tmp_path_factory.mktemp("ending") / "model"))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, *range(100, 160)]}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_every_method_runs_and_tells(method: str, settings: dict[str, object], new_run: NewRun) -> None:
    run = new_run(method, {**settings, "method.kind": method, "method.use_dora": True, "data.split.fraction": 0.2, "training.max_steps": 5})
    assert work(run) == 0, [error.traceback for error in events_of(run, ErrorRaised)]
    steps = events_of(run, StepDone)
    assert [step.step for step in steps] == [1, 2, 3, 4, 5]
    for step in steps:
        assert set(step.metrics) == METRICS
        assert step.loss == pytest.approx(step.metrics["policy_loss"] + 0.1 * step.metrics["value_loss"], abs=1e-6)
        assert step.grad_norm is not None
        assert step.grad_norm > 0
        assert step.tokens_per_second is not None
        assert step.tokens_per_second > 0
        assert 4 < step.metrics["entropy"] < math.log(400)
        assert step.metrics["score"] == pytest.approx(step.metrics["reward"] - (1 - step.metrics["completions/share_finished"]), abs=1e-6)
    assert steps[0].metrics["kl"] == pytest.approx(0.0, abs=1e-4)
    assert steps[0].metrics["approx_kl"] == pytest.approx(0.0, abs=1e-6)
    assert steps[4].metrics["kl"] != steps[0].metrics["kl"]
    assert sum(len(event.text) > 0 for event in events_of(run, SampleDone) if event.sampled) == 6
    (evaluation,) = events_of(run, EvaluationDone)
    assert {"reward", "kl", "entropy", "completions/mean_length", "completions/share_finished"} <= set(evaluation.metrics)
    assert (run.adapter if method != "full" else run.model).is_dir()
    assert not list(run.adapter.glob("value_function"))
    assert [event.status for event in events_of(run, RunFinished)] == ["completed"]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_micro_batches_make_no_difference(method: str, settings: dict[str, object], ending: Path, new_run: NewRun) -> None:
    """The answers differ in length, so that a mean over micro-batches would not be the mean over the tokens."""
    settings = {**settings, "method.kind": method, "training.max_steps": 4, "objective.ppo.missing_eos_penalty": None}
    settings["objective.rewards.rules"] = [{"kind": "length", "min_tokens": 1, "max_tokens": 3}]
    settings["model.source"] = str(ending)
    one, four = (new_run(f"micro-{size}", {**settings, "training.micro_batch_size": size}) for size in (1, 4))
    assert work(one) == 0
    assert work(four) == 0
    assert [(event.micro_batch_size, event.gradient_accumulation_steps) for event in events_of(one, RunStarted)] == [(1, 4)]
    assert 2.0 < numbers(one)[1]["completions/mean_length"] < 12.0
    assert_same(numbers(one), numbers(four), 1e-5)
    results = [weights(run.adapter if method == "lora" else run.model) for run in (one, four)]
    assert_same_weights(results[0], results[1], 1e-5)


def test_going_on_from_an_adapter_is_measured_from_there(
    settings: dict[str, object], tiny: Path, tmp_path: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference is the adapter that the run starts from, not the base: the first divergence is 0."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base: Any = AutoModelForCausalLM.from_pretrained(tiny)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear"))
    randomise(model, seed=3)
    model.save_pretrained(str(tmp_path / "start"))
    run = new_run("goes-on", {**settings, "model.adapter": str(tmp_path / "start"), "training.max_steps": 5})
    assert work(run) == 0
    first, last = numbers(run)[1], numbers(run)[5]
    assert first["kl"] == pytest.approx(0.0, abs=1e-4)
    assert abs(last["kl"]) > 1e-4
    start, end = weights(tmp_path / "start"), weights(run.adapter)
    assert start.keys() == end.keys()
    assert max(float((end[name] - start[name]).abs().max()) for name in start) > 1e-4


def test_the_value_function_starts_as_the_reward_model(
    settings: dict[str, object], reward_adapter: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, torch.Tensor]] = []
    on_one_base = vars(ppo)["_on_one_base"]

    def noted(parts: Parts, source: RewardSource | None) -> tuple[Roles, RewardModel | None]:
        roles, reward_model = on_one_base(parts, source)
        kept.append({name: weight.detach().clone() for name, weight in roles.learning.named_parameters()})
        return roles, reward_model

    monkeypatch.setattr(ppo, "_on_one_base", noted)
    run = new_run("scored", {**settings, "objective.rewards.model": str(reward_adapter), "training.max_steps": 1})
    assert work(run) == 0
    saved = {name.removesuffix(".weight"): weight for name, weight in weights(reward_adapter).items()}
    head = next(name for name in saved if "score" in name)
    torch.testing.assert_close(kept[0]["head.weight"], saved.pop(head))
    for name, weight in saved.items():
        torch.testing.assert_close(kept[0][f"model.{name}.value_function.weight"], weight)
    assert "rewards/reward_model/mean" in numbers(run)[1]
    assert not [event for event in events_of(run, WarningRaised) if event.code == "ppo_reward_model_apart"]


def test_passes_end_where_the_policy_moved_too_far(settings: dict[str, object], new_run: NewRun) -> None:
    """The steps that are left out count: the next rollout begins where it would have begun."""
    changes: dict[str, object] = {"training.max_steps": 10, "training.learning_rate": 5e-2, "objective.ppo.kl_early_stop": 1e-4}
    run = new_run("stops-early", {**settings, **changes, "output.save_steps": 3})
    assert work(run) == 0
    told = numbers(run)
    # The first step of a rollout has not moved yet; the second one has, and ends the passes of 4 steps.
    assert list(told) == [1, 4, 5, 8, 9, 10]
    assert [told[step]["approx_kl"] > 1e-4 for step in told] == [False, True, False, True, False, True]
    assert events_of(run, RunFinished)[0].step == 10
    assert sorted(int(path.name[5:]) for path in run.checkpoints.glob("step-*")) == [9, 10]


def test_dropout_is_off_and_that_is_said(settings: dict[str, object], new_run: NewRun) -> None:
    plain, dropped = (
        new_run("plain", {**settings, "training.max_steps": 2}),
        new_run("dropped", {**settings, "training.max_steps": 2, "method.dropout": 0.5}),
    )
    assert work(plain) == 0
    assert work(dropped) == 0
    assert_same(numbers(dropped), numbers(plain))
    assert [event.code for event in events_of(dropped, WarningRaised) if event.code == "ppo_no_dropout"] == ["ppo_no_dropout"]
    assert not [event for event in events_of(plain, WarningRaised) if event.code == "ppo_no_dropout"]


def test_the_schedule() -> None:
    """10 prompts, rollouts of 4: three rollouts an epoch, the last one reaching into the next pass over the prompts."""
    schedule = Schedule(10, batch_size=2, num_mini_batches=2, num_ppo_epochs=3, num_steps=30, seed=1)
    assert (schedule.rollout_size, schedule.steps_per_rollout) == (4, 6)
    stream = [number for rollout in range(5) for number in schedule.prompts(rollout)]
    assert sorted(stream[:10]) == sorted(stream[10:]) == list(range(10))
    assert stream[:10] != stream[10:]
    assert schedule.epoch(30) == 2.0
    passes = [torch.cat([schedule.answers(1, place) for place in (epoch, epoch + 1)]).tolist() for epoch in (0, 2, 4)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in passes)
    assert len({tuple(order) for order in passes}) > 1
