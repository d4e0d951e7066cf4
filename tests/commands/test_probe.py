"""probe: what the engine is asked for, what is printed of it, and forgetting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from desktop_ft.commands import probe
from desktop_ft.commands.follow import Followed, Listener
from desktop_ft.commands.machine import child_environment
from desktop_ft.core.events import ProbeMeasured
from desktop_ft.core.job import JobDir, ProbeRequest, read_job
from desktop_ft.core.memory.measured import add_measurement, load_measurements, measured_file
from desktop_ft.core.workspace import default_workspace
from tests.commands.conftest import Run
from tests.core.shapes import LLAMA_1B
from tests.core.test_measured import measured
from tests.core.test_memory import CPU, H100, run

MEASURED = ProbeMeasured(
    fits=True,
    process_bytes=900 << 20,
    peak_phase="train",
    seconds_per_step=0.5,
    tokens_per_second=1234.5,
    evaluation_seconds=2.0,
    micro_batch_size=4,
    gradient_accumulation_steps=2,
    sequence_length=128,
)
FULL = replace(MEASURED, fits=False, seconds_per_step=None, tokens_per_second=None, message="Training step 1 needed 2.00 GiB more.")


class Engine:
    """Answers with what a test chooses."""

    def __init__(self) -> None:
        self.answer: ProbeMeasured | None = MEASURED
        self.asked: list[object] = []

    def __call__(self, job: JobDir, listener: Listener, environment: Mapping[str, str] | None = None) -> Followed:
        assert (job.path / "run.yaml").is_file()
        self.asked.append(read_job(job.path))
        return Followed("completed" if self.answer else "stopped", [self.answer] if self.answer else [])


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, desktop_ft_home: Path) -> Engine:
    assert desktop_ft_home
    found = Engine()
    monkeypatch.setattr(probe, "run_engine", found)
    return found


def test_what_was_measured_is_told_beside_the_estimate(desktop_ft: Run, engine: Engine, run_yaml: Path) -> None:
    result = desktop_ft("probe", run_yaml, "--json")
    assert result.status == 0
    estimate = result.json["estimate"]
    assert isinstance(estimate, dict)
    assert set(estimate) == {"total_bytes", "low_bytes", "high_bytes"}
    assert {name: result.json[name] for name in ("fits", "process_bytes", "seconds_per_step", "sequence_length", "context_bytes")} == {
        "fits": True, "process_bytes": 900 << 20, "seconds_per_step": 0.5, "sequence_length": 128, "context_bytes": None,
    }  # fmt: skip
    (request,) = engine.asked
    assert isinstance(request, ProbeRequest)
    assert request.longest is not None
    assert 0 < request.longest <= 128
    assert list((default_workspace().home / "jobs").glob("probe-*")) == []
    shown = desktop_ft("probe", run_yaml).out
    assert "Longest batch: 4 examples of up to 128 tokens" in shown
    assert "Peak of the process: 900.00 MiB, reached in phase 'train'" in shown
    assert "A step takes at most 0.50 s, 1,234 tokens a second" in shown


def test_a_memory_that_is_too_small_is_a_result(desktop_ft: Run, engine: Engine, run_yaml: Path) -> None:
    engine.answer = FULL
    result = desktop_ft("probe", run_yaml, "--json")
    assert (result.status, result.json["fits"], result.json["message"]) == (0, False, "Training step 1 needed 2.00 GiB more.")
    assert "The memory is too small. Training step 1 needed 2.00 GiB more." in desktop_ft("probe", run_yaml).out


def test_a_probe_that_was_stopped_measured_nothing(desktop_ft: Run, engine: Engine, run_yaml: Path) -> None:
    engine.answer = None
    result = desktop_ft("probe", run_yaml)
    assert (result.status, result.out) == (1, "")
    assert "nothing was measured" in result.err


def test_without_a_file_or_forget_it_says_what_is_missing(desktop_ft: Run, engine: Engine) -> None:
    result = desktop_ft("probe", "--json")
    assert (result.status, result.error["code"]) == (2, "usage")
    assert engine.asked == []


def test_forgetting(desktop_ft: Run, engine: Engine) -> None:
    add_measurement(measured(run(micro=2), LLAMA_1B))
    result = desktop_ft("probe", "--forget", "--json")
    assert (result.status, result.json) == (0, {"forgotten": 1})
    assert load_measurements().all == ()
    assert "0 measurements forgotten" in desktop_ft("probe", "--forget").out


def test_the_estimate_says_by_what_it_is_corrected_and_that_a_file_was_damaged(
    desktop_ft: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("desktop_ft.commands.estimate._device", lambda *_: H100)
    add_measurement(measured(run(micro=2, length=256, method__use_dora=True), LLAMA_1B, factor=1.2))
    found = desktop_ft("estimate", "demo", "--json", "--set", "model.dtype=bfloat16").json
    assert found["correction"] is not None
    assert "on this device: " in desktop_ft("estimate", "demo").out
    measured_file().write_text("{", encoding="utf-8")
    result = desktop_ft("estimate", "demo", "--json")
    assert "correction" not in result.json
    assert "set aside" in result.err


def test_the_engine_sees_the_card_that_was_meant_unless_the_person_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert child_environment(H100) == {"CUDA_VISIBLE_DEVICES": "GPU-0"}
    assert child_environment(CPU) == {}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert child_environment(H100) == {}
