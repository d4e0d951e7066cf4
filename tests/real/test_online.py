"""A short GRPO run on the demo model: a rule that starts low is followed on prompts that were held out.

The demo knows two sentences for most facts, such as "An owl eats mice." and "If you listen, an owl hoots."; the rule wants those that
begin with certain words. About 30 s on an idle core.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.events import EvaluationDone, SampleDone
from tests.engine.conftest import make_run
from tests.engine.helpers import events_of, work

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

NUM_STEPS = 24
SETTINGS: dict[str, object] = {
    "model.source": "demo",
    "data.train": "demo",
    "data.split.fraction": 0.2,
    "method.rank": 16,
    "objective.kind": "grpo",
    "objective.grpo.num_generations": 8,
    "objective.grpo.beta": 0.04,
    "objective.rollout.max_completion_length": 16,
    "objective.rewards.rules": [{"kind": "regex", "pattern": "^(You|If|Every|People|The|Many|Yes)"}],
    "training.global_batch_size": 32,
    "training.micro_batch_size": 32,
    "training.max_steps": NUM_STEPS,
    "training.learning_rate": 1e-3,
    "training.lr_scheduler_type": "constant",
    "training.warmup_steps": 0.0,
    "evaluation.eval_steps": NUM_STEPS,
    "evaluation.forgetting": False,
}


def test_a_rule_is_learnt(tmp_path: Path) -> None:
    """Measured: 0.29 of the held-out answers before, 0.86 after 24 steps; KL to the start 0.32 nats per token, entropy 0.13 to 0.20."""
    run = make_run(tmp_path / "run", SETTINGS)
    assert work(run) == 0
    first, last = events_of(run, EvaluationDone)
    assert (first.step, last.step) == (0, NUM_STEPS)
    assert first.num_examples >= 40
    assert first.metrics["reward"] <= 0.4
    assert last.metrics["reward"] >= 0.7
    assert last.metrics["kl"] <= 1.0
    assert last.metrics["entropy"] >= 0.5 * first.metrics["entropy"]
    texts = {event.text for event in events_of(run, SampleDone) if event.sampled and event.step > NUM_STEPS // 2}
    assert len(texts) >= 5
