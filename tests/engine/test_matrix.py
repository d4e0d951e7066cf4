"""Every method with every objective trains the demo model for two steps and leaves its result."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from desktop_ft.core.errors import ConfigError
from desktop_ft.core.events import ErrorRaised, EvaluationDone, RunFinished, StepDone
from tests.engine.conftest import make_run
from tests.engine.helpers import events_of, work

METHODS: dict[str, dict[str, object]] = {
    "lora": {},
    "dora": {"method.use_dora": True},
    "rslora": {"method.use_rslora": True},
    "pissa": {"method.init": "pissa"},
    "loraplus": {"method.loraplus_lr_ratio": 16.0},
    "qlora": {"method.kind": "qlora"},
    "full": {"method.kind": "full"},
}
PATTERNS = ("^A", "t", "s", "o", "he", "[.]", "w", "c", "r", "d")
RULES = [{"kind": "regex", "pattern": pattern, "weight": 2.0**-place} for place, pattern in enumerate(PATTERNS)]
"""Weights of which no two sums are equal: answers that score alike teach nothing."""
SAMPLED: dict[str, object] = {
    "objective.rewards.rules": RULES,
    "objective.rollout.max_completion_length": 8,
    "objective.rollout.temperature": 3.0,
}
REFUSED = {("dpo", "pissa"), ("kto", "pissa"), ("rloo", "pissa"), ("ppo", "pissa")}
"""Objectives whose reference is the model without its adapter, with an adapter that takes the base's own directions."""
OBJECTIVES: dict[str, dict[str, object]] = {
    "sft": {},
    "pretrain": {},
    "dpo": {},
    "orpo": {},
    "kto": {"training.micro_batch_size": 2},
    "reward": {},
    "grpo": {**SAMPLED, "objective.grpo.num_generations": 2},
    "rloo": {**SAMPLED, "objective.rloo.num_generations": 2},
    "ppo": {**SAMPLED, "objective.ppo.num_ppo_epochs": 2},
}
SETTINGS: dict[str, object] = {
    "model.source": "demo",
    "data.train": "demo",
    "data.split.fraction": 0.02,
    "data.max_length": 96,
    "training.global_batch_size": 4,
    "training.micro_batch_size": 2,
    "training.max_steps": 2,
    "training.learning_rate": 1e-4,
    "training.kernels": "auto",
    "evaluation.forgetting": False,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_cell_trains(method: str, objective: str, tmp_path: Path) -> None:
    if (objective, method) in REFUSED:
        with pytest.raises(ConfigError, match="pissa"):
            make_run(tmp_path / "cell", {**SETTINGS, "objective.kind": objective, **METHODS[method], **OBJECTIVES[objective]})
        return
    changes = {**SETTINGS, "objective.kind": objective, **METHODS[method], **OBJECTIVES[objective]}
    run = make_run(tmp_path / "cell", changes)

    assert work(run) == 0, [event.message for event in events_of(run, ErrorRaised)]

    steps = events_of(run, StepDone)
    assert [step.step for step in steps] == [1, 2]
    assert all(step.loss is not None and math.isfinite(step.loss) for step in steps)
    assert all(step.grad_norm is not None and step.grad_norm > 0 for step in steps), [step.metrics for step in steps]
    assert events_of(run, EvaluationDone)
    assert [event.status for event in events_of(run, RunFinished)] == ["completed"]
    result = run.model if method == "full" else run.adapter
    assert list(result.glob("*.safetensors"))
