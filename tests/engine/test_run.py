"""What a run tells, keeps and does on request, with the real trainer on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from desktop_ft.core.control import send_control
from desktop_ft.core.data.dataset import load_training_data
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.events import (
    CheckpointSaved,
    ControlDone,
    EvaluationDone,
    PhaseChanged,
    RunFinished,
    RunStarted,
    SampleDone,
    StepDone,
    WarningRaised,
)
from desktop_ft.core.runs import RunDir, list_checkpoints, live_engine, sha256_of
from tests.engine.conftest import NewRun, make_run
from tests.engine.helpers import all_events, at_look, events_of, work

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROMPTS = ("the quick brown fox", "seven small boats")


@pytest.fixture(scope="module")
def settings(tiny: Path, chats: Path) -> dict[str, object]:
    return {
        "model.source": str(tiny),
        "data.train": str(chats),
        "data.split.fraction": 0.2,
        "method.dropout": 0.2,
        "training.max_steps": 5,
        "evaluation.eval_steps": 2,
        "evaluation.sample_prompts": list(PROMPTS),
        "evaluation.sample_max_new_tokens": 8,
        "output.save_steps": 2,
    }


@pytest.fixture(scope="module")
def run(settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A finished run; not to be changed."""
    made = make_run(tmp_path_factory.mktemp("run") / "run", settings)
    assert work(made) == 0
    return made


def _base(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = cast("PreTrainedModel", AutoModelForCausalLM.from_pretrained(folder))
    return model.eval(), cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(folder))


# --- what is told ------------------------------------------------------------------------------------------------------


def test_the_log_is_in_order(run: RunDir) -> None:
    events = all_events(run)
    assert [event.seq for event in events] == list(range(len(events)))
    phases = [event.phase for event in events if isinstance(event, PhaseChanged)]
    assert phases[:4] == ["load", "load", "tokenize", "load"]
    assert phases[-3:] == ["save", "generate", "evaluate"]
    assert isinstance(events[-1], RunFinished)
    assert (events[-1].status, events[-1].step) == ("completed", 5)
    assert live_engine(run) is None


def test_the_start_names_the_numbers(run: RunDir) -> None:
    (started,) = events_of(run, RunStarted)
    assert (started.num_steps, started.start_step) == (5, 0)
    assert started.num_train_examples + started.num_eval_examples == 44
    assert (started.micro_batch_size, started.gradient_accumulation_steps) == (4, 1)
    assert started.device.startswith("CPU, ")
    assert started.device_bytes > 1 << 30


def test_each_step_is_told(run: RunDir) -> None:
    steps = events_of(run, StepDone)
    assert [step.step for step in steps] == [1, 2, 3, 4, 5]
    for step in steps:
        assert step.loss is not None
        assert 3 < step.loss < 7
        assert step.seconds > 0
        assert step.tokens_per_second is not None
        assert step.tokens_per_second > 0
        assert step.memory_bytes > 50 << 20
    assert sorted({step.num_tokens for step in steps}) == [step.num_tokens for step in steps]


def test_the_evaluation_is_a_mean_over_tokens(run: RunDir, tiny: Path, chats: Path) -> None:
    import torch

    data = load_training_data(
        chats,
        None,
        fraction=0.2,
        seed=42,
        format="auto",
        columns={},
        tokenizer=load_tokenizer(tiny),
        max_length=64,
        assistant_only_loss=True,
    )
    model, _ = _base(tiny)
    total, count = 0.0, 0
    for example in data.eval:
        ids, labels = torch.tensor([example.input_ids]), torch.tensor(example.labels)[1:]
        with torch.no_grad():
            logits = cast("torch.Tensor", model(input_ids=ids).logits)[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum"))
        count += int((labels != -100).sum())

    evaluations = events_of(run, EvaluationDone)
    assert [event.step for event in evaluations] == [0, 2, 4, 5]
    assert evaluations[0].loss == pytest.approx(total / count, abs=1e-5)
    assert evaluations[0].num_examples == len(data.eval)
    assert evaluations[-1].loss is not None
    assert evaluations[-1].loss < total / count


def test_samples_are_the_models_own_greedy_words(run: RunDir, tiny: Path) -> None:
    import torch
    from peft import PeftModel

    samples = events_of(run, SampleDone)
    assert [(sample.step, sample.index, sample.prompt) for sample in samples] == [
        (step, index, prompt) for step in (0, 2, 4, 5) for index, prompt in enumerate(PROMPTS)
    ]
    base, tokenizer = _base(tiny)
    model = PeftModel.from_pretrained(base, str(run.adapter)).eval()
    rendered = f"<|im_start|>user\n{PROMPTS[1]}<|im_end|>\n<|im_start|>assistant\n"
    ids = cast("list[int]", tokenizer(rendered)["input_ids"])
    for _ in range(8):
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    expected = tokenizer.decode(ids[-8:], skip_special_tokens=True)
    assert samples[-1].text == expected
    assert samples[-1].finished is False


def test_sampling_leaves_the_training_alone(run: RunDir, new_run: NewRun, settings: dict[str, object]) -> None:
    silent = new_run("silent", {**settings, "evaluation.sample_prompts": []})
    assert work(silent) == 0
    assert events_of(silent, SampleDone) == []
    name = "adapter_model.safetensors"
    assert sha256_of(silent.adapter / name) == sha256_of(run.adapter / name)


def test_the_record_is_complete(run: RunDir, tiny: Path) -> None:
    environment = json.loads(run.environment_file.read_text(encoding="utf-8"))
    assert set(environment["hashes"]) == {"data_train", "tokenizer", "chat_template", "model_config", "model_weights"}
    assert all(len(value) == 64 for value in environment["hashes"].values())
    assert environment["libraries"]["torch"]
    assert environment["device"]["kind"] == "cpu"
    assert environment["model_path"] == str(tiny)
    assert run.resolved_file.is_file()
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [4, 5]
    assert [(event.step, event.path) for event in events_of(run, CheckpointSaved)] == [
        (2, "checkpoints/step-000002"),
        (4, "checkpoints/step-000004"),
        (5, "checkpoints/step-000005"),
    ]
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [".unsealed", "best.json", "step-000004", "step-000005"]
    assert (run.adapter / "tokenizer.json").is_file()
    assert not [path for path in run.path.iterdir() if "unfinished" in path.name]


# --- batches ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "num_steps", "code"), [(16, 3, "last_batch_partial"), (64, 1, "data_smaller_than_batch"), (11, 4, None)])
def test_batches_that_do_not_divide_are_said(
    batch: int, num_steps: int, code: str | None, new_run: NewRun, settings: dict[str, object]
) -> None:
    changes = {"data.split.fraction": 0.0, "evaluation.sample_prompts": [], "training.max_steps": None, "method.dropout": 0.0}
    run = new_run("batches", {**settings, **changes, "training.global_batch_size": batch, "training.micro_batch_size": "auto"})
    assert work(run) == 0
    assert len(events_of(run, StepDone)) == num_steps
    assert [event.code for event in events_of(run, WarningRaised) if event.code != "data_note"] == ([code] if code else [])


# --- requests -----------------------------------------------------------------------------------------------------------


def answers(run: RunDir) -> list[tuple[int, str, bool]]:
    return [(event.number, event.control, event.accepted) for event in events_of(run, ControlDone)]


def test_save_sample_and_set_are_obeyed(new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {
        "training.micro_batch_size": 2,
        "output.save_steps": 100,
        "evaluation.eval_steps": 100,
        "training.lr_scheduler_type": "linear",
        "training.warmup_steps": 0,
    }
    run = new_run("asked", {**settings, **changes})

    def ask() -> None:
        send_control(run.path, "save")
        send_control(run.path, "sample")
        send_control(run.path, "set", {"training.learning_rate": 5e-4})
        send_control(run.path, "set", {"training.learning_rate": 7})
        send_control(run.path, "set", {"training.weight_decay": 0.1})

    at_look(monkeypatch, 3, ask)  # in the middle of step 2
    assert work(run) == 0

    assert sorted(answers(run)) == [(1, "save", True), (2, "sample", True), (3, "set", True), (4, "set", False), (5, "set", False)]
    messages = {event.number: event.message for event in events_of(run, ControlDone)}
    assert "0.0005" in messages[3]
    assert "training.learning_rate: 7 is not allowed" in messages[4]
    assert "training.weight_decay" in messages[5]
    assert [step.learning_rate for step in events_of(run, StepDone)] == pytest.approx([1e-3, 4e-4, 3e-4, 2e-4, 1e-4])
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [2, 5]
    assert [sample.step for sample in events_of(run, SampleDone)] == [0, 0, 1, 1, 5, 5]


def test_a_stop_from_an_earlier_start_is_refused(new_run: NewRun, settings: dict[str, object]) -> None:
    import os

    run = new_run("stale", {**settings, "training.max_steps": 1})
    send_control(run.path, "stop")
    os.utime(run.path / "control" / "000001.json", (1_000_000_000, 1_000_000_000))
    assert work(run) == 0
    assert answers(run) == [(1, "stop", False)]
    assert [event.status for event in events_of(run, RunFinished)] == ["completed"]


def test_a_stop_while_loading_leaves_nothing(new_run: NewRun, settings: dict[str, object]) -> None:
    run = new_run("early", settings)
    send_control(run.path, "stop")
    assert work(run) == 0
    assert answers(run) == [(1, "stop", True)]
    assert [(event.status, event.step) for event in events_of(run, RunFinished)] == [("stopped", 0)]
    assert events_of(run, StepDone) == []


# --- going on from an adapter --------------------------------------------------------------------------------------------


def test_training_goes_on_from_an_adapter(run: RunDir, new_run: NewRun, settings: dict[str, object]) -> None:
    further = new_run("further", {**settings, "model.adapter": str(run.adapter), "method.rank": 64, "training.max_steps": 2})
    assert work(further) == 0
    assert events_of(further, EvaluationDone)[0].loss == events_of(run, EvaluationDone)[-1].loss
    config = json.loads((further.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["r"] == 4
    assert sha256_of(further.adapter / "adapter_model.safetensors") != sha256_of(run.adapter / "adapter_model.safetensors")


# --- the data's fixes ------------------------------------------------------------------------------------------------------


def test_fixes_of_the_data_reach_the_training(new_run: NewRun, settings: dict[str, object], chats: Path, tmp_path: Path) -> None:
    lines = chats.read_text(encoding="utf-8").splitlines(keepends=True)
    doubled = tmp_path / "doubled.jsonl"
    doubled.write_text("".join([*lines[:10], *lines[:4], "{broken\n"]), encoding="utf-8")
    fixes = ["drop_malformed_rows", "drop_exact_duplicates"]
    changes = {"data.train": str(doubled), "data.fixes": fixes, "data.split.fraction": 0.0, "training.max_steps": 1}
    run = new_run("fixed", {**settings, **changes, "evaluation.sample_prompts": []})
    assert work(run) == 0
    assert events_of(run, RunStarted)[0].num_train_examples == 10
