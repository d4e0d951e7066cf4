"""The engine's child on an NVIDIA GPU: bfloat16 training of a 1B-shaped model, memory against the estimate, resume, export.

Random weights of true shape suffice. Needs a CUDA build of torch; run with ``pytest -m gpu tests/gpu``. Where ``OUT`` names a
folder, every case appends what it measured to ``gpu.jsonl`` there.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import cast

import pytest

from desktop_ft.core.config import set_value, validate
from desktop_ft.core.control import send_control
from desktop_ft.core.data.dataset import load_training_data
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import CheckpointSaved, Event, RunFinished, StepDone, Verified
from desktop_ft.core.gpu import GpuReader, training_device
from desktop_ft.core.job import ExportRequest, create_job
from desktop_ft.core.memory.estimate import estimate
from desktop_ft.core.models import read_model
from desktop_ft.core.resolve import load_resolved
from desktop_ft.core.runs import RunDir, create_run
from tests.gpu.runs import finish, make_llama, note, start_engine

pytestmark = pytest.mark.gpu

NUM_TOKENS = 1024


@pytest.fixture(scope="module")
def model_dir() -> Path:
    """A 1B-shaped Llama with random bfloat16 weights and the demo's tokenizer."""
    return make_llama()


@pytest.fixture(scope="module")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows that are all longer than the maximum length."""
    words = "the a red green blue apple lemon river town bird sings eats grows small large old new and or in on".split()
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    rows = ({"text": " ".join(draw.choices(words, k=NUM_TOKENS + 200))} for _ in range(96))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _run(folder: Path, model_dir: Path, data_file: Path, changes: dict[str, object]) -> RunDir:
    values: dict[str, object] = {"model": {"source": str(model_dir)}, "data": {"train": str(data_file)}, "name": "gpu"}
    defaults: dict[str, object] = {
        "data.max_length": NUM_TOKENS, "data.split.fraction": 0.05, "training.max_steps": 12, "training.global_batch_size": 8,
        "training.micro_batch_size": 4, "output.save_steps": 6, "evaluation.eval_steps": 6,
    }  # fmt: skip
    for path, value in {**defaults, **changes}.items():
        values = set_value(values, path, value)
    return create_run(folder, validate(values))


QLORA: dict[str, object] = {
    "method.kind": "qlora", "method.quantization.quant_type": "nf4", "method.quantization.double_quant": True,
    "training.optim": "paged_adamw_8bit",
}  # fmt: skip
CASES: dict[str, dict[str, object]] = {
    "dora": {"method.use_dora": True},
    "lora": {"method.use_dora": False},
    "lora, checkpointing": {"method.use_dora": False, "training.activation_checkpointing": True},
    "lora, kernels none": {"method.use_dora": False, "training.kernels": "none"},
    "lora, float16": {"method.use_dora": False, "model.dtype": "float16"},
    "lora+": {"method.use_dora": False, "method.loraplus_lr_ratio": 16.0},
    "qlora, paged 8-bit": {**QLORA, "method.use_dora": False},
    "qdora, paged 8-bit": {**QLORA, "method.use_dora": True},
    "full, kahan": {"method.kind": "full", "method.weight_updates": "kahan", "training.learning_rate": 1e-5},
    "full, float32 weights": {"method.kind": "full", "method.weight_updates": "float32", "training.learning_rate": 1e-5},
}


@pytest.mark.parametrize("case", list(CASES))
def test_trains_within_the_estimate(case: str, model_dir: Path, data_file: Path, tmp_path: Path) -> None:
    run = _run(tmp_path / "run", model_dir, data_file, CASES[case])
    device = training_device(GpuReader().read())
    config = run.config()
    tokenizer = load_tokenizer(model_dir)
    data = load_training_data(
        data_file, None, fraction=0.05, seed=42, format="auto", columns={}, tokenizer=tokenizer, max_length=NUM_TOKENS,
        assistant_only_loss=True,
    )  # fmt: skip
    longest = max(len(example.input_ids) for example in data.train)
    predicted = estimate(config, read_model(model_dir), device, longest)

    events = finish(run)

    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event for event in events if isinstance(event, RunFinished)][-1].status == "completed"
    assert len(steps) == 12
    losses = [cast("float", step.loss) for step in steps]
    assert all(loss is not None for loss in losses)
    context = next(term.num_bytes for term in predicted.terms if term.key == "cuda_context")
    measured = max(step.memory_bytes for step in steps)
    resolved = load_resolved(run.resolved_file).config
    speed = sorted(step.tokens_per_second or 0.0 for step in steps)[6]
    note(
        case, measured_reserved_bytes=measured, predicted_bytes=predicted.total_bytes - context, low_bytes=predicted.low_bytes - context,
        high_bytes=predicted.high_bytes - context, error=(predicted.total_bytes - context) / measured - 1, first_loss=losses[0],
        last_loss=losses[-1], tokens_per_second=speed, dtype=resolved.model.dtype, checkpointing=resolved.training.activation_checkpointing,
    )  # fmt: skip
    assert losses[-1] < losses[0]
    if case != "lora, float16":
        assert resolved.model.dtype == "bfloat16"
    assert 0.85 < (predicted.total_bytes - context) / measured < 1.25


@pytest.mark.parametrize("method", [{}, {**QLORA, "method.use_dora": True}], ids=["dora", "qdora"])
def test_stops_resumes_and_exports(method: dict[str, object], model_dir: Path, data_file: Path, tmp_path: Path) -> None:
    run = _run(tmp_path / "run", model_dir, data_file, {"training.max_steps": 40, **method})
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
    events = finish(run)
    resumed = [event.step for event in events if isinstance(event, StepDone) and event.seq > stopped[-1].seq]
    assert resumed == list(range(at + 1, 41))

    job = create_job(run, ExportRequest(run_dir=run.path, to="merged", out=tmp_path / "merged"))
    exported = finish(RunDir(job.path))
    verified = [event for event in exported if isinstance(event, Verified)][-1]
    note(
        "export", method=run.config().method.kind, mean_kl=verified.mean_kl, max_kl=verified.max_kl, top1_agreement=verified.top1_agreement
    )
    assert verified.mean_kl is not None
    assert verified.mean_kl <= 0.005
    assert verified.chat_template_equal
    assert verified.stop_token_ok
