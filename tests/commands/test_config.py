"""config new, schema and check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
import yaml

from tests.commands.conftest import Run


@pytest.mark.parametrize("method, rate", [("lora", 2e-4), ("full", 1e-5)])
def test_new_prints_a_file_that_check_finds_sound(method: str, rate: float, desktop_ft: Run, tmp_path: Path) -> None:
    result = desktop_ft("config", "new", "--method", method, "--set", "name=my run")
    path = tmp_path / "run.yaml"
    path.write_text(result.out, encoding="utf-8")
    values = yaml.safe_load(result.out)
    assert (values["method"]["kind"], values["training"]["learning_rate"], values["name"]) == (method, rate, "my run")
    assert desktop_ft("config", "check", path, "--json").json == {"ok": True, "problems": []}


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
