"""One worst-case step with the real trainers on the tiny model, and what runs and probes leave for later estimates."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from desktop_ft.core.config import RunConfig
from desktop_ft.core.control import send_control
from desktop_ft.core.events import CheckpointSaved, ErrorRaised, ProbeMeasured, RunFinished, StepDone, WarningRaised
from desktop_ft.core.gpu import GpuState
from desktop_ft.core.job import JobDir, ProbeRequest, read_job
from desktop_ft.core.launcher import start_engine
from desktop_ft.core.memory.corrections import estimate_here
from desktop_ft.core.memory.measured import load_measurements, measured_file
from desktop_ft.core.models import read_model
from desktop_ft.core.probe import create_probe
from desktop_ft.core.runs import RunDir
from desktop_ft.core.workspace import default_workspace
from desktop_ft.engine import own_memory
from desktop_ft.engine.device import detect_device
from desktop_ft.engine.jobs import run_job
from desktop_ft.engine.own_memory import MemoryMeter, process_bytes
from tests.engine.conftest import NewRun
from tests.engine.helpers import at_look, events_of, work
from tests.engine.objectives.conftest import judged, text_pair
from tests.engine.objectives.online_runs import SETTINGS as ONLINE
from tests.engine.objectives.online_runs import prompt_rows

SETTINGS: dict[str, object] = {
    "training.micro_batch_size": 2,
    "training.global_batch_size": 8,
    "data.split.fraction": 0.2,
    "evaluation.forgetting": False,
}
Shapes = list[tuple[int, int]]


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> Shapes:
    """Sizes of every micro-batch that a model learnt from, [B, T]."""
    from transformers import LlamaModel

    seen: Shapes = []
    forward = LlamaModel.forward

    def watched(model: LlamaModel, *args: object, **kwargs: object) -> object:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if torch.is_grad_enabled() and isinstance(ids, torch.Tensor):
            seen.append((ids.shape[0], ids.shape[1]))
        return forward(model, *args, **kwargs)  # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownVariableType]

    monkeypatch.setattr(LlamaModel, "forward", watched)
    return seen


def rows_of(objective: str) -> list[dict[str, object]]:
    if objective in {"grpo", "rloo", "ppo"}:
        return prompt_rows(12)
    makers: Mapping[str, Callable[[int], dict[str, object]]] = {"kto": judged, "pretrain": lambda number: {"text": "the fox " * number}}
    if objective == "sft":
        return [{"prompt": row["prompt"], "completion": row["chosen"]} for row in map(text_pair, range(20))]
    return [makers.get(objective, text_pair)(number) for number in range(20)]


def config_of(new_run: NewRun, tiny: Path, tmp_path: Path, objective: str, **more: object) -> RunConfig:
    data = tmp_path / f"{objective}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows_of(objective)), encoding="utf-8")
    online = {**ONLINE, "training.micro_batch_size": 4} if objective in {"grpo", "rloo", "ppo"} else {}
    changes = {path.replace("__", "."): value for path, value in more.items()}
    about = {"model.source": str(tiny), "data.train": str(data), "objective.kind": objective}
    return new_run(f"stated-{objective}", {**SETTINGS, **online, **about, **changes}).config()


def probed(config: RunConfig) -> ProbeMeasured:
    job = create_probe(config)
    assert run_job(job.path) == 0
    log = RunDir(job.path)
    assert [event.status for event in events_of(log, RunFinished)] == ["completed"]
    (measured,) = events_of(log, ProbeMeasured)
    return measured


@pytest.mark.parametrize("objective", ["sft", "pretrain", "dpo", "orpo", "kto", "reward", "grpo", "rloo", "ppo"])
def test_no_batch_of_the_run_is_larger_than_the_probes(objective: str, new_run: NewRun, tiny: Path, tmp_path: Path, shapes: Shapes) -> None:
    config = config_of(new_run, tiny, tmp_path, objective)
    measured = probed(config)
    assert measured.fits
    worst = max(rows * length for rows, length in shapes)
    shapes.clear()
    run = RunDir(tmp_path / f"stated-{objective}")
    assert work(run) == 0
    assert shapes
    assert worst >= max(rows * length for rows, length in shapes)
    expected = max(length for _, length in shapes)
    if objective not in {"grpo", "rloo", "ppo"}:  # sampled answers may have ended early
        assert worst == max(rows * length for rows, length in shapes)
        assert measured.sequence_length in range(expected - 2, expected + 1), "ORPO puts up to two tokens more"
    assert (measured.micro_batch_size, measured.gradient_accumulation_steps) == ((4, 2) if objective in {"grpo", "rloo", "ppo"} else (2, 4))
    assert measured.seconds_per_step is not None
    assert measured.seconds_per_step > 0
    assert measured.evaluation_seconds is not None


def test_nothing_of_a_probe_stays_but_what_it_measured(new_run: NewRun, tiny: Path, tmp_path: Path) -> None:
    config = config_of(new_run, tiny, tmp_path, "sft")
    job = create_probe(config, longest=40)
    assert read_job(job.path) == ProbeRequest(longest=40)
    assert run_job(job.path) == 0
    log = RunDir(job.path)
    assert len(events_of(log, CheckpointSaved)) == 1, "a checkpoint is written"
    assert events_of(log, StepDone) == events_of(log, ErrorRaised) == []
    assert not any(path.exists() for path in (log.checkpoints, log.adapter, log.model))
    assert not default_workspace().runs.exists()
    (kept,) = load_measurements().all
    assert (kept.source, kept.plan.sequence_length, kept.plan.micro_batch_size, kept.objective) == ("probe", 40, 2, "sft")
    assert kept.seconds_per_step is not None
    assert create_probe(config).path == job.path, "those that have ended are removed"
    assert not log.events_file.exists()


def test_a_measurement_is_the_next_estimate(new_run: NewRun, tiny: Path, tmp_path: Path) -> None:
    config = config_of(new_run, tiny, tmp_path, "sft", training__activation_checkpointing=False)
    model, device = read_model(tiny), detect_device()
    before = estimate_here(config, model, device, 40)
    assert before.correction is None
    assert run_job(create_probe(config, longest=40).path) == 0
    (kept,) = load_measurements().all
    after = estimate_here(config, model, device, 40)
    assert after.correction is not None
    assert after.correction.basis == "exact"
    assert after.estimate.total_bytes == kept.process_bytes != before.estimate.total_bytes
    similar = estimate_here(config, model, device, 20).correction
    assert similar is not None
    assert similar.basis == "similar"


def test_both_stages_of_a_staged_run_are_measured(new_run: NewRun, tiny: Path, tmp_path: Path) -> None:
    config = config_of(
        new_run,
        tiny,
        tmp_path,
        "rlhf",
        objective__rollout__max_completion_length=6,
        objective__rlhf__reward_global_batch_size=4,
        training__global_batch_size=4,
    )
    assert probed(config).fits
    assert [one.objective for one in load_measurements().all] == ["reward", config.objective.rlhf.policy]


def test_packed_rows_are_full(new_run: NewRun, tiny: Path, tmp_path: Path, shapes: Shapes) -> None:
    config = config_of(new_run, tiny, tmp_path, "sft", data__packing=True, data__max_length=48)
    assert probed(config).fits
    assert max(rows * length for rows, length in shapes) >= 2 * 40


@pytest.mark.parametrize("phase", ["train", "evaluate", "save"])
def test_a_full_memory_is_a_result_with_numbers(
    phase: str, new_run: NewRun, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Trainer

    said = (
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.50 GiB of which 1.25 GiB is free. "
        "Including non-PyTorch memory, this process has 20.00 GiB memory in use."
    )

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError(said)

    monkeypatch.setattr(
        Trainer, {"train": "training_step", "evaluate": "prediction_step", "save": "_save_optimizer_and_scheduler"}[phase], full
    )
    if phase == "evaluate":
        from desktop_ft.engine.objectives.sft import SftTraining

        monkeypatch.setattr(SftTraining, "prediction_step", full)
    measured = probed(config_of(new_run, tiny, tmp_path, "sft"))
    assert not measured.fits
    assert measured.process_bytes > 0
    assert "needed 2.00 GiB more; 1.25 GiB of 23.50 GiB were free." in measured.message
    assert {"train": "Training step 1", "evaluate": "An evaluation", "save": "Saving"}[phase] in measured.message
    assert (measured.seconds_per_step is not None) == (phase == "save")
    assert load_measurements().all == ()


def test_another_failure_is_a_failure(new_run: NewRun, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import Trainer

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Trainer, "training_step", broken)
    job = create_probe(config_of(new_run, tiny, tmp_path, "sft"))
    assert run_job(job.path) == 1
    assert [event.code for event in events_of(RunDir(job.path), ErrorRaised)] == ["engine_bug"]


@pytest.mark.parametrize("objective", ["sft", "grpo", "ppo"])
def test_a_probe_can_be_stopped(objective: str, new_run: NewRun, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = create_probe(config_of(new_run, tiny, tmp_path, objective))
    at_look(monkeypatch, 5, lambda: send_control(job.path, "stop"))
    assert run_job(job.path) == 0
    log = RunDir(job.path)
    assert [event.status for event in events_of(log, RunFinished)] == ["stopped"]
    assert events_of(log, ProbeMeasured) == []
    assert not log.checkpoints.exists()
    assert load_measurements().all == ()


# --- runs teach too -----------------------------------------------------------------------------------------------------------


def test_a_run_from_start_to_end_is_a_measurement_and_a_shorter_one_is_not(new_run: NewRun, tiny: Path, pairs: Path) -> None:
    about = {"model.source": str(tiny), "data.train": str(pairs), "training.global_batch_size": 22, "training.micro_batch_size": 11}
    assert work(new_run("short", {**about, "training.max_steps": 1})) == 0
    assert load_measurements().all == ()
    run = new_run("whole", {**about, "training.num_train_epochs": 2})
    assert work(run) == 0
    (kept,) = load_measurements().all
    steps = events_of(run, StepDone)
    assert (kept.source, kept.gradient_accumulation_steps) == ("run", 2)
    assert kept.process_bytes >= max(step.memory_bytes for step in steps)
    assert kept.seconds_per_step == sorted(step.seconds for step in steps[1:])[1]
    assert "measurement_not_kept" not in {event.code for event in events_of(run, WarningRaised)}


def test_measurements_that_cannot_be_kept_do_not_end_a_run(new_run: NewRun, tiny: Path, pairs: Path) -> None:
    measured_file().mkdir(parents=True)
    run = new_run(
        "r", {"model.source": str(tiny), "data.train": str(pairs), "training.global_batch_size": 44, "training.micro_batch_size": 44}
    )
    assert work(run) == 0
    assert [event.code for event in events_of(run, WarningRaised)][-1] == "measurement_not_kept"


# --- the process as the driver sees it ------------------------------------------------------------------------------------------


GPU = GpuState(0, "GPU-a", "Card", 24 << 30, 9 << 30, 15 << 30, processes={77: 6 << 30, 78: None})


@pytest.mark.parametrize(
    "gpu, pid, before, expected",
    [
        (GPU, 77, {}, 6 << 30),
        (GPU, 78, {"GPU-a": 4 << 30}, 5 << 30),
        (replace(GPU, processes=None), 77, {"GPU-a": 4 << 30}, 5 << 30),
        (GPU, 79, {"GPU-b": 4 << 30}, 0),
        (GPU, 79, {"GPU-a": 10 << 30}, 0),
    ],
)
def test_the_driver_tells_by_process_or_by_the_difference(gpu: GpuState, pid: int, before: dict[str, int], expected: int) -> None:
    assert process_bytes(gpu, pid, before) == expected


def test_a_meter_without_a_driver_knows_the_resident_memory() -> None:
    found = MemoryMeter().read(detect_device())
    assert found.process > 100 << 20
    assert (found.allocated, found.reserved, found.context) == (None, None, None)
    assert own_memory.LARGEST_CONTEXT_BYTES > 1 << 30


# --- two processes of their own -------------------------------------------------------------------------------------------------


def _finished(child: subprocess.Popen[bytes]) -> int:
    return child.wait(120)


@pytest.mark.slow_bench
@pytest.mark.usefixtures("desktop_ft_home")
def test_the_probes_peak_is_that_of_the_run(new_run: NewRun, tiny: Path, tmp_path: Path) -> None:
    """Peak resident memory belongs to a process, so that each needs its own: about eight seconds, most of it imports."""
    config = config_of(new_run, tiny, tmp_path, "sft")
    job, run = create_probe(config), RunDir(tmp_path / "stated-sft")
    children = [start_engine(folder) for folder in (JobDir(job.path), run)]
    assert [_finished(child) for child in children] == [0, 0]
    (measured,) = events_of(RunDir(job.path), ProbeMeasured)
    first = events_of(run, StepDone)[0].memory_bytes
    assert 0.95 * first <= measured.process_bytes <= 1.25 * first
