"""The whole of RLHF on the demo: pairs in, a reward model that tells them apart, PPO that raises its reward, a merged model out."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.events import EvaluationDone, StageStarted, Verified, WarningRaised
from desktop_ft.core.job import ExportRequest, create_job
from desktop_ft.engine.__main__ import work_in
from tests.engine.conftest import make_run
from tests.engine.helpers import events_of, work

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

SETTINGS: dict[str, object] = {
    "model.source": "demo",
    "data.train": "demo",
    "data.split.fraction": 0.1,
    "data.max_length": 128,
    "method.rank": 16,
    "objective.kind": "rlhf",
    "objective.rlhf.reward_learning_rate": 1e-3,
    "objective.rlhf.reward_num_train_epochs": 2.0,
    "objective.rollout.max_completion_length": 32,
    "objective.rollout.temperature": 1.5,
    "objective.ppo.num_mini_batches": 2,
    "objective.ppo.num_ppo_epochs": 2,
    "training.global_batch_size": 16,
    "training.micro_batch_size": 16,
    "training.learning_rate": 2e-3,
    "training.lr_scheduler_type": "linear",
    "training.warmup_steps": 2,
    "training.max_steps": 80,
    "evaluation.eval_steps": 80,
    "output.save_steps": 80,
}


def test_from_pairs_to_a_model_that_is_liked_better(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", SETTINGS)
    assert work(run) == 0

    first_policy_step = events_of(run, StageStarted)[1].first_step
    evaluations = events_of(run, EvaluationDone)
    reward_model = [event.metrics for event in evaluations if "accuracy" in event.metrics]
    policy = [event.metrics for event in evaluations if "reward" in event.metrics and event.step >= first_policy_step - 1]
    print(f"accuracy on held-out pairs {[found['accuracy'] for found in reward_model]}; policy {policy}")
    assert reward_model[-1]["accuracy"] >= 0.9
    assert policy[-1]["reward"] > policy[0]["reward"]
    assert policy[-1]["entropy"] >= 0.3 * policy[0]["entropy"]

    job = create_job(run, ExportRequest(run.path, "merged", run.exports / "merged"))
    assert work_in(job.path) == 0
    (verified,) = events_of(job, Verified)
    assert not events_of(job, WarningRaised)
    assert verified.mean_kl is not None
    assert verified.mean_kl <= 0.005
