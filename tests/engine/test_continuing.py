"""A run that goes on from another one starts as the other one ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from desktop_ft.core.continuing import continue_from
from desktop_ft.core.events import EvaluationDone, GeneralLoss, StepDone
from desktop_ft.core.runs import RunDir
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work

CASES: dict[str, dict[str, object]] = {
    "lora": {"method.kind": "lora"},
    "dora": {"method.kind": "lora", "method.use_dora": True},
    "pissa": {"method.kind": "lora", "method.init": "pissa"},
    "full": {"method.kind": "full"},
}


@pytest.fixture
def settings(tiny: Path, pairs: Path) -> dict[str, object]:
    return {
        "model.source": str(tiny),
        "data.train": str(pairs),
        "data.split.fraction": 0.2,
        "training.max_steps": 3,
        "training.learning_rate": 1e-2,
        "output.save_steps": 2,
    }


@pytest.mark.parametrize("name", CASES)
def test_it_starts_where_the_other_one_ended(name: str, new_run: NewRun, settings: dict[str, object]) -> None:
    first = new_run("first", {**settings, **CASES[name]})
    assert work(first) == 0
    second = new_run("second", {**settings, "training.max_steps": 1, **continue_from(first, "sft"), "name": "second"})
    assert work(second) == 0
    assert events_of(second, GeneralLoss)[0].loss == pytest.approx(events_of(first, GeneralLoss)[-1].loss, abs=1e-5)
    assert events_of(second, EvaluationDone)[0].loss == pytest.approx(events_of(first, EvaluationDone)[-1].loss, abs=1e-5)


@pytest.mark.parametrize("objective", ["sft", "reward"])
def test_dropout_is_the_runs_own(objective: str, new_run: NewRun, settings: dict[str, object], tmp_path: Path) -> None:
    """The adapter's stored settings name the earlier run's; the next one trains with what it says itself."""
    first = new_run("first", {**settings, "method.dropout": 0.5})
    assert work(first) == 0
    assert _dropout(first) == 0.5
    rows = [f'{{"prompt": "the fox {n}", "chosen": " jumps over", "rejected": " sail to {n}"}}\n' for n in range(8)]
    (tmp_path / "preferences.jsonl").write_text("".join(rows), encoding="utf-8")
    data = {"data.train": str(tmp_path / "preferences.jsonl")}
    common = {**settings, **continue_from(first, "sft"), **data, "objective.kind": objective, "training.max_steps": 2}
    losses: dict[float, list[float | None]] = {}
    for dropout in (0.0, 0.25):
        run = new_run(f"with-{dropout}", {**common, "name": "next", "method.dropout": dropout})
        assert work(run) == 0
        assert _dropout(run) == dropout
        losses[dropout] = [step.loss for step in events_of(run, StepDone)]
    assert (losses[0.0][0] == losses[0.25][0]) is (objective == "reward"), "reward models compare without dropout"


def _dropout(run: RunDir) -> float:
    return float(json.loads((run.adapter / "adapter_config.json").read_text(encoding="utf-8"))["lora_dropout"])


def test_preferences_on_top_of_it_start_with_no_margin(new_run: NewRun, settings: dict[str, object], tmp_path: Path) -> None:
    first = new_run("first", settings)
    assert work(first) == 0
    rows = [f'{{"prompt": "the fox {n}", "chosen": " jumps over", "rejected": " sail to {n}"}}\n' for n in range(8)]
    (tmp_path / "preferences.jsonl").write_text("".join(rows), encoding="utf-8")
    changes = {"data.train": str(tmp_path / "preferences.jsonl"), "data.split.fraction": 0.0, "training.max_steps": 2}
    second = new_run("second", {**settings, **continue_from(first, "dpo", 2), **changes, "name": "second"})
    assert work(second) == 0
    steps = events_of(second, StepDone)
    assert steps[0].loss == pytest.approx(0.693147, abs=1e-5)
    assert steps[0].metrics["rewards/margins"] == 0.0
