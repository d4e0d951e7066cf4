"""How a step's answers are split into micro-batches does not change what is learnt, as long as groups are whole."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from desktop_ft.core.events import ErrorRaised, StepDone
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work

SETTINGS: dict[str, object] = {
    "model.source": "demo",
    "data.train": "demo",
    "objective.rollout.max_completion_length": 12,
    "objective.rollout.temperature": 2.0,
    "objective.rewards.rules": [{"kind": "regex", "pattern": "^[A-M]"}, {"kind": "length", "max_tokens": 6}],
    "training.global_batch_size": 4,
    "training.max_steps": 3,
    "evaluation.forgetting": False,
}


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_one_micro_batch_of_4_equals_two_of_2(kind: str, new_run: NewRun) -> None:
    """The answers have different lengths, so a loss that is a mean of micro-batches' means would differ."""
    changes = {**SETTINGS, "objective.kind": kind, f"objective.{kind}.num_generations": 2}
    whole = new_run("4x1", {**changes, "training.micro_batch_size": 4})
    halves = new_run("2x2", {**changes, "training.micro_batch_size": 2})
    for run in (whole, halves):
        assert work(run) == 0, [event.message for event in events_of(run, ErrorRaised)]

    one, two = events_of(whole, StepDone), events_of(halves, StepDone)
    assert any(step.metrics["completions/min_length"] < step.metrics["completions/max_length"] for step in one)
    assert max(step.grad_norm or 0.0 for step in one) > 1e-2
    assert [step.loss for step in two] == pytest.approx([step.loss for step in one], abs=1e-5)
    assert [step.grad_norm for step in two] == pytest.approx([step.grad_norm for step in one], abs=1e-5)
    for name in ("reward", "reward_std", "completions/mean_length", "rewards/length/mean"):
        assert [step.metrics[name] for step in two] == pytest.approx([step.metrics[name] for step in one], abs=1e-5)
    adapters = [load_file(run.adapter / "adapter_model.safetensors") for run in (whole, halves)]
    assert all(torch.allclose(adapters[0][name], adapters[1][name], atol=1e-5) for name in adapters[0])
