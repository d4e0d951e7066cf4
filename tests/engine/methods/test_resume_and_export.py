"""Every method: a resumed run is the uninterrupted one bit for bit, and its export says what the trained model says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from desktop_ft.core.control import send_control
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import Event, RunFinished, StepDone, Verified, WarningRaised
from desktop_ft.core.job import ExportRequest, create_job
from desktop_ft.core.runs import RunDir
from desktop_ft.engine.jobs import run_job
from tests.engine.conftest import NewRun
from tests.engine.helpers import at_look, events_of, work

NUM_STEPS = 4
METHODS: dict[str, dict[str, object]] = {
    "qlora, 8-bit": {"method.kind": "qlora", "method.rank": 64, "training.optim": "adamw_8bit"},
    "qdora, fp4, paged": {
        "method.kind": "qlora", "method.use_dora": True, "method.quantization.quant_type": "fp4",
        "method.quantization.double_quant": False, "training.optim": "paged_adamw_32bit",
    },
    "lora+": {"method.loraplus_lr_ratio": 16.0},
    "pissa, dora, rslora": {"method.init": "pissa_niter_4", "method.use_dora": True, "method.use_rslora": True},
    "olora": {"method.init": "olora"},
    "eva": {"method.init": "eva"},
    "added tokens, qlora": {"model.added_tokens": ("<|note|>", "<|done|>"), "method.kind": "qlora"},
    "head trained whole": {"method.modules_to_save": ("lm_head",)},
    "full, kahan": {"method.kind": "full", "model.dtype": "bfloat16", "training.kernels": "auto"},
    "full, float32 weights": {"method.kind": "full", "model.dtype": "bfloat16", "method.weight_updates": "float32"},
    "full, added tokens": {"method.kind": "full", "model.added_tokens": ("<|note|>",)},
}  # fmt: skip
FROM_CHECKPOINT = {"pissa, dora, rslora", "added tokens, qlora"}
"""What a checkpoint holds in another form than the result."""


def numbers(run: RunDir) -> dict[int, tuple[object, ...]]:
    return {step.step: (step.loss, step.grad_norm, step.learning_rate) for step in events_of(run, StepDone)}


def trained_files(run: RunDir) -> dict[str, Path]:
    folder = run.adapter if run.adapter.is_dir() else run.model
    return {path.name: path for path in folder.glob("*.safetensors")}


def export(run: RunDir, checkpoint: int | None = None) -> list[Event]:
    job = create_job(run, ExportRequest(run.path, "merged", run.exports / f"out-{checkpoint}", checkpoint=checkpoint))
    run_job(job.path)
    return list(EventTail(job.events_file).read_all())


LONGER = {"qdora, fp4, paged", "olora", "head trained whole", "full, float32 weights", "full, added tokens"}


def assert_states_are_8_bit(run: RunDir) -> None:
    """Of matrices with 4,096 numbers and more; bitsandbytes keeps smaller ones in float32."""
    checkpoint = next(path for path in run.checkpoints.iterdir() if path.name.isdigit() or path.name[0] != ".")
    states = torch.load(checkpoint / "optimizer.pt", weights_only=False)["state"].values()
    assert {state["state1"].dtype for state in states} == {torch.uint8}


@pytest.mark.parametrize("method", [pytest.param(method, marks=pytest.mark.real) if method in LONGER else method for method in METHODS])
def test_resume_and_export(method: str, tiny: Path, pairs: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "model.source": str(tiny), "data.train": str(pairs), "data.split.fraction": 0.2, "training.max_steps": NUM_STEPS,
        "training.micro_batch_size": 2, "output.save_steps": 100, "evaluation.eval_steps": 2, "evaluation.forgetting": False,
        "data.max_length": 32,
        **METHODS[method],
    }  # fmt: skip
    whole, stopped = new_run("whole", settings), new_run("stopped", settings)
    assert work(whole) == 0
    with monkeypatch.context() as patch:
        at_look(patch, 5, lambda: send_control(stopped.path, "stop"))
        assert work(stopped) == 0
    assert [(event.status, event.step) for event in events_of(stopped, RunFinished)] == [("stopped", 2)]
    exports = [export(stopped, checkpoint=2)] if method in FROM_CHECKPOINT else []
    assert work(stopped) == 0

    assert numbers(stopped) == numbers(whole)
    losses = [step.loss for step in events_of(whole, StepDone)]
    assert len(set(losses)) == NUM_STEPS
    assert trained_files(stopped).keys() == trained_files(whole).keys()
    for name, path in trained_files(whole).items():
        ours, theirs = load_file(path), load_file(trained_files(stopped)[name])
        assert ours.keys() == theirs.keys()
        assert all(bool((ours[key] == theirs[key]).all()) for key in ours)
    if method == "qlora, 8-bit":
        assert_states_are_8_bit(stopped)
    for events in (export(whole), *exports):
        verified = [event for event in events if isinstance(event, Verified)]
        assert verified, [event for event in events if event.kind == "error"]
        assert verified[0].mean_kl is not None
        assert verified[0].mean_kl < (1e-6 if settings.get("model.dtype", "float32") == "float32" else 5e-3)
        assert not [event for event in events if isinstance(event, WarningRaised)]
