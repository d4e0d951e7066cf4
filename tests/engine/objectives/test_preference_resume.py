"""A preference run that is stopped and resumed is the run that was never stopped, number for number; so is its reference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from desktop_ft.core.control import send_control
from desktop_ft.core.events import EvaluationDone, RunFinished, RunStarted, StepDone
from desktop_ft.core.runs import RunDir, sha256_of
from tests.engine.conftest import NewRun, make_run
from tests.engine.helpers import at_look, events_of, work

NUM_STEPS = 5
SAVED_STEP = 2
LOOK_WITHIN_STEP = 2 * SAVED_STEP + 1
"""The engine looks after each of the two micro-batches of a step; this look is within the step after the saved one."""


@dataclass(frozen=True)
class Case:
    name: str
    objective: str
    data: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    from_adapter: bool = False
    is_long: bool = False
    """Only in the long test run."""


def each(cases: Iterable[Case]) -> list[Any]:
    """As pytest's parameters."""
    return [pytest.param(case, id=case.name, marks=[pytest.mark.real] if case.is_long else []) for case in cases]


ON_ADAPTER = Case("dpo-adapter", "dpo", "chat", from_adapter=True)
CASES = [
    ON_ADAPTER,
    Case("dpo-lora", "dpo", "chat", is_long=True),
    Case("dpo-adapter-precomputed", "dpo", "chat", {"objective.dpo.precompute_ref_log_probs": True}, from_adapter=True, is_long=True),
    Case("dpo-full-precomputed", "dpo", "chat", {"method.kind": "full", "objective.dpo.precompute_ref_log_probs": True}),
    Case("orpo-lora", "orpo", "chat"),
    Case("kto-dora", "kto", "judged-chat", {"method.use_dora": True}),
    Case("reward-lora", "reward", "chat"),
    Case("reward-full", "reward", "chat", {"method.kind": "full"}, is_long=True),
]


@pytest.fixture(scope="module")
def sft_adapter(tiny: Path, chats: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter of a short SFT run."""
    run = make_run(tmp_path_factory.mktemp("sft") / "sft", {"model.source": str(tiny), "data.train": str(chats), "training.max_steps": 4})
    assert work(run) == 0
    return run.adapter


def settings_of(case: Case, tiny: Path, files: dict[str, Path], adapter: Path) -> dict[str, object]:
    return {
        "model.source": str(tiny),
        "model.adapter": str(adapter) if case.from_adapter else None,
        "data.train": str(files[case.data]),
        "data.split.fraction": 0.1,
        "objective.kind": case.objective,
        "training.micro_batch_size": 2,
        "training.max_steps": NUM_STEPS,
        "output.save_steps": 100,
        "evaluation.eval_steps": 4,
        "training.activation_checkpointing": False,
        **case.settings,
    }


def numbers(run: RunDir) -> dict[int, tuple[object, ...]]:
    """What each step told, the last telling counts."""
    return {step.step: (step.loss, step.grad_norm, step.num_tokens, dict(step.metrics)) for step in events_of(run, StepDone)}


def evaluations(run: RunDir) -> dict[int, tuple[object, ...]]:
    return {done.step: (done.loss, dict(done.metrics)) for done in events_of(run, EvaluationDone)}


def result_file(run: RunDir) -> Path:
    return (run.model / "model.safetensors") if run.model.is_dir() else (run.adapter / "adapter_model.safetensors")


@pytest.mark.parametrize("case", each(CASES))
def test_resume_is_the_uninterrupted_run(
    case: Case, tiny: Path, preference_files: dict[str, Path], sft_adapter: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(case, tiny, preference_files, sft_adapter)
    whole, run = new_run("whole", settings), new_run("stopped", settings)
    assert work(whole) == 0
    with monkeypatch.context() as patch:
        at_look(patch, LOOK_WITHIN_STEP, lambda: send_control(run.path, "stop"))
        assert work(run) == 0
    assert [(event.status, event.step) for event in events_of(run, RunFinished)] == [("stopped", SAVED_STEP)]

    assert work(run) == 0

    assert events_of(run, RunStarted)[-1].start_step == SAVED_STEP
    assert sorted(numbers(run)) == list(range(1, NUM_STEPS + 1))
    assert numbers(run) == numbers(whole)
    assert evaluations(run) == evaluations(whole)
    assert sha256_of(result_file(run)) == sha256_of(result_file(whole))


def test_dpo_on_an_adapter_starts_from_it_and_keeps_it_as_the_reference(
    tiny: Path, preference_files: dict[str, Path], sft_adapter: Path, new_run: NewRun
) -> None:
    from safetensors.torch import load_file

    run = new_run("dpo", settings_of(ON_ADAPTER, tiny, preference_files, sft_adapter))
    assert work(run) == 0

    before = events_of(run, EvaluationDone)[0]
    assert before.step == 0
    assert (before.metrics["rewards/margins"], before.metrics["rewards/chosen"]) == (0.0, 0.0)
    assert before.loss == pytest.approx(0.693147, abs=1e-6)
    first, later = events_of(run, StepDone)[0], events_of(run, StepDone)[-1]
    assert first.metrics["rewards/margins"] == 0.0
    assert later.metrics["rewards/margins"] != 0.0

    start, trained = load_file(sft_adapter / "adapter_model.safetensors"), load_file(run.adapter / "adapter_model.safetensors")
    assert set(start) == set(trained)
    assert any(bool((start[name] != trained[name]).any()) for name in start)
    assert not (run.adapter / "ref").exists()
    kept = load_file(run.checkpoint(NUM_STEPS) / "ref" / "adapter_model.safetensors")
    assert all(bool((start[name] == kept[name]).all()) for name in start)
