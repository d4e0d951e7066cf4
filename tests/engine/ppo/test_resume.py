"""A PPO run that is stopped anywhere and resumed is the run that was never stopped, number for number."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.control import send_control
from desktop_ft.core.events import ControlDone, EvaluationDone, RunFinished, RunStarted, SampleDone, StepDone
from desktop_ft.core.runs import RunDir, list_checkpoints
from desktop_ft.engine.ppo.checkpoint import load_state
from tests.engine.conftest import NewRun, make_run
from tests.engine.helpers import at_look, events_of, work
from tests.engine.ppo.ppo_runs import SETTINGS, assert_same, assert_same_weights, numbers, weights

NUM_STEPS = 7


@pytest.fixture(scope="module")
def settings(tiny: Path, prompts: Path) -> dict[str, object]:
    """Two rollouts of 8 answers, each learnt from in two passes of two steps, each of two micro-batches; everything that adapts is on."""
    return {
        **SETTINGS,
        "model.source": str(tiny),
        "data.train": str(prompts),
        "data.split.fraction": 0.2,
        "method.use_dora": True,
        "training.max_steps": NUM_STEPS,
        "training.lr_scheduler_type": "cosine",
        "objective.ppo.target_kl": 0.5,
        "objective.ppo.kl_horizon": 40,
        "objective.ppo.whiten_rewards": True,
        "evaluation.eval_steps": 3,
    }


@pytest.fixture(scope="module")
def whole(settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run that was never interrupted."""
    run = make_run(tmp_path_factory.mktemp("whole") / "whole", settings)
    assert work(run) == 0
    return run


def samples(run: RunDir) -> list[tuple[int, int, str, str, float | None]]:
    return [(event.step, event.index, event.prompt, event.text, event.reward) for event in events_of(run, SampleDone)]


def evaluations(run: RunDir) -> list[tuple[int, dict[str, float]]]:
    return [
        (event.step, {name: value for name, value in event.metrics.items() if name != "runtime"})
        for event in events_of(run, EvaluationDone)
    ]


# The engine looks once while it samples a rollout, and twice a step: look 1 is in the first rollout, look 3 the end of step 1.
@pytest.mark.parametrize(
    ("look", "saved_step", "has_answers"),
    [(3, 1, True), (4, 1, True), (6, 2, True), (10, 4, False), (11, 4, True), (13, 5, True)],
    ids=["in the first pass", "within a step", "within the second pass", "in a rollout", "before its first step", "in the second rollout"],
)
def test_resume_is_bit_for_bit(
    look: int,
    saved_step: int,
    has_answers: bool,
    whole: RunDir,
    settings: dict[str, object],
    new_run: NewRun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = new_run("stopped", settings)
    with monkeypatch.context() as patch:
        at_look(patch, look, lambda: send_control(run.path, "stop"))
        assert work(run) == 0
    assert [(event.status, event.step) for event in events_of(run, RunFinished)] == [("stopped", saved_step)]
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [saved_step]
    assert (load_state(run.checkpoint(saved_step))["experience"] is not None) == has_answers

    assert work(run) == 0

    assert events_of(run, RunStarted)[-1].start_step == saved_step
    assert [event.step for event in events_of(run, StepDone)] == list(range(1, NUM_STEPS + 1))
    assert_same(numbers(run), numbers(whole))
    assert samples(run) == samples(whole)
    assert evaluations(run) == evaluations(whole)
    assert_same_weights(weights(run.adapter), weights(whole.adapter))


def test_a_stop_in_the_first_rollout_leaves_nothing_behind(
    settings: dict[str, object], whole: RunDir, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run("stopped", settings)
    with monkeypatch.context() as patch:
        at_look(patch, 1, lambda: send_control(run.path, "stop"))
        assert work(run) == 0
    assert [(event.status, event.step) for event in events_of(run, RunFinished)] == [("stopped", 0)]
    assert list_checkpoints(run) == []
    assert work(run) == 0
    assert_same(numbers(run), numbers(whole))


@pytest.mark.parametrize("changes", [{"method.kind": "full"}, {"model.added_tokens": ["<|note|>"]}], ids=["full", "a grown vocabulary"])
def test_whole_modules_resume_bit_for_bit(
    changes: dict[str, object], settings: dict[str, object], new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**settings, **changes, "training.max_steps": 4}
    straight, run = new_run("straight", settings), new_run("stopped", settings)
    assert work(straight) == 0
    with monkeypatch.context() as patch:
        at_look(patch, 6, lambda: send_control(run.path, "stop"))
        assert work(run) == 0
    assert work(run) == 0
    assert_same(numbers(run), numbers(straight))
    results = [one.model if one.model.is_dir() else one.adapter for one in (run, straight)]
    assert_same_weights(weights(results[0]), weights(results[1]))


def test_a_run_that_died_while_it_saved_its_result_only_saves(settings: dict[str, object], new_run: NewRun) -> None:
    run = new_run("died", {**settings, "training.max_steps": 2})
    assert work(run) == 0
    before = weights(run.adapter)
    (run.adapter / "adapter_model.safetensors").unlink()
    lines = run.events_file.read_text(encoding="utf-8").splitlines(keepends=True)
    run.events_file.write_text("".join(line for line in lines if '"run_finished"' not in line), encoding="utf-8")
    assert work(run) == 0
    assert [event.step for event in events_of(run, StepDone)] == [1, 2]
    assert_same_weights(weights(run.adapter), before)


def test_save_sample_and_set_are_obeyed(settings: dict[str, object], new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run(
        "asked", {**settings, "training.max_steps": 4, "evaluation.sample_prompts": ["the quick"], "training.lr_scheduler_type": "constant"}
    )

    def ask() -> None:
        send_control(run.path, "save")
        send_control(run.path, "sample")
        send_control(run.path, "set", {"training.learning_rate": 5e-4})

    at_look(monkeypatch, 5, ask)
    assert work(run) == 0
    assert [(event.control, event.accepted) for event in events_of(run, ControlDone)] == [("sample", True), ("set", True), ("save", True)]
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [2, 4]
    assert [step.learning_rate for step in events_of(run, StepDone)] == [1e-3, 1e-3, 5e-4, 5e-4]
    assert 2 in {event.step for event in events_of(run, SampleDone) if not event.sampled}
