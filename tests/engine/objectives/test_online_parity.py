"""A GRPO or RLOO run with `kernels: none` gives the numbers of a plain TRL script with the same seed and settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from desktop_ft.core.events import RunStarted, StepDone
from tests.engine.conftest import MARKED, NewRun, make_model
from tests.engine.helpers import events_of, work
from tests.engine.objectives.online_runs import SETTINGS, plain_trl, prompt_rows, write_rows

NUM_STEPS = 10
NOT_METRICS = {"loss", "grad_norm", "learning_rate", "epoch", "num_tokens", "step_time"}


@dataclass(frozen=True)
class Case:
    """A run, and in TRL's words the same.

    Attributes:
        ours: Settings below ``objective``, dotted.
        theirs: TRL's arguments.
    """

    name: str
    kind: str
    full: bool = False
    text: bool = False
    micro: int = 8
    ours: dict[str, object] = field(default_factory=dict[str, object])
    theirs: dict[str, Any] = field(default_factory=dict[str, Any])


CASES = [
    Case("grpo-lora", "grpo"),
    Case(
        "grpo-lora-two-iterations-kl",
        "grpo",
        ours={"grpo.num_iterations": 2, "grpo.beta": 0.1},
        theirs={"num_iterations": 2, "beta": 0.1},
    ),
    Case(
        "grpo-full-kl-grpo-loss-accumulated",
        "grpo",
        full=True,
        micro=4,
        ours={"grpo.beta": 0.04, "grpo.loss_type": "grpo", "grpo.scale_rewards": "batch", "grpo.epsilon": 0.1},
        theirs={"beta": 0.04, "loss_type": "grpo", "scale_rewards": "batch", "epsilon": 0.1},
    ),
    Case(
        "grpo-colder-two-iterations",
        "grpo",
        micro=2,
        ours={
            "grpo.num_iterations": 2,
            "grpo.loss_type": "bnpo",
            "grpo.scale_rewards": "none",
            "rollout.temperature": 0.7,
            "rollout.top_p": 0.9,
        },
        theirs={"num_iterations": 2, "temperature": 0.7, "top_p": 0.9, "loss_type": "bnpo", "scale_rewards": "none"},
    ),
    Case("grpo-text", "grpo", text=True),
    Case("rloo-lora", "rloo", theirs={"beta": 0.05}),
    Case(
        "rloo-full-two-iterations",
        "rloo",
        full=True,
        micro=2,
        ours={"rloo.num_iterations": 2, "rloo.normalize_advantages": True, "rloo.epsilon": 0.3, "rloo.beta": 0.2},
        theirs={"num_iterations": 2, "normalize_advantages": True, "epsilon": 0.3, "beta": 0.2},
    ),
]


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a chat template, which is asked in plain text."""
    folder = make_model(tmp_path_factory.mktemp("text-model"), MARKED)
    (folder / "chat_template.jinja").unlink()
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_number_equals_a_plain_trl_script(case: Case, tiny: Path, text_model: Path, new_run: NewRun, tmp_path: Path) -> None:
    model, rows = (text_model if case.text else tiny), prompt_rows(as_chat=not case.text)
    run = new_run(
        case.name,
        {
            **SETTINGS,
            "model.source": str(model),
            "data.train": str(write_rows(tmp_path / "prompts.jsonl", rows)),
            "method.kind": "full" if case.full else "lora",
            "objective.kind": case.kind,
            f"objective.{case.kind}.num_generations": 4,
            "training.micro_batch_size": case.micro,
            "training.max_steps": NUM_STEPS,
            **{f"objective.{path}": value for path, value in case.ours.items()},
        },
    )

    assert work(run) == 0
    steps = events_of(run, StepDone)
    theirs = {"per_device_train_batch_size": case.micro, "gradient_accumulation_steps": 8 // case.micro, **case.theirs}
    expected = plain_trl(case.kind, model, rows, tmp_path / "plain", full=case.full, **theirs)

    assert [step.step for step in steps] == list(range(1, NUM_STEPS + 1))
    assert [event.num_steps for event in events_of(run, RunStarted)] == [NUM_STEPS]
    assert [step.loss for step in steps] == pytest.approx([log["loss"] for log in expected], abs=1e-5)
    assert [step.grad_norm for step in steps] == pytest.approx([log["grad_norm"] for log in expected], abs=1e-5)
    assert [step.learning_rate for step in steps] == [log["learning_rate"] for log in expected]
    assert [step.num_tokens for step in steps if "reward" in step.metrics] == [log["num_tokens"] for log in expected if "reward" in log]
    for step, log in zip(steps, expected, strict=True):
        told = {name: value for name, value in log.items() if name not in NOT_METRICS and value is not None}
        mine = {name: value for name, value in step.metrics.items() if name not in NOT_METRICS}
        assert mine == pytest.approx(told, abs=1e-5)
    assert {"reward", "rewards/regex_1/mean", "rewards/exact_answer/mean", "entropy", "completions/mean_length", "reward_std"} <= set(
        steps[0].metrics
    )
    assert max(abs(step.grad_norm or 0.0) for step in steps) > 1e-3
