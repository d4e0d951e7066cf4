"""What core planned is what the engine does: steps by objective, and settings without effect are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.events import RunStarted, StepDone, WarningRaised
from desktop_ft.core.resolve import load_resolved
from tests.engine.conftest import make_run
from tests.engine.helpers import events_of, work

RULES = [{"kind": "length", "max_tokens": 4}]


@pytest.fixture
def settings(tiny: Path, chats: Path) -> dict[str, object]:
    return {
        "model.source": str(tiny), "data.train": str(chats), "data.split.fraction": 0.0, "method.use_dora": False, "method.rank": 4,
        "evaluation.forgetting": False, "objective.rollout.max_completion_length": 4, "training.micro_batch_size": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    "objective",
    [
        {"objective.kind": "sft", "training.num_train_epochs": 0.3, "training.global_batch_size": 6},
        {
            "objective.kind": "grpo", "objective.grpo.num_generations": 2, "objective.grpo.num_iterations": 2,
            "training.num_train_epochs": 0.3, "training.global_batch_size": 8, "objective.rewards.rules": RULES,
        },
        {
            "objective.kind": "rloo", "objective.rloo.num_generations": 4, "training.num_train_epochs": 0.3,
            "training.global_batch_size": 8, "objective.rewards.rules": RULES,
        },
        {
            "objective.kind": "ppo", "objective.ppo.num_ppo_epochs": 2, "objective.ppo.num_mini_batches": 2,
            "training.num_train_epochs": 0.3, "training.global_batch_size": 4, "objective.rewards.rules": RULES,
        },
    ],
    ids=lambda changes: str(changes["objective.kind"]),
)  # fmt: skip
def test_the_trainer_takes_as_many_steps_as_were_planned(objective: dict[str, object], settings: dict[str, object], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {**settings, **objective})
    assert work(run) == 0
    planned = load_resolved(run.resolved_file)
    started = events_of(run, RunStarted)[0]
    assert started.num_steps == planned.num_steps == events_of(run, StepDone)[-1].step
    assert started.gradient_accumulation_steps == planned.gradient_accumulation_steps


def test_settings_without_effect_are_told_by_the_engine(settings: dict[str, object], tmp_path: Path) -> None:
    settings.pop("objective.rollout.max_completion_length")
    changes = {**settings, "training.max_steps": 1, "objective.kto.beta": 0.3, "method.quantization.quant_type": "fp4"}
    run = make_run(tmp_path / "run", changes)
    assert work(run) == 0
    told = [event.message for event in events_of(run, WarningRaised) if event.code == "settings_ignored"]
    assert told == ["Without effect in this run: method.quantization.quant_type, objective.kto.beta."]
