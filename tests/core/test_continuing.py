"""Settings of a run that goes on from another one, and what is refused before they are made."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from desktop_ft.core.config import SETTINGS, Draft, load_config, save_config
from desktop_ft.core.config.objectives import OBJECTIVES
from desktop_ft.core.continuing import JUDGED_BY, continuations, continue_from
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import StageStarted
from desktop_ft.core.processes import mark_of
from desktop_ft.core.runs import RunDir, list_checkpoints, take_lock, write_manifest
from desktop_ft.core.stages import Stage, stages_of
from tests.helpers.tiny_runs import TinyRun, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run with an adapter, one with a whole model, one that was stopped; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    for name, spec in (("lora", TinyRun()), ("full", TinyRun(lora=None)), ("stopped", TinyRun(checkpoint_only=True))):
        (folder / name).mkdir()
        make_run(folder / name, spec)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> RunDir:
    """The one with an adapter, to be changed; its base lies where it was."""
    return RunDir(Path(shutil.copytree(made / "lora" / "run", tmp_path / "run")))


def with_settings(run: RunDir, changes: dict[str, object]) -> RunDir:
    save_config(Draft(load_config(run.config_file).model_dump(mode="json")).with_values(changes).validated(), run.config_file)
    return run


def as_reward(run: RunDir, *, head: bool = True) -> RunDir:
    """As if a reward model had been trained: another objective, and a head beside the adapter."""
    weights = run.adapter / "adapter_model.safetensors"
    extra = {"base_model.model.score.weight": np.ones((1, 8), np.float32)} if head else {}
    save_file({**load_file(weights), **extra}, weights)
    return with_settings(run, {"objective.kind": "reward"})


def code_of(run: RunDir, objective: str, checkpoint: int | None = None) -> str:
    with pytest.raises(DesktopFtError) as caught:
        continue_from(run, objective, checkpoint)  # pyright: ignore[reportArgumentType]
    assert caught.value.hint
    return caught.value.code


def test_from_an_adapter_the_same_base_and_the_adapter(made: Path) -> None:
    run = RunDir(made / "lora" / "run")
    changes = continue_from(run, "dpo")
    assert changes["model.source"] == str(made / "lora" / "base")
    assert changes["model.adapter"] == str(run.adapter)
    assert changes["objective.kind"] == "dpo"
    assert changes["method.kind"] == "lora"
    adapter = json.loads((run.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert (changes["method.rank"], changes["method.alpha"]) == (adapter["r"], adapter["lora_alpha"])
    assert set(changes) <= set(SETTINGS)
    assert "data.train" not in changes, "preferences are other data"
    config = Draft({"data": {"train": "pairs.jsonl"}}).with_values(changes).validated()
    assert config.name == "tiny run then dpo"


def test_the_same_kind_of_data_comes_along_with_its_split(made: Path) -> None:
    changes = continue_from(RunDir(made / "lora" / "run"), "sft")
    assert changes["data.train"] == str(made / "lora" / "private" / "chats.jsonl")
    assert (changes["data.split.fraction"], changes["seed"]) == (0.25, 42)
    assert Draft().with_values(changes).problems() == ()


def test_from_a_whole_model_that_model(made: Path) -> None:
    run = RunDir(made / "full" / "run")
    changes = continue_from(run, "kto")
    assert (changes["model.source"], changes["model.adapter"], changes["method.kind"]) == (str(run.model), None, "full")


def test_a_run_that_was_stopped_goes_on_from_its_checkpoint(made: Path) -> None:
    run = RunDir(made / "stopped" / "run")
    assert continue_from(run, "dpo")["model.adapter"] == str(run.checkpoint(4))
    assert continue_from(run, "dpo", 4)["model.adapter"] == str(run.checkpoint(4))
    assert code_of(run, "dpo", 5) == "checkpoint_missing"


def test_nothing_trained_is_said(run: RunDir) -> None:
    shutil.rmtree(run.adapter)
    assert code_of(run, "dpo") == "continue_nothing_trained"


def test_a_run_that_goes_on_is_refused(run: RunDir) -> None:
    mark = mark_of(os.getpid())
    assert mark is not None
    take_lock(run, mark)
    assert code_of(run, "dpo") == "continue_running"


@pytest.mark.parametrize("name", ["tokenizer", "chat_template", "model_weights"])
def test_another_base_or_tokenizer_is_refused(name: str, run: RunDir) -> None:
    environment = json.loads(run.environment_file.read_text(encoding="utf-8"))
    environment["hashes"][name] = "0" * 64
    run.environment_file.write_text(json.dumps(environment), encoding="utf-8")
    assert code_of(run, "dpo") == "continue_changed"


def test_a_checkpoint_whose_base_was_moved_is_refused_but_not_the_result(run: RunDir) -> None:
    with_settings(run, {"method.init": "pissa", "method.use_dora": False})
    shutil.copytree(run.adapter, run.checkpoint(4))
    write_manifest(run.checkpoint(4), 4)
    assert code_of(run, "dpo", 4) == "continue_moved_base"
    assert continue_from(run, "dpo")["model.adapter"] == str(run.adapter)


@pytest.mark.parametrize("objective", JUDGED_BY)
def test_a_reward_model_judges_on_the_base_that_it_stands_on(objective: str, run: RunDir, made: Path) -> None:
    changes = continue_from(as_reward(run), objective)  # pyright: ignore[reportArgumentType]
    assert changes["objective.rewards.model"] == str(run.path)
    assert (changes["model.source"], changes["model.adapter"]) == (str(made / "lora" / "base"), None)
    assert Draft({"data": {"train": "prompts.jsonl"}}).with_values(changes).problems() == ()


def test_the_policy_starts_where_the_reward_model_did(run: RunDir, made: Path) -> None:
    start = made / "lora" / "run" / "adapter"
    changes = continue_from(with_settings(as_reward(run), {"model.adapter": str(start)}), "ppo")
    assert changes["model.adapter"] == str(start)


def test_a_reward_model_can_be_trained_further_and_writes_no_text(run: RunDir) -> None:
    as_reward(run)
    assert continuations(run.config()) == ("reward", "ppo", "grpo", "rloo")
    assert continue_from(run, "reward")["model.adapter"] == str(run.adapter)
    assert [code_of(run, objective) for objective in ("sft", "dpo", "rlhf")] == ["continue_wrong_objective"] * 3


def test_a_reward_model_without_its_head_is_refused(run: RunDir) -> None:
    assert code_of(as_reward(run, head=False), "ppo") == "reward_no_head"


def test_a_language_model_goes_on_as_anything(made: Path) -> None:
    assert continuations(RunDir(made / "full" / "run").config()) == OBJECTIVES


def test_a_checkpoint_of_the_reward_stage_judges_and_one_of_the_policy_is_gone_on_from(made: Path, tmp_path: Path) -> None:
    run = RunDir(Path(shutil.copytree(made / "stopped" / "run", tmp_path / "run")))
    with_settings(run, {"objective.kind": "rlhf"})
    (step,) = [checkpoint.step for checkpoint in list_checkpoints(run)]
    reward, policy = stages_of(run, run.config())
    shutil.copytree(run.checkpoint(step), as_stage(run, reward).checkpoint(step))
    shutil.move(run.checkpoint(step), as_stage(run, policy).checkpoint(step))
    log = EventWriter(run.events_file)
    log.write(StageStarted(stage="policy", number=2, total=2, first_step=step + 1))
    log.close()

    assert code_of(run, "sft", step) == "continue_wrong_objective"
    further = continue_from(run, "reward", step)
    assert further["model.adapter"] == str(reward.run.checkpoint(step))
    assert continue_from(run, "dpo")["model.adapter"] == str(policy.run.checkpoint(step))
    assert continue_from(run, "dpo", 2 * step)["model.adapter"] == str(policy.run.checkpoint(step))


def as_stage(run: RunDir, stage: Stage) -> RunDir:
    """The folder of a stage that has begun: its settings and what it started with."""
    folder = stage.open()
    if run.environment_file.is_file():
        shutil.copyfile(run.environment_file, folder.environment_file)
    return folder
