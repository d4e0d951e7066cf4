"""RLHF as one run: a reward model, then a policy against it; a stop in either stage, or between them, loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from desktop_ft.core.control import send_control
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import EvaluationDone, RunFinished, RunStarted, StageStarted, StepDone, Verified
from desktop_ft.core.job import ExportRequest, create_job
from desktop_ft.core.runs import RunDir, sha256_of
from desktop_ft.core.stages import stages_of
from desktop_ft.engine.card import RECORD_NAME
from desktop_ft.engine.jobs import run_job
from tests.engine.conftest import NewRun, make_run, sentence
from tests.engine.helpers import at_look, events_of, work

REWARD_STEPS = 5
POLICY_STEPS = 6


@pytest.fixture(scope="module")
def settings(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """20 pairs, 4 a step: 5 steps of the reward model, then 6 of PPO, two in each rollout."""
    rows = [{"prompt": sentence(n, 4), "chosen": sentence(n + 1, 6), "rejected": sentence(n + 5, 3)} for n in range(20)]
    data = tmp_path_factory.mktemp("rlhf") / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {
        "model.source": str(tiny),
        "data.train": str(data),
        "objective.kind": "rlhf",
        "objective.rlhf.reward_global_batch_size": 4,
        "objective.rollout.max_completion_length": 6,
        "objective.ppo.num_ppo_epochs": 2,
        "training.max_steps": POLICY_STEPS,
        "evaluation.forgetting": False,
        "output.save_steps": 100,
    }


@pytest.fixture(scope="module")
def whole(settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = make_run(tmp_path_factory.mktemp("whole") / "whole", settings)
    assert work(run) == 0
    return run


def numbers(run: RunDir) -> dict[int, tuple[object, ...]]:
    return {step.step: (step.loss, step.grad_norm, step.learning_rate) for step in events_of(run, StepDone)}


def test_both_stages_are_told_in_one_log_whose_steps_count_through(whole: RunDir) -> None:
    stages = events_of(whole, StageStarted)
    assert [(event.stage, event.number, event.total, event.first_step) for event in stages] == [
        ("reward", 1, 2, 1),
        ("policy", 2, 2, REWARD_STEPS + 1),
    ]
    assert [event.num_steps for event in events_of(whole, RunStarted)] == [REWARD_STEPS, REWARD_STEPS + POLICY_STEPS]
    steps = events_of(whole, StepDone)
    assert [step.step for step in steps] == list(range(1, REWARD_STEPS + POLICY_STEPS + 1))
    assert "accuracy" in steps[0].metrics
    assert "kl" in steps[-1].metrics
    assert [(event.status, event.step) for event in events_of(whole, RunFinished)] == [("completed", REWARD_STEPS + POLICY_STEPS)]


def test_the_policy_is_the_result_and_the_reward_model_is_kept(whole: RunDir) -> None:
    reward, _ = stages_of(whole, whole.config())
    assert (whole.adapter / "adapter_model.safetensors").is_file()
    assert (reward.run.adapter / "adapter_model.safetensors").is_file()
    assert whole.resolved_file.is_file()
    assert whole.environment_file.is_file()


@pytest.mark.parametrize(
    ("look", "stopped_in"),
    [(3, range(1, REWARD_STEPS)), (REWARD_STEPS + 3, range(REWARD_STEPS + 1, REWARD_STEPS + POLICY_STEPS))],
    ids=["in the reward model", "in the policy"],
)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    look: int, stopped_in: range, whole: RunDir, settings: dict[str, object], new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run("stopped", settings)
    with monkeypatch.context() as patch:
        at_look(patch, look, lambda: send_control(run.path, "stop"))
        assert work(run) == 0
    (finished,) = events_of(run, RunFinished)
    assert finished.status == "stopped"
    assert finished.step in stopped_in
    assert not run.adapter.exists()

    assert work(run) == 0

    assert numbers(run) == numbers(whole)
    name = "adapter_model.safetensors"
    assert sha256_of(run.adapter / name) == sha256_of(whole.adapter / name)


def test_held_out_pairs_and_prompts_measure_both_stages(settings: dict[str, object], new_run: NewRun) -> None:
    changes = {"data.split.fraction": 0.2, "training.max_steps": 2, "objective.rlhf.policy": "rloo", "objective.rloo.num_generations": 2}
    run = new_run("measured", {**settings, **changes})
    assert work(run) == 0
    found = [set(event.metrics) for event in events_of(run, EvaluationDone)]
    assert "accuracy" in found[0]
    assert "reward" in found[-1]


def test_a_checkpoint_of_either_stage_is_exported_as_what_it_is(settings: dict[str, object], new_run: NewRun, tmp_path: Path) -> None:
    """The reward model by its scores, the policy by its next tokens, each with its own settings, hashes and losses; no folder is told."""
    run = new_run("saved", {**settings, "output.save_steps": 4, "evaluation.forgetting": False, "training.max_steps": 4})
    assert work(run) == 0
    told = {}
    for step, first in ((4, 1), (REWARD_STEPS + 4, REWARD_STEPS + 1)):
        request = ExportRequest(run.path, "merged", tmp_path / f"merged-{step}", checkpoint=step)
        job = create_job(run, request)
        assert run_job(job.path) == 0, list(EventTail(job.events_file).read_all())
        (verified,) = events_of(RunDir(job.path), Verified)
        told[step] = verified
        text = (request.out / RECORD_NAME).read_text(encoding="utf-8")
        record = yaml.safe_load(text)
        assert record["results"]["steps"] == step
        assert record["results"]["train_loss_first"] == numbers(run)[first][0]
        assert set(record["environment"]["hashes"]) > {"tokenizer", "model_weights"}
        assert str(tmp_path) not in text
        assert record["run"]["objective"]["kind"] == ("reward" if step == 4 else "ppo")
    reward, policy = told.values()
    assert reward.max_score_difference is not None
    assert reward.mean_kl is None
    assert policy.mean_kl is not None
    assert policy.mean_kl < 1e-3
