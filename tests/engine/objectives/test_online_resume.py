"""A GRPO or RLOO run that is stopped anywhere and resumed is the run that was never stopped, number for number."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.control import send_control
from desktop_ft.core.events import EvaluationDone, RunFinished, RunStarted, SampleDone, StepDone
from desktop_ft.core.runs import RunDir, list_checkpoints, sha256_of
from desktop_ft.engine.controls import Controls
from desktop_ft.engine.objectives import online
from tests.engine.conftest import NewRun, make_run
from tests.engine.helpers import at_look, events_of, work
from tests.engine.objectives.online_runs import SETTINGS, prompt_rows, write_rows

NUM_STEPS = 6
ADAPTER = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def settings(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """4 prompts, 2 a step, each step's answers learnt from twice: 4 steps an epoch, each of two micro-batches."""
    return {
        **SETTINGS,
        "model.source": str(tiny),
        "data.train": str(write_rows(tmp_path_factory.mktemp("data") / "prompts.jsonl", prompt_rows(4, as_chat=True))),
        "method.dropout": 0.1,
        "objective.kind": "grpo",
        "objective.grpo.num_generations": 4,
        "objective.grpo.num_iterations": 2,
        "objective.grpo.beta": 0.05,
        "training.micro_batch_size": 4,
        "training.max_steps": NUM_STEPS,
        "output.save_steps": 100,
        "evaluation.eval_steps": 100,
    }


@pytest.fixture(scope="module")
def whole(settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run that was never interrupted."""
    run = make_run(tmp_path_factory.mktemp("whole") / "whole", settings)
    assert work(run) == 0
    return run


def numbers(run: RunDir) -> dict[int, tuple[object, ...]]:
    """What each step told, times aside; the last telling counts."""
    return {
        step.step: (
            *(step.loss, step.grad_norm, step.learning_rate, step.num_tokens, step.epoch),
            {name: value for name, value in step.metrics.items() if name != "step_time"},
        )
        for step in events_of(run, StepDone)
    }


def samples(run: RunDir) -> list[tuple[int, int, str, str, float | None]]:
    """The sampled answers that were told."""
    return [(event.step, event.index, event.prompt, event.text, event.reward) for event in events_of(run, SampleDone)]


def assert_is_the_same_run(run: RunDir, whole: RunDir) -> None:
    assert [event.step for event in events_of(run, StepDone)] == list(range(1, NUM_STEPS + 1))
    assert numbers(run) == numbers(whole)
    assert samples(run) == samples(whole)
    assert sha256_of(run.adapter / ADAPTER) == sha256_of(whole.adapter / ADAPTER)


# With two micro-batches the engine looks twice a step: look 6 is the end of step 3, look 7 the middle of step 4.
@pytest.mark.parametrize(
    ("look", "saved_step", "has_answers"),
    [(6, 3, True), (7, 3, True), (9, 4, False), (11, 5, True)],
    ids=["between two passes", "within a second pass", "within the first pass of an epoch", "within a second pass of the next epoch"],
)
def test_resume_is_bit_for_bit(
    look: int,
    saved_step: int,
    has_answers: bool,
    whole: RunDir,
    new_run: NewRun,
    settings: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = new_run("stopped", settings)
    with monkeypatch.context() as patch:
        at_look(patch, look, lambda: send_control(run.path, "stop"))
        assert work(run) == 0
    assert [(event.status, event.step) for event in events_of(run, RunFinished)] == [("stopped", saved_step)]
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [saved_step]
    assert (run.checkpoint(saved_step) / online.ANSWERS_FILE).exists() == has_answers

    assert work(run) == 0

    assert events_of(run, RunStarted)[-1].start_step == saved_step
    assert_is_the_same_run(run, whole)


def stop_while_sampling(run: RunDir, patch: pytest.MonkeyPatch, number: int) -> None:
    """Ask for a stop at the n-th look of those that are made before each sampled token."""
    look, looks = Controls.stop_waits, 0

    def counted(controls: Controls) -> bool:
        nonlocal looks
        looks += 1
        if looks == number:
            send_control(run.path, "stop")
        return look(controls)

    patch.setattr(Controls, "stop_waits", counted)
    patch.setattr(online, "_SECONDS_BETWEEN_LOOKS", 0.0)


# Eight tokens are sampled for each pair of steps: look 20 is within the answers of step 5.
@pytest.mark.parametrize(("look", "saved_step"), [(4, 0), (20, 4)], ids=["of the first step", "of a later step"])
def test_a_stop_while_answers_are_sampled(
    look: int, saved_step: int, whole: RunDir, new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run("stopped", settings)
    with monkeypatch.context() as patch:
        stop_while_sampling(run, patch, look)
        assert work(run) == 0
    assert [(event.status, event.step) for event in events_of(run, RunFinished)] == [("stopped", saved_step)]
    assert [event.step for event in events_of(run, StepDone)] == list(range(1, saved_step + 1))

    assert work(run) == 0

    assert_is_the_same_run(run, whole)


@pytest.mark.parametrize("full", [False, True], ids=["adapter", "full"])
def test_rloo_with_evaluation_resumes_bit_for_bit(
    full: bool, new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        **settings,
        "objective.kind": "rloo",
        "objective.rloo.num_generations": 4,
        "objective.rloo.num_iterations": 3,
        "data.split.fraction": 0.34,
        "evaluation.eval_steps": 2,
        "method.kind": "full" if full else "lora",
        "method.dropout": 0.0 if full else 0.1,
    }
    straight, run = new_run("straight", settings), new_run("stopped", settings)
    assert work(straight) == 0
    with monkeypatch.context() as patch:
        at_look(patch, 9, lambda: send_control(run.path, "stop"))
        assert work(run) == 0
    assert [event.step for event in events_of(run, RunFinished)] == [4]
    assert work(run) == 0

    assert numbers(run) == numbers(straight)
    evaluations = [(event.step, event.loss, event.metrics["reward"]) for event in events_of(straight, EvaluationDone)]
    assert [step for step, _, _ in evaluations] == [0, 2, 4, 6]
    assert [(event.step, event.loss, event.metrics["reward"]) for event in events_of(run, EvaluationDone)] == evaluations


def test_on_top_of_an_adapter_the_reference_is_that_adapter(
    new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**settings, "method.dropout": 0.0, "objective.grpo.num_iterations": 1}
    first = new_run("first", {**settings, "training.max_steps": 2})
    assert work(first) == 0
    on_top = {**settings, "model.adapter": str(first.adapter), "training.max_steps": 5}
    straight, run = new_run("straight", on_top), new_run("stopped", on_top)
    assert work(straight) == 0
    with monkeypatch.context() as patch:
        at_look(patch, 8, lambda: send_control(run.path, "stop"))
        assert work(run) == 0
    assert work(run) == 0

    steps = events_of(straight, StepDone)
    assert steps[0].metrics["kl"] == 0.0
    assert steps[-1].metrics["kl"] > 0.0
    assert numbers(run) == numbers(straight)
    assert [path.name for path in straight.adapter.iterdir() if path.is_dir()] == []
    assert sha256_of(run.adapter / ADAPTER) == sha256_of(straight.adapter / ADAPTER)
