"""RLHF as two runs in one: what each stage is told, and where it keeps its work."""

from __future__ import annotations

from pathlib import Path

from desktop_ft.core.best_checkpoint import BestCheckpoint, read_best, write_best
from desktop_ft.core.config import Draft, RunConfig
from desktop_ft.core.runs import RunDir
from desktop_ft.core.stages import checkpoints_of, has_stages, stages_of, steps_before, training_of
from tests.helpers.staged_runs import make_staged_run


def config(**values: object) -> RunConfig:
    stated = {"name": "whole", "model.source": "demo", "data.train": "/data/pairs.jsonl", "objective.kind": "rlhf"}
    return Draft().with_values({**stated, **{path.replace("__", "."): value for path, value in values.items()}}).validated()


def test_a_run_of_one_training_has_no_stages(tmp_path: Path) -> None:
    plain = config(objective__kind="dpo")
    assert not has_stages(plain)
    assert stages_of(RunDir(tmp_path), plain) == ()


def test_the_reward_model_comes_first_with_its_own_rate_and_batch(tmp_path: Path) -> None:
    whole = config(
        objective__rlhf__reward_learning_rate=3e-4,
        objective__rlhf__reward_global_batch_size=6,
        objective__rlhf__reward_num_train_epochs=2.0,
        training__max_steps=7,
        training__micro_batch_size=4,
        training__global_batch_size=8,
        evaluation__sample_prompts=["Hello"],
    )
    reward, policy = stages_of(RunDir(tmp_path), whole)
    assert (reward.name, reward.run.path) == ("reward", tmp_path / "stages" / "1-reward")
    training = reward.config.training
    assert reward.config.objective.kind == "reward"
    assert (training.learning_rate, training.global_batch_size, training.num_train_epochs) == (3e-4, 6, 2.0)
    assert training.max_steps is None  # counts for the policy
    assert training.micro_batch_size == "auto"  # 4 does not divide 6
    assert reward.config.evaluation.sample_prompts == ()
    assert policy.config.training == whole.training
    assert policy.config.evaluation.sample_prompts == ("Hello",)


def test_the_policy_is_trained_against_that_reward_model(tmp_path: Path) -> None:
    reward, policy = stages_of(RunDir(tmp_path), config(objective__rlhf__policy="ppo"))
    assert policy.config.objective.kind == "ppo"
    assert policy.config.objective.rewards.model == str(reward.run.path)
    assert policy.config.data.train == "/data/pairs.jsonl"


def test_the_policy_may_have_prompts_of_its_own(tmp_path: Path) -> None:
    whole = config(objective__rlhf__prompts="/data/prompts.jsonl", data__eval="/data/held-out.jsonl", data__format="preference")
    reward, policy = stages_of(RunDir(tmp_path), whole)
    assert (reward.config.data.train, reward.config.data.eval) == ("/data/pairs.jsonl", "/data/held-out.jsonl")
    assert (policy.config.data.train, policy.config.data.eval, policy.config.data.format) == ("/data/prompts.jsonl", None, "auto")


def test_a_stage_is_done_when_its_result_is_saved(tmp_path: Path) -> None:
    reward, _ = stages_of(RunDir(tmp_path), config())
    assert not reward.is_done
    folder = reward.open()
    assert folder.config() == reward.config
    assert reward.open() == folder
    folder.adapter.mkdir()
    assert reward.is_done


def test_checkpoints_of_both_stages_count_through(tmp_path: Path) -> None:
    assert checkpoints_of(RunDir(tmp_path)) == []
    run = make_staged_run(tmp_path / "run", reward=(30,), policy=(4,))
    found = checkpoints_of(run)
    assert [checkpoint.step for checkpoint in found] == [30, 34]
    assert [training_of(run, checkpoint).config().objective.kind for checkpoint in found] == ["reward", "ppo"]
    assert steps_before(run) == {"reward": 0, "policy": 30}


def test_the_best_is_that_of_the_policy_by_the_count_of_the_run(tmp_path: Path) -> None:
    run = make_staged_run(tmp_path / "run", reward=(10,), policy=(4, 8))
    reward, policy = stages_of(run, run.config())
    write_best(reward.run, BestCheckpoint(10, "loss", 0.3))
    assert read_best(run) is None
    write_best(policy.run, BestCheckpoint(4, "reward", 1.5))
    assert read_best(run) == BestCheckpoint(34, "reward", 1.5)
    assert read_best(policy.run) == BestCheckpoint(4, "reward", 1.5)


def test_without_a_policy_there_is_no_best(tmp_path: Path) -> None:
    run = make_staged_run(tmp_path / "run", reward=(10,))
    write_best(stages_of(run, run.config())[0].run, BestCheckpoint(10, "loss", 0.3))
    assert read_best(run) is None
