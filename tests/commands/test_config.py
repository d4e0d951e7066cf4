"""config new, schema and check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
import yaml

from desktop_ft.core.config import load_config
from desktop_ft.core.config.defaults import METHODS, MethodName, default_rate
from desktop_ft.core.config.objectives import OBJECTIVES, ObjectiveName
from tests.commands.conftest import Run
from tests.helpers.tiny_runs import make_run


@pytest.mark.parametrize("method, rate", [("lora", 2e-4), ("full", 1e-5)])
def test_new_prints_a_file_that_check_finds_sound(method: str, rate: float, desktop_ft: Run, tmp_path: Path) -> None:
    result = desktop_ft("config", "new", "--method", method, "--set", "name=my run")
    path = tmp_path / "run.yaml"
    path.write_text(result.out, encoding="utf-8")
    values = yaml.safe_load(result.out)
    assert (values["method"]["kind"], values["training"]["learning_rate"], values["name"]) == (method, rate, "my run")
    assert desktop_ft("config", "check", path, "--json").json == {"ok": True, "problems": [], "ignored": []}


def test_a_method_that_there_is_not_is_refused(desktop_ft: Run) -> None:
    result = desktop_ft("config", "new", "--method", "ia3")
    assert result.status == 2
    assert "method.kind" in result.err


def test_schema_is_json_schema(desktop_ft: Run) -> None:
    schema = json.loads(desktop_ft("config", "schema").out)
    assert schema["properties"]["training"]["$ref"].endswith("TrainingConfig")


def test_check_names_every_problem_with_its_hint(desktop_ft: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    text = "model: {source: demo}\ndata: {train: demo}\ntraining: {learning_rte: 1.0e-4, global_batch_size: 0}\nmethod: {rank: -1}\n"
    path.write_text(text, encoding="utf-8")
    result = desktop_ft("config", "check", path, "--json")
    assert result.status == 2
    problems = {problem["path"]: problem["hint"] for problem in cast("list[dict[str, str]]", result.json["problems"])}
    assert set(problems) == {"training.learning_rte", "training.global_batch_size", "method.rank"}
    assert "learning_rate" in problems["training.learning_rte"]
    assert "training.learning_rte" in desktop_ft("config", "check", path).err


def test_a_missing_file_is_an_error(desktop_ft: Run, tmp_path: Path) -> None:
    result = desktop_ft("config", "check", tmp_path / "no.yaml", "--json")
    assert (result.status, result.error["code"]) == (2, "config_missing")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_new_prints_a_sound_file_with_the_defaults_of_every_combination(
    objective: ObjectiveName, method: MethodName, desktop_ft: Run, tmp_path: Path
) -> None:
    result = desktop_ft("config", "new", "--method", method, "--objective", objective)
    path = tmp_path / "run.yaml"
    path.write_text(result.out, encoding="utf-8")
    config = load_config(path)
    assert (config.objective.kind, config.method.kind, config.training.learning_rate) == (
        objective,
        method,
        default_rate(method, objective),
    )
    assert ("holds an example" in result.err) == (objective in ("grpo", "rloo", "ppo"))


def test_new_begins_with_a_preset(desktop_ft: Run) -> None:
    values = yaml.safe_load(desktop_ft("config", "new", "--preset", "follow-house-rules", "--set", "method.rank=8").out)
    assert (values["objective"]["kind"], values["objective"]["dpo"]["sft_weight"], values["method"]["rank"]) == ("dpo", 0.1, 8)
    full = yaml.safe_load(desktop_ft("config", "new", "--preset", "follow-house-rules", "--method", "full").out)
    assert (full["method"]["kind"], full["training"]["learning_rate"], full["training"]["num_train_epochs"]) == ("full", 5e-7, 2.0)
    missing = desktop_ft("config", "new", "--preset", "follow-rules")
    assert missing.status == 2
    assert "follow-house-rules" in missing.err


def test_presets_are_listed(desktop_ft: Run) -> None:
    listed = cast("list[dict[str, object]]", desktop_ft("config", "presets", "--json").json["presets"])
    assert [item["name"] for item in listed][:2] == ["teach-a-format", "change-the-tone"]
    assert "Teach a format. The model answers in a form" in desktop_ft("config", "presets").out


def test_check_names_what_has_no_effect(desktop_ft: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: {source: demo}\ndata: {train: demo}\nobjective: {kind: sft, dpo: {beta: 0.2}}\n", encoding="utf-8")
    ignored = cast("list[dict[str, str]]", desktop_ft("config", "check", path, "--json").json["ignored"])
    assert [item["path"] for item in ignored] == ["objective.dpo.beta"]
    assert "objective.dpo.beta has no effect" in desktop_ft("config", "check", path).err


def test_new_goes_on_from_a_run(desktop_ft: Run, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    result = desktop_ft("config", "new", "--from-run", run.path, "--objective", "dpo", "--data", "pairs.jsonl")
    values = yaml.safe_load(result.out)
    assert values["model"]["adapter"] == str(run.adapter)
    assert values["objective"]["kind"] == "dpo"
    assert values["training"]["learning_rate"] == 5e-6
    assert values["data"]["train"].endswith("pairs.jsonl")

    same = yaml.safe_load(desktop_ft("config", "new", "--from-run", run.path).out)
    assert same["objective"]["kind"] == "sft"
    assert same["data"]["train"].endswith("chats.jsonl")


@pytest.mark.parametrize(
    "arguments", [("--checkpoint", "4"), ("--from-run", "RUN", "--model", "demo"), ("--from-run", "RUN", "--objective", "magic")]
)
def test_what_does_not_go_with_a_run_is_a_mistake(arguments: tuple[str, ...], desktop_ft: Run, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    result = desktop_ft("config", "new", *(str(run.path) if argument == "RUN" else argument for argument in arguments))
    assert result.status == 2
