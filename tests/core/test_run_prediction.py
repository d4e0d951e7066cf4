"""What a run was expected to need: what was measured before it counts, what it measured itself does not."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from desktop_ft.core import models
from desktop_ft.core.memory import estimate
from desktop_ft.core.memory.measured import add_measurement
from desktop_ft.core.run_prediction import Prediction, predict_run, recorded_device
from desktop_ft.core.runs import RunDir
from tests.core.shapes import LLAMA_1B
from tests.core.test_measured import measured
from tests.core.test_memory import H100, run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, desktop_ft_home: Path) -> RunDir:
    """A run that began 1000 seconds after the epoch on the H100."""
    assert desktop_ft_home
    monkeypatch.setattr(models, "resolve_model", lambda *_: tmp_path)
    monkeypatch.setattr(models, "read_model", lambda _: LLAMA_1B)
    made = RunDir(tmp_path)
    device = {"kind": "cuda", "name": H100.name, "total_bytes": H100.total_bytes, "supports_bf16": True, "uuid": "GPU-0"}
    made.environment_file.write_text(json.dumps({"device": device}), encoding="utf-8")
    os.utime(made.environment_file, (1000, 1000))
    return made


def test_what_was_measured_before_the_start_counts_and_its_own_peak_does_not(folder: RunDir) -> None:
    config = run(micro=2)
    raw = estimate(config, LLAMA_1B, replace(H100, free_bytes=H100.total_bytes))
    assert predict_run(folder, config) == Prediction(raw.low_bytes, raw.total_bytes, raw.high_bytes)
    add_measurement(measured(config, LLAMA_1B, factor=1.4, source="run", time=2000.0))
    assert predict_run(folder, config) == Prediction(raw.low_bytes, raw.total_bytes, raw.high_bytes)
    probed = measured(config, LLAMA_1B, factor=1.2, time=500.0)
    add_measurement(probed)
    found = predict_run(folder, config)
    assert found is not None
    assert found.total_bytes == probed.process_bytes


def test_a_run_that_has_not_begun_has_none(tmp_path: Path) -> None:
    assert recorded_device(RunDir(tmp_path)) is None
    assert predict_run(RunDir(tmp_path), run(micro=2)) is None
