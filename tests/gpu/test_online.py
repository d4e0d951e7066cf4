"""GRPO and RLOO with LoRA on an NVIDIA GPU: a 1B-shaped model samples answers, is scored by a rule, and learns.

Random weights of true shape suffice. Needs a CUDA build of torch; run with ``pytest -m gpu tests/gpu``. Where ``OUT`` names a
folder, every case appends what it measured to ``gpu.jsonl`` there.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from desktop_ft.core.config import set_value, validate
from desktop_ft.core.control import send_control
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import CheckpointSaved, EvaluationDone, Event, RunFinished, SampleDone, StepDone
from desktop_ft.core.resolve import load_resolved
from desktop_ft.core.runs import RunDir, create_run
from tests.gpu.runs import finish, make_llama, note, start_engine

pytestmark = pytest.mark.gpu

NUM_STEPS = 12
ANSWER_TOKENS = 128


@pytest.fixture(scope="module")
def model_dir() -> Path:
    """A 1B-shaped Llama with random bfloat16 weights and the demo's tokenizer."""
    return make_llama()


@pytest.fixture(scope="module")
def prompts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts of different lengths."""
    words = "the a red green blue apple lemon river town bird sings eats grows small large old new and or in on".split()
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("data") / "prompts.jsonl"
    rows = ({"prompt": " ".join(draw.choices(words, k=draw.randrange(20, 200)))} for _ in range(64))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make(folder: Path, model_dir: Path, prompts_file: Path, changes: dict[str, object]) -> RunDir:
    values: dict[str, object] = {"model": {"source": str(model_dir)}, "data": {"train": str(prompts_file)}, "name": "gpu"}
    defaults: dict[str, object] = {
        "data.split.fraction": 0.1, "data.format": "prompts", "method.use_dora": False, "training.max_steps": NUM_STEPS,
        "training.global_batch_size": 16, "training.micro_batch_size": 4, "training.learning_rate": 1e-4, "output.save_steps": 100,
        "evaluation.eval_steps": 6, "evaluation.forgetting": False, "objective.rollout.max_completion_length": ANSWER_TOKENS,
        "objective.rewards.rules": [{"kind": "regex", "pattern": "[a-m] *$"}, {"kind": "length", "max_tokens": 64, "weight": 0.5}],
    }  # fmt: skip
    for path, value in {**defaults, **changes}.items():
        values = set_value(values, path, value)
    return create_run(folder, validate(values))


CASES: dict[str, dict[str, object]] = {
    "grpo, lora": {"objective.kind": "grpo", "objective.grpo.num_generations": 8},
    "grpo, lora, two iterations, kl": {
        "objective.kind": "grpo", "objective.grpo.num_generations": 8, "objective.grpo.num_iterations": 2, "objective.grpo.beta": 0.04,
    },
    "rloo, lora": {"objective.kind": "rloo", "objective.rloo.num_generations": 4},
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_samples_scores_and_learns(case: str, model_dir: Path, prompts_file: Path, tmp_path: Path) -> None:
    run = make(tmp_path / "run", model_dir, prompts_file, CASES[case])

    events = finish(run)

    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event for event in events if isinstance(event, RunFinished)][-1].status == "completed"
    assert [step.step for step in steps] == list(range(1, NUM_STEPS + 1))
    assert all(step.loss is not None and step.grad_norm is not None for step in steps)
    assert max(step.grad_norm or 0.0 for step in steps) > 0.0
    assert any(event.sampled and event.reward is not None for event in events if isinstance(event, SampleDone))
    assert all("reward" in event.metrics for event in events if isinstance(event, EvaluationDone))
    seconds = sorted(step.seconds for step in steps)[NUM_STEPS // 2]
    note(
        case, measured_reserved_bytes=max(step.memory_bytes for step in steps), seconds_per_step=seconds,
        tokens_per_second=sorted(step.tokens_per_second or 0.0 for step in steps)[NUM_STEPS // 2], first_metrics=dict(steps[0].metrics),
        last_metrics=dict(steps[-1].metrics), dtype=load_resolved(run.resolved_file).config.model.dtype,
    )  # fmt: skip


def test_stops_while_it_samples_and_goes_on(model_dir: Path, prompts_file: Path, tmp_path: Path) -> None:
    changes = {**CASES["grpo, lora, two iterations, kl"], "objective.rollout.max_completion_length": 1024}
    run = make(tmp_path / "run", model_dir, prompts_file, changes)
    child = start_engine(run)
    tail, seen = EventTail(run.events_file), list[Event]()
    while sum(isinstance(event, StepDone) for event in seen) < 4:
        assert child.poll() is None, run.console_file.read_text(encoding="utf-8")[-2000:]
        seen += tail.read_all()
    send_control(run.path, "stop")
    child.wait(timeout=100)
    stopped = list(EventTail(run.events_file).read_all())
    assert [event for event in stopped if isinstance(event, RunFinished)][-1].status == "stopped"
    at = [event for event in stopped if isinstance(event, CheckpointSaved)][-1].step

    events = finish(run)

    resumed = [event.step for event in events if isinstance(event, StepDone) and event.seq > stopped[-1].seq]
    assert resumed == list(range(at + 1, NUM_STEPS + 1))
