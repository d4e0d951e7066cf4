"""A run that is stopped and resumed is the run that was never stopped, bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from desktop_ft.core.control import send_control
from desktop_ft.core.events import ErrorRaised, EvaluationDone, RunFinished, RunStarted, StepDone, WarningRaised
from desktop_ft.core.runs import RunDir, list_checkpoints, sha256_of
from tests.engine.conftest import NewRun, make_run
from tests.engine.helpers import all_events, at_look, events_of, work

NUM_STEPS = 14
STEPS_PER_EPOCH = 11
CHANGES = [("data", "data_changed"), ("tokenizer", "tokenizer_changed"), ("chat_template", "tokenizer_changed")]


@pytest.fixture(scope="module")
def settings(tiny: Path, pairs: Path) -> dict[str, object]:
    """44 examples, 4 a step in two micro-batches: 11 steps an epoch; dropout, so that random numbers matter."""
    return {
        "model.source": str(tiny),
        "data.train": str(pairs),
        "method.dropout": 0.2,
        "training.micro_batch_size": 2,
        "training.max_steps": NUM_STEPS,
        "output.save_steps": 100,
        "evaluation.eval_steps": 3,
    }


@pytest.fixture(scope="module")
def whole(settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run that was never interrupted; not to be changed."""
    run = make_run(tmp_path_factory.mktemp("whole") / "whole", settings)
    assert work(run) == 0
    return run


@pytest.fixture
def copy_of_whole(whole: RunDir, tmp_path: Path) -> RunDir:
    """The same, to be changed."""
    return RunDir(Path(shutil.copytree(whole.path, tmp_path / "copy")))


def forget_the_end(run: RunDir) -> None:
    """As if the child had died before its last event."""
    lines = run.events_file.read_text(encoding="utf-8").splitlines(keepends=True)
    run.events_file.write_text("".join(line for line in lines if '"run_finished"' not in line), encoding="utf-8")


def numbers(run: RunDir) -> dict[int, tuple[object, ...]]:
    """What each step told, the last telling counts."""
    return {step.step: (step.loss, step.grad_norm, step.learning_rate, step.num_tokens, step.epoch) for step in events_of(run, StepDone)}


# With two micro-batches the engine looks twice a step: look 10 is the end of step 5, look 11 the middle of step 6.
@pytest.mark.parametrize(
    ("look", "saved_step"),
    [(10, 5), (11, 5), (2 * STEPS_PER_EPOCH, STEPS_PER_EPOCH), (2 * STEPS_PER_EPOCH + 1, STEPS_PER_EPOCH)],
    ids=["after a step", "within a step", "after an epoch", "within the first step of an epoch"],
)
def test_resume_is_bit_for_bit(
    look: int,
    saved_step: int,
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
    assert not run.adapter.exists()

    assert work(run) == 0

    assert events_of(run, RunStarted)[-1].start_step == saved_step
    assert [event.status for event in events_of(run, RunFinished)] == ["stopped", "completed"]
    assert [event.step for event in events_of(run, StepDone)] == list(range(1, NUM_STEPS + 1))
    assert [event.seq for event in all_events(run)] == list(range(len(all_events(run))))
    assert numbers(run) == numbers(whole)
    name = "adapter_model.safetensors"
    assert sha256_of(run.adapter / name) == sha256_of(whole.adapter / name)


def test_full_fine_tuning_with_evaluation_resumes_bit_for_bit(
    new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**settings, "method.kind": "full", "method.dropout": 0.0, "data.split.fraction": 0.2, "training.max_steps": 7}
    straight, run = new_run("straight", settings), new_run("stopped", settings)
    assert work(straight) == 0
    with monkeypatch.context() as patch:
        at_look(patch, 8, lambda: send_control(run.path, "stop"))
        assert work(run) == 0
    assert work(run) == 0

    assert numbers(run) == numbers(straight)
    assert sha256_of(run.model / "model.safetensors") == sha256_of(straight.model / "model.safetensors")
    assert [(event.step, event.loss) for event in events_of(run, EvaluationDone)] == [
        (event.step, event.loss) for event in events_of(straight, EvaluationDone)
    ]
    assert [event.step for event in events_of(straight, EvaluationDone)] == [0, 3, 6, 7]


def test_a_damaged_checkpoint_is_passed_over(new_run: NewRun, settings: dict[str, object], whole: RunDir) -> None:
    run = new_run("damaged", {**settings, "output.save_steps": 4})
    assert work(run) == 0
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [12, 14]
    forget_the_end(run)
    optimizer = run.checkpoint(14) / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-100])

    assert work(run) == 0

    assert events_of(run, RunStarted)[-1].start_step == 12
    assert [event.code for event in events_of(run, WarningRaised) if event.code == "checkpoint_damaged"] == ["checkpoint_damaged"]
    assert numbers(run) == numbers(whole)
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [12, 14]


def test_a_run_that_died_while_it_saved_its_result_only_saves(copy_of_whole: RunDir) -> None:
    run = copy_of_whole
    before = sha256_of(run.adapter / "adapter_model.safetensors")
    (run.adapter / "adapter_model.safetensors").unlink()
    forget_the_end(run)
    num_steps = len(events_of(run, StepDone))

    assert work(run) == 0

    assert sha256_of(run.adapter / "adapter_model.safetensors") == before
    assert len(events_of(run, StepDone)) == num_steps


def test_a_resumed_run_keeps_its_settings_and_says_so(
    new_run: NewRun, settings: dict[str, object], whole: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run("edited", settings)
    with monkeypatch.context() as patch:
        at_look(patch, 10, lambda: send_control(run.path, "stop"))
        assert work(run) == 0
    text = run.config_file.read_text(encoding="utf-8")
    assert "learning_rate: 0.001" in text
    run.config_file.write_text(text.replace("learning_rate: 0.001", "learning_rate: 0.005"), encoding="utf-8")

    assert work(run) == 0

    (warning,) = [event for event in events_of(run, WarningRaised) if event.code == "settings_kept"]
    assert "run.yaml was edited after the start: training.learning_rate." in warning.message
    assert numbers(run) == numbers(whole)


def test_a_complete_run_is_not_trained_again(whole: RunDir, capfd: pytest.CaptureFixture[str]) -> None:
    log = whole.events_file.read_bytes()
    assert work(whole) == 1
    assert "complete already" in capfd.readouterr().err
    assert whole.events_file.read_bytes() == log


@pytest.mark.parametrize(("what", "code"), CHANGES)
def test_what_changed_since_is_refused(
    what: str,
    code: str,
    new_run: NewRun,
    settings: dict[str, object],
    tmp_path: Path,
    pairs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_bytes(pairs.read_bytes())
    run = new_run("changed", {**settings, "data.train": str(data), "method.dropout": 0.0})
    at_look(monkeypatch, 2, lambda: send_control(run.path, "stop"))
    assert work(run) == 0
    if what == "data":
        data.write_text(data.read_text(encoding="utf-8") + '{"prompt": "one more", "completion": " row"}\n', encoding="utf-8")
    else:
        environment = json.loads(run.environment_file.read_text(encoding="utf-8"))
        environment["hashes"][what] = "0" * 64
        run.environment_file.write_text(json.dumps(environment), encoding="utf-8")

    assert work(run) == 1

    assert [event.code for event in events_of(run, ErrorRaised)] == [code]
    assert [(event.status, event.step) for event in events_of(run, RunFinished)] == [("stopped", 1), ("failed", 1)]
