"""A reward model's way: trained, saved with its head, loaded, asked, exported; and what is refused instead of scoring noise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from desktop_ft.core.data.records import Message
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import ErrorRaised, EvaluationDone, Exported, SampleDone, StepDone, Verified, WarningRaised
from desktop_ft.core.job import ExportRequest, ScoreRequest, create_job, create_job_in
from desktop_ft.core.reward_model import find_reward_model
from desktop_ft.core.runs import RunDir
from desktop_ft.engine.jobs import run_job
from desktop_ft.engine.reward_model import answer_ids, load_reward_model
from tests.engine.conftest import NewRun, make_run
from tests.engine.helpers import events_of, work
from tests.engine.objectives.conftest import chat_pair

CPU = DeviceFacts("cpu", "CPU", 1 << 34, 1 << 34)


def reward_settings(tiny: Path, data: Path, changes: dict[str, object]) -> dict[str, object]:
    return {
        "model.source": str(tiny),
        "data.train": str(data),
        "data.split.fraction": 0.2,
        "objective.kind": "reward",
        "training.max_steps": 3,
        "training.activation_checkpointing": False,
        **changes,
    }


@pytest.fixture(scope="module")
def reward_runs(tiny: Path, preference_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDir]:
    """A finished run with an adapter and one with every weight; not to be changed."""
    folder = tmp_path_factory.mktemp("reward")
    changes: dict[str, dict[str, object]] = {"lora": {"method.use_dora": True}, "full": {"method.kind": "full"}}
    runs = {name: make_run(folder / name, reward_settings(tiny, preference_files["chat"], made)) for name, made in changes.items()}
    assert [work(run) for run in runs.values()] == [0, 0]
    return runs


def shown(run: RunDir) -> list[SampleDone]:
    last = max(sample.step for sample in events_of(run, SampleDone))
    return [sample for sample in events_of(run, SampleDone) if sample.step == last]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_head_survives_save_and_load(method: str, reward_runs: dict[str, RunDir]) -> None:
    """The scores that the trainer's model gave at the end are those of the model that is loaded again, alone and in a batch."""
    run = reward_runs[method]
    samples = shown(run)
    assert len(samples) == 8
    model = load_reward_model(run.path, CPU)
    assert model.as_chat
    scores = model.score([sample.prompt for sample in samples], [sample.text for sample in samples])
    assert scores.tolist() == pytest.approx([sample.reward for sample in samples], abs=1e-6)
    folder = run.adapter if method == "lora" else run.model
    again = load_reward_model(folder, CPU)
    assert torch.equal(again.score(["sea"], ["sky"]), model.score(["sea"], ["sky"]))
    assert events_of(run, EvaluationDone)[-1].metrics.keys() == {"accuracy", "margin", "min_reward", "mean_reward", "max_reward"}


def test_texts_are_laid_out_as_in_the_training(tiny: Path, tiny_text: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tiny)
    row: Any = chat_pair(3)
    expected = tokenizer.apply_chat_template([*row["prompt"], *row["chosen"]], tokenize=True, return_dict=True)["input_ids"]
    prompt, answer = row["prompt"][0]["content"], row["chosen"][0]["content"]
    assert answer_ids(tokenizer, prompt, answer, as_chat=True) == expected
    assert answer_ids(tokenizer, (Message("user", prompt),), (Message("assistant", answer),), as_chat=True) == expected
    plain: Any = AutoTokenizer.from_pretrained(tiny_text)
    assert answer_ids(plain, "the sea", " is blue", as_chat=False) == plain("the sea is blue<|im_end|>")["input_ids"]


def test_an_adapter_without_its_head_is_refused(reward_runs: dict[str, RunDir], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    run = RunDir(Path(shutil.copytree(reward_runs["lora"].path, tmp_path / "run")))
    file = run.adapter / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({name: weight for name, weight in weights.items() if "score" not in name}, file, metadata={"format": "pt"})
    with pytest.raises(DesktopFtError) as raised:
        load_reward_model(run.path, CPU)
    assert raised.value.code == "reward_no_head"


def test_what_is_no_reward_model_is_refused(tiny: Path, chats: Path, new_run: NewRun, tmp_path: Path) -> None:
    sft = new_run("sft", {"model.source": str(tiny), "data.train": str(chats), "training.max_steps": 1})
    found: dict[str, str] = {}
    unfinished = new_run("unfinished", reward_settings(tiny, chats, {}))
    for name, folder in {"empty": tmp_path, "language model": tiny, "sft": sft.path, "unfinished": unfinished.path}.items():
        with pytest.raises(DesktopFtError) as raised:
            find_reward_model(folder)
        found[name] = raised.value.code
    assert found == {
        "empty": "reward_missing",
        "language model": "reward_num_outputs",
        "sft": "reward_wrong_objective",
        "unfinished": "reward_unfinished",
    }


def test_sample_prompts_of_a_reward_model_are_not_answered(tiny: Path, preference_files: dict[str, Path], new_run: NewRun) -> None:
    changes: dict[str, object] = {"evaluation.sample_prompts": ["the quick brown fox"], "training.max_steps": 1}
    run = new_run("run", reward_settings(tiny, preference_files["chat"], changes))
    assert work(run) == 0
    assert "reward_no_samples" in [warning.code for warning in events_of(run, WarningRaised)]
    assert all(sample.reward is not None for sample in events_of(run, SampleDone))
    assert "the quick brown fox" not in {sample.prompt for sample in events_of(run, SampleDone)}


def test_a_reward_model_goes_on_from_a_language_models_adapter(
    tiny: Path, chats: Path, preference_files: dict[str, Path], new_run: NewRun
) -> None:
    """Every matrix of the SFT adapter is in the scorer before its first step; the head is new."""
    from safetensors.torch import load_file

    sft = new_run("sft", {"model.source": str(tiny), "data.train": str(chats), "training.max_steps": 2})
    assert work(sft) == 0
    changes: dict[str, object] = {"model.adapter": str(sft.adapter), "training.learning_rate": 1e-12, "training.max_steps": 1}
    run = new_run("reward", reward_settings(tiny, preference_files["chat"], changes))
    assert work(run) == 0
    start, trained = (load_file(folder / "adapter_model.safetensors") for folder in (sft.adapter, run.adapter))
    assert set(trained) - set(start) == {"base_model.model.score.weight"}
    assert all(torch.equal(start[name], trained[name]) for name in start)
    load_reward_model(run.path, CPU)

    more = new_run("more", reward_settings(tiny, preference_files["chat"], {"model.adapter": str(run.adapter), "training.max_steps": 1}))
    assert work(more) == 0
    assert events_of(more, SampleDone)[0].reward == pytest.approx(shown(run)[0].reward, abs=1e-6)


def test_an_adapter_with_a_matrix_that_has_no_place_is_refused(
    tiny: Path, preference_files: dict[str, Path], new_run: NewRun, chats: Path
) -> None:
    from safetensors.torch import load_file, save_file

    sft = new_run("sft", {"model.source": str(tiny), "data.train": str(chats), "training.max_steps": 1})
    assert work(sft) == 0
    file = sft.adapter / "adapter_model.safetensors"
    weights = load_file(file)
    gone = next(name for name in weights if name.endswith("lora_A.weight"))
    save_file({**{name: weight for name, weight in weights.items() if name != gone}, "base_model.model.odd": weights[gone]}, file)
    run = new_run("reward", reward_settings(tiny, preference_files["chat"], {"model.adapter": str(sft.adapter)}))
    assert work(run) == 1
    assert [error.code for error in events_of(run, ErrorRaised)] == ["adapter_mismatch"]


def test_a_quantised_base_gets_a_whole_head(tiny: Path, preference_files: dict[str, Path], new_run: NewRun) -> None:
    changes: dict[str, object] = {"method.kind": "qlora", "training.max_steps": 2}
    run = new_run("qlora", reward_settings(tiny, preference_files["chat"], changes))
    assert work(run) == 0, events_of(run, ErrorRaised)
    assert len(events_of(run, StepDone)) == 2
    assert find_reward_model(run.path).head_key == "base_model.model.score.weight"
    samples = shown(run)
    scores = load_reward_model(run.path, CPU).score([sample.prompt for sample in samples], [sample.text for sample in samples])
    # In training the adapter of a 4-bit base computes in bfloat16, as TRL has it; loaded again in float32.
    assert scores.tolist() == pytest.approx([sample.reward for sample in samples], abs=1e-3)

    job = create_job(run, ExportRequest(run.path, "merged", run.path / "merged", dtype="float32"))
    assert run_job(job.path) == 0
    verified = [event for event in EventTail(job.events_file).read_all() if isinstance(event, Verified)]
    assert verified[0].max_score_difference == pytest.approx(0.0, abs=1e-5)


# --- jobs ---------------------------------------------------------------------------------------------------------------------


def test_the_score_job_tells_each_answers_score(reward_runs: dict[str, RunDir], tmp_path: Path) -> None:
    run = reward_runs["lora"]
    job = create_job_in(tmp_path, ScoreRequest(run.path, "the quick", ("brown fox", "lazy dog while small")))
    assert run_job(job.path) == 0
    samples = [event for event in EventTail(job.events_file).read_all() if isinstance(event, SampleDone)]
    assert [(sample.index, sample.text) for sample in samples] == [(0, "brown fox"), (1, "lazy dog while small")]
    expected = load_reward_model(run.path, CPU).score(["the quick"] * 2, ["brown fox", "lazy dog while small"])
    assert [sample.reward for sample in samples] == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_merged_reward_model_scores_as_the_trained_one(method: str, reward_runs: dict[str, RunDir], tmp_path: Path) -> None:
    """Plain transformers loads the export, and its scores are the trained model's."""
    from transformers import AutoModelForSequenceClassification

    run, out = reward_runs[method], tmp_path / "merged"
    job = create_job(run, ExportRequest(run.path, "merged", out, dtype="float32"))
    assert run_job(job.path) == 0
    events = list(EventTail(job.events_file).read_all())
    verified = [event for event in events if isinstance(event, Verified)]
    assert [event.num_prompts for event in verified] == [16]
    assert verified[0].max_score_difference == pytest.approx(0.0, abs=1e-5)
    assert verified[0].mean_kl is None
    assert not [event for event in events if isinstance(event, WarningRaised)]

    model: Any = AutoModelForSequenceClassification.from_pretrained(out)
    trained = load_reward_model(run.path, CPU)
    ids = trained.ids("the quick", "brown fox")
    assert float(model(input_ids=torch.tensor([ids])).logits[0, 0]) == pytest.approx(float(trained.score_ids([ids])[0]), abs=1e-5)
    assert find_reward_model(out).as_chat
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "AutoModelForSequenceClassification" in card
    assert "text-generation" not in card


def test_an_exported_adapter_brings_its_head(reward_runs: dict[str, RunDir], tmp_path: Path) -> None:
    run, out = reward_runs["lora"], tmp_path / "adapter"
    job = create_job(run, ExportRequest(run.path, "adapter", out))
    assert run_job(job.path) == 0
    assert [event.path for event in EventTail(job.events_file).read_all() if isinstance(event, Exported)] == [str(out)]
    assert json.loads((out / "reward_model.json").read_text(encoding="utf-8"))["layout"] == "chat"
    base = run.config().model.source
    settings = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    (out / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": base}), encoding="utf-8")
    scores = load_reward_model(out, CPU).score(["sea"], ["sky"])
    assert torch.equal(scores, load_reward_model(run.path, CPU).score(["sea"], ["sky"]))
