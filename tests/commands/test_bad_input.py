"""Bad input ends with a title, a message, a hint and status 2, before anything is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from desktop_ft.core import forecast
from desktop_ft.core.demo import demo_model_dir
from tests.commands.conftest import Run, Script, chat, write_rows

QUESTION_ONLY: dict[str, object] = {"messages": [{"role": "user", "content": "Why?"}]}
GOOD = [chat(f"What is {number}?", f"It is the number {number}.") for number in range(8)]


class Bad(NamedTuple):
    """Something wrong: settings for ``--set``, the error's code, and what its message has to name."""

    code: str
    make: Callable[[Path], list[str]]
    names: str = ""


def data(name: str, rows: list[dict[str, object]], *more: str) -> Callable[[Path], list[str]]:
    return lambda folder: [f"data.train={write_rows(folder / name, rows)}", *more]


def model_without(*names: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        copy = folder / "model"
        shutil.copytree(demo_model_dir(), copy, ignore=shutil.ignore_patterns(*names))
        return [f"model.source={copy}"]

    return make


def pickle_only(folder: Path) -> list[str]:
    settings = model_without("*.safetensors")(folder)
    (folder / "model" / "pytorch_model.bin").write_bytes(b"\x80\x04")
    return settings


def foreign_tokenizer(folder: Path) -> list[str]:
    settings = model_without()(folder)
    path = folder / "model" / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["added_tokens"].append({**values["added_tokens"][0], "id": 200_000, "content": "<|foreign|>"})
    path.write_text(json.dumps(values), encoding="utf-8")
    return settings


CASES = {
    "missing file": Bad("data_file_missing", lambda folder: [f"data.train={folder / 'no.jsonl'}"], "no.jsonl"),
    "empty file": Bad("data_file_empty", data("empty.jsonl", []), "empty.jsonl"),
    "malformed row": Bad("data_row_malformed", data("rows.jsonl", [*GOOD[:3], {"messages": "broken"}, *GOOD[3:]]), "4"),
    "no assistant turn": Bad("data_wrong_for_objective", data("questions.jsonl", [QUESTION_ONLY] * 4)),
    "all labels masked": Bad("data_all_masked", data("rows.jsonl", GOOD, "data.max_length=8")),
    "model without weights": Bad("model_no_weights", model_without("*.safetensors")),
    "pickle weights": Bad("model_pickle_only", pickle_only),
    "no tokenizer": Bad("tokenizer_missing", model_without("tokenizer*")),
    "wrong tokenizer": Bad("tokenizer_mismatch", foreign_tokenizer),
    "unknown model": Bad("model_missing", lambda _: ["model.source=no/such-model"], "no/such-model"),
    "unknown key": Bad("config_invalid", lambda _: ["training.learning_rte=1"], "learning_rte"),
    "out of bounds": Bad("config_invalid", lambda _: ["method.rank=0"], "method.rank"),
    "malformed override": Bad("override_malformed", lambda _: ["method.rank"], "method.rank"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_on_bad_input_is_refused_before_it_is_made(case: str, desktop_ft: Run, run_yaml: Path, tmp_path: Path) -> None:
    bad = CASES[case]
    settings = [part for text in bad.make(tmp_path) for part in ("--set", text)]
    result = desktop_ft("train", run_yaml, "--run-dir", tmp_path / "run", *settings, "--json")
    assert (result.status, result.error["code"]) == (2, bad.code)
    assert bad.names in str(result.error["message"])
    assert all(result.error[part] for part in ("title", "message", "hint"))
    assert not (tmp_path / "run").exists()


def test_a_malformed_row_can_be_left_out(desktop_ft: Run, script: Script, run_yaml: Path, tmp_path: Path) -> None:
    script(num_steps=1)
    path = write_rows(tmp_path / "rows.jsonl", [*GOOD, {"messages": "broken"}])
    settings = ("--set", f"data.train={path}", "--set", "data.fixes=[drop_malformed_rows]")
    assert desktop_ft("train", run_yaml, "--run-dir", tmp_path / "run", *settings).status == 0


def test_the_same_for_a_person(desktop_ft: Run, run_yaml: Path, tmp_path: Path) -> None:
    result = desktop_ft("train", run_yaml, "--set", f"data.train={tmp_path / 'no.jsonl'}")
    assert (result.status, result.out) == (2, "")
    assert "The data file is missing" in result.err


def test_a_full_disk_is_noticed_before_the_start(desktop_ft: Run, run_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda _path: usage)
    result = desktop_ft("train", run_yaml, "--run-dir", tmp_path / "run", "--json")
    assert (result.status, result.error["code"]) == (2, "disk_too_small")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_left_alone(desktop_ft: Run, run_yaml: Path, tmp_path: Path) -> None:
    before = run_yaml.read_text(encoding="utf-8")
    result = desktop_ft("train", run_yaml, "--run-dir", tmp_path, "--json")
    assert (result.status, result.error["code"]) == (2, "run_exists")
    assert run_yaml.read_text(encoding="utf-8") == before
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_scoring_nothing_or_without_a_reward_model_is_refused(desktop_ft: Run, tmp_path: Path) -> None:
    assert desktop_ft("score", tmp_path, "--prompt", "x", "--json").error["code"] == "usage"
    assert desktop_ft("score", tmp_path, "--prompt", "x", "--answer", "y", "--json").error["code"] == "reward_missing"
    assert desktop_ft("score", "no-such-run", "--prompt", "x", "--answer", "y", "--json").error["code"] == "run_missing"


def test_generating_with_nothing_to_answer_or_a_wrong_adapter_is_refused(desktop_ft: Run, tmp_path: Path) -> None:
    assert desktop_ft("generate", "demo", "--json").error["code"] == "usage"
    assert desktop_ft("generate", "demo", "--prompt", "x", "--adapter", tmp_path, "--json").error["code"] == "adapter_missing"
    assert desktop_ft("generate", "demo", "--prompts", tmp_path / "no.txt", "--json").error["code"] == "prompts_unreadable"
