"""DPO, KTO, ORPO and a reward model on an NVIDIA GPU: a 1B-shaped model learns from pairs in bfloat16, in 4 bit and whole.

Random weights of true shape suffice. Needs a CUDA build of torch; run with ``pytest -m gpu tests/gpu``. Where ``OUT`` names a
folder, every case appends what it measured to ``gpu.jsonl`` there.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest

from desktop_ft.core.config import set_value, validate
from desktop_ft.core.control import send_control
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import CheckpointSaved, EvaluationDone, Event, RunFinished, SampleDone, StepDone, Verified
from desktop_ft.core.job import ExportRequest, ScoreRequest, create_job
from desktop_ft.core.runs import RunDir, create_run
from tests.gpu.runs import finish, make_llama, note, start_engine

pytestmark = pytest.mark.gpu

NUM_STEPS = 12


@pytest.fixture(scope="module")
def model_dir() -> Path:
    """A 1B-shaped Llama with random bfloat16 weights and the demo's tokenizer."""
    return make_llama()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pairs and judgments that anything can learn: good answers speak of apples, bad ones of rivers."""
    draw = random.Random(0)
    words = "the a red green blue lemon town bird sings eats grows small large old new and or in on".split()

    def text(extra: str) -> str:
        return " ".join(draw.choices([*words, *[extra] * 6], k=draw.randrange(40, 160)))

    def turn(role: str, content: str) -> list[dict[str, str]]:
        return [{"role": role, "content": content}]

    prompts = [text("what") for _ in range(96)]
    pairs = [
        {"prompt": turn("user", prompt), "chosen": turn("assistant", text("apple")), "rejected": turn("assistant", text("river"))}
        for prompt in prompts
    ]
    judged = [
        {"prompt": turn("user", prompt), "completion": turn("assistant", text("apple" if good else "river")), "label": good}
        for good, prompt in ((number % 2 == 0, prompt) for number, prompt in enumerate(prompts))
    ]
    folder = tmp_path_factory.mktemp("data")
    for name, rows in {"pairs": pairs, "judged": judged}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {name: folder / f"{name}.jsonl" for name in ("pairs", "judged")}


def make(folder: Path, model_dir: Path, files: dict[str, Path], changes: dict[str, object]) -> RunDir:
    data = files["judged" if changes["objective.kind"] == "kto" else "pairs"]
    values: dict[str, object] = {"model": {"source": str(model_dir)}, "data": {"train": str(data)}, "name": "gpu"}
    defaults: dict[str, object] = {
        "data.split.fraction": 0.1, "data.max_length": 512, "method.use_dora": False, "training.max_steps": NUM_STEPS,
        "training.global_batch_size": 8, "training.micro_batch_size": 4, "training.learning_rate": 1e-4, "output.save_steps": 100,
        "evaluation.eval_steps": 6, "evaluation.forgetting": False,
    }  # fmt: skip
    for path, value in {**defaults, **changes}.items():
        values = set_value(values, path, value)
    return create_run(folder, validate(values))


CASES: dict[str, dict[str, object]] = {
    "dpo lora": {"objective.kind": "dpo"},
    "dpo dora": {"objective.kind": "dpo", "method.use_dora": True},
    "dpo qlora": {"objective.kind": "dpo", "method.kind": "qlora"},
    "dpo full, second copy": {"objective.kind": "dpo", "method.kind": "full", "training.learning_rate": 1e-6},
    "dpo full, precomputed": {
        "objective.kind": "dpo", "method.kind": "full", "training.learning_rate": 1e-6, "objective.dpo.precompute_ref_log_probs": True,
    },
    "dpo lora, float16": {"objective.kind": "dpo", "model.dtype": "float16"},
    "kto lora": {"objective.kind": "kto"},
    "orpo lora": {"objective.kind": "orpo"},
    "reward lora": {"objective.kind": "reward"},
    "reward lora, kernels none": {"objective.kind": "reward", "training.kernels": "none"},
    "reward lora, float16": {"objective.kind": "reward", "model.dtype": "float16"},
    "reward qlora": {"objective.kind": "reward", "method.kind": "qlora"},
    "reward full": {"objective.kind": "reward", "method.kind": "full", "training.learning_rate": 1e-5},
}  # fmt: skip
MEASURES = ("rewards/accuracies", "rewards/margins", "accuracy", "margin", "kl")


@pytest.mark.parametrize("case", CASES)
def test_learns_from_preferences(case: str, model_dir: Path, files: dict[str, Path], tmp_path: Path) -> None:
    run = make(tmp_path / "run", model_dir, files, CASES[case])
    events = finish(run)
    steps = [event for event in events if isinstance(event, StepDone)]
    evaluations = [event for event in events if isinstance(event, EvaluationDone)]
    assert [step.step for step in steps] == list(range(1, NUM_STEPS + 1))
    losses = [step.loss for step in steps]
    assert all(loss is not None and math.isfinite(loss) for loss in losses)
    assert all(step.grad_norm for step in steps[1:])
    found = {name: evaluations[-1].metrics[name] for name in MEASURES if name in evaluations[-1].metrics}
    note(
        case,
        losses=losses,
        eval_losses=[done.loss for done in evaluations],
        tokens_per_second=steps[-1].tokens_per_second,
        memory_gib=max(step.memory_bytes for step in steps) / 2**30,
        **found,
    )
    before, after = evaluations[0], evaluations[-1]
    assert before.loss is not None
    assert after.loss is not None
    assert after.loss <= before.loss + 0.02
    if str(CASES[case]["objective.kind"]) == "dpo" and CASES[case].get("method.kind") != "full":
        assert before.metrics["rewards/margins"] == pytest.approx(0.0, abs=1e-2)


def test_stops_and_resumes(model_dir: Path, files: dict[str, Path], tmp_path: Path) -> None:
    run = make(tmp_path / "run", model_dir, files, {"objective.kind": "dpo", "training.max_steps": 30})
    child = start_engine(run)
    tail, seen = EventTail(run.events_file), list[Event]()
    while sum(isinstance(event, StepDone) for event in seen) < 3:
        assert child.poll() is None, run.console_file.read_text(encoding="utf-8")[-2000:]
        seen += tail.read_all()
    send_control(run.path, "stop")
    child.wait(timeout=200)
    stopped = list(EventTail(run.events_file).read_all())
    assert [event for event in stopped if isinstance(event, RunFinished)][-1].status == "stopped"
    at = [event for event in stopped if isinstance(event, CheckpointSaved)][-1].step
    resumed = [event.step for event in finish(run) if isinstance(event, StepDone) and event.seq > stopped[-1].seq]
    assert resumed == list(range(at + 1, 31))


def test_a_reward_models_scores_and_export(model_dir: Path, files: dict[str, Path], tmp_path: Path) -> None:
    run = make(tmp_path / "run", model_dir, files, {"objective.kind": "reward", "training.max_steps": 20})
    accuracy = [event for event in finish(run) if isinstance(event, EvaluationDone)][-1].metrics["accuracy"]
    good, bad = "apple " * 12, "river " * 12
    job = create_job(run, ScoreRequest(run.path, "what bird", (good, bad)))
    scores = [event.reward for event in finish(RunDir(job.path)) if isinstance(event, SampleDone)]
    job = create_job(run, ExportRequest(run.path, "merged", tmp_path / "merged"))
    verified = [event for event in finish(RunDir(job.path)) if isinstance(event, Verified)][-1]
    note("reward scores and export", accuracy=accuracy, scores=scores, max_score_difference=verified.max_score_difference)
    assert len(scores) == 2
    assert all(score is not None and math.isfinite(score) for score in scores)
    assert verified.max_score_difference is not None
    assert math.isfinite(verified.max_score_difference)
