"""estimate --exact: what is asked of the engine, and what is printed of its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from desktop_ft.commands import estimate
from desktop_ft.commands.follow import Followed, Listener
from desktop_ft.core.events import DryRunDone
from desktop_ft.core.job import DryRunRequest, JobDir, read_job
from desktop_ft.core.memory.dry_run import exact_json
from desktop_ft.core.workspace import default_workspace
from tests.commands.conftest import Run

GIB = 1 << 30
DONE = DryRunDone(
    total_bytes=3 * GIB, allocated_bytes=2 * GIB, reserved_bytes=2 * GIB, terms={"cuda_context": GIB, "weights": 2 * GIB}, phase="blocks",
    seconds=2.5, num_layers=6, num_layers_run=4, versions="torch 2.13.0", modelled="Attention.",
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, desktop_ft_home: Path) -> list[DryRunRequest]:
    """An engine that answers at once; what it was asked for."""
    assert desktop_ft_home
    requests: list[DryRunRequest] = []

    def run(job: JobDir, listener: Listener, environment: Mapping[str, str] | None = None) -> Followed:
        request = read_job(job.path)
        assert isinstance(request, DryRunRequest)
        assert environment == {"CUDA_VISIBLE_DEVICES": ""}
        requests.append(request)
        return Followed("completed", [DONE])

    monkeypatch.setattr(estimate, "run_engine", run)
    return requests


def test_total_parts_and_verdict_are_those_of_the_exact_estimate(desktop_ft: Run, asked: list[DryRunRequest]) -> None:
    result = desktop_ft("estimate", "demo", "--gpu", "RTX 4090", "--exact", "--json")
    assert result.status == 0
    assert (result.json["total_bytes"], result.json["verdict"]) == (3 * GIB, "fits")
    assert result.json["exact"] == exact_json(DONE)
    assert exact_json(DONE)["terms"] == {"cuda_context": GIB, "weights": 2 * GIB}
    assert "suggestions" in result.json
    assert (asked[0].device_kind, "4090" in asked[0].device_name) == ("cuda", True)
    assert list((default_workspace().home / "jobs").glob("dry_run-*")) == []
    assert "Exact: 3.00 GiB" in desktop_ft("estimate", "demo", "--gpu", "RTX 4090", "--exact").out
    assert "exact" not in desktop_ft("estimate", "demo", "--gpu", "RTX 4090", "--json").json


def test_a_model_that_the_arithmetic_does_not_know_has_the_exact_estimate_alone(
    desktop_ft: Run, asked: list[DryRunRequest], tmp_path: Path
) -> None:
    config = tmp_path / "novel" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"model_type": "novel", "architectures": ["NovelForCausalLM"]}), encoding="utf-8")
    assert "model_architecture_unknown" in str(desktop_ft("estimate", config, "--json").json["error"])
    result = desktop_ft("estimate", config, "--exact", "--json", "--gpu", "RTX 4090")
    assert set(result.json) == {"total_bytes", "terms", "device_free_bytes", "verdict", "exact"}
    assert len(asked) == 1
