"""The checkpoint that measured best stays when newer ones push it out, and is the same file that a run without it would have written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers.trainer_utils import EvalLoopOutput

from desktop_ft.core.best_checkpoint import BestCheckpoint, best_file, read_best
from desktop_ft.core.control import send_control
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import CheckpointSaved, EvaluationDone, StepDone
from desktop_ft.core.runs import RunDir, list_checkpoints, sha256_of
from desktop_ft.engine.checkpoints import CheckpointStore
from desktop_ft.engine.keep_best import BestKeeper
from desktop_ft.engine.objectives.sft import SftTraining
from tests.engine.conftest import NewRun
from tests.engine.helpers import at_look, events_of, work


@pytest.fixture
def settings(tiny: Path, pairs: Path) -> dict[str, object]:
    """Evaluations at every step, checkpoints at every fifth."""
    return {
        "model.source": str(tiny),
        "data.train": str(pairs),
        "data.split.fraction": 0.2,
        "method.dropout": 0.2,
        "training.max_steps": 7,
        "training.micro_batch_size": 2,
        "evaluation.eval_steps": 1,
        "output.save_steps": 5,
        "output.save_total_limit": 1,
    }


def measure_as(monkeypatch: pytest.MonkeyPatch, by_step: Sequence[float]) -> None:
    """Evaluations that tell these losses, by step from 0."""
    plain = SftTraining.evaluation_loop

    def told(self: SftTraining, *args: Any, **kwargs: Any) -> EvalLoopOutput:  # noqa: ANN401 - as the method
        output = plain(self, *args, **kwargs)
        assert output.metrics is not None
        output.metrics["eval_loss"] = by_step[self.state.global_step]
        return output

    monkeypatch.setattr(SftTraining, "evaluation_loop", told)


LOSSES = [1.0, 3.0, 2.5, 2.6, 2.7, 2.8, 2.9, 3.0]


def steps_of(run: RunDir) -> list[int]:
    return [checkpoint.step for checkpoint in list_checkpoints(run)]


def numbers(run: RunDir) -> dict[int, tuple[object, ...]]:
    return {step.step: (step.loss, step.grad_norm, step.learning_rate) for step in events_of(run, StepDone)}


def test_the_best_one_is_written_and_stays(new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    measure_as(monkeypatch, LOSSES)
    run = new_run("best", settings)
    assert work(run) == 0

    assert read_best(run) == BestCheckpoint(2, "loss", 2.5)
    assert steps_of(run) == [2, 7]
    assert [(event.step, event.is_best) for event in events_of(run, CheckpointSaved)] == [(1, True), (2, True), (5, False), (7, False)]

    without = new_run("without", {**settings, "output.keep_best": False})
    assert work(without) == 0
    assert steps_of(without) == [7]
    assert not best_file(without).exists()
    assert numbers(without) == numbers(run)
    name = "adapter_model.safetensors"
    assert sha256_of(without.adapter / name) == sha256_of(run.adapter / name)


def test_it_outlives_a_resume_which_is_still_bit_for_bit(
    new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_as(monkeypatch, LOSSES)
    whole, run = new_run("whole", settings), new_run("stopped", settings)
    assert work(whole) == 0
    with monkeypatch.context() as patch:
        at_look(patch, 8, lambda: send_control(run.path, "stop"))  # the end of step 4
        assert work(run) == 0
    assert steps_of(run) == [2, 4]
    assert work(run) == 0

    assert read_best(run) == read_best(whole)
    assert steps_of(run) == [2, 7]
    assert numbers(run) == numbers(whole)
    name = "adapter_model.safetensors"
    assert sha256_of(run.adapter / name) == sha256_of(whole.adapter / name)


def sealed(store: CheckpointStore, step: int) -> None:
    store.clear_unsealed()
    folder = store.unsealed / str(step)
    folder.mkdir()
    (folder / "weights").write_bytes(b"1")
    store.seal(folder, step)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def test_rewards_are_better_the_higher(run: RunDir) -> None:
    store = CheckpointStore(run, EventWriter(run.events_file), keep=1)
    keeper = BestKeeper(store, "grpo")
    for step, reward in enumerate([0.9, 0.2, 0.6, 0.4, float("nan"), 0.5]):
        measured = EvaluationDone(step=step, loss=-9.0 + step, metrics={"reward": reward})
        assert keeper.improves(measured) is (step in {1, 2})
        if step:
            sealed(store, step)
    assert read_best(run) == BestCheckpoint(2, "reward", 0.6)
    assert steps_of(run) == [2, 5]


def test_a_best_step_that_was_never_saved_does_not_count(run: RunDir) -> None:
    store = CheckpointStore(run, EventWriter(run.events_file), keep=2)
    keeper = BestKeeper(store, "sft")
    assert keeper.improves(EvaluationDone(step=3, loss=1.0))
    sealed(store, 4)
    assert read_best(run) is None
    assert keeper.improves(EvaluationDone(step=5, loss=1.5))


def test_the_record_is_nothing_without_its_checkpoint(run: RunDir) -> None:
    store = CheckpointStore(run, EventWriter(run.events_file), keep=2)
    sealed(store, 4)
    assert BestKeeper(store, "dpo").improves(EvaluationDone(step=4, loss=1.0))
    assert read_best(run) == BestCheckpoint(4, "loss", 1.0)
    (run.checkpoint(4) / "manifest.json").unlink()
    assert read_best(run) is None
    best_file(run).write_text("{", encoding="utf-8")
    assert read_best(run) is None
