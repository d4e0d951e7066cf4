"""estimate, data, models and doctor: looking before training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import cast

import pytest

from desktop_ft.commands import doctor
from desktop_ft.core.demo import demo_model_dir
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.known_gpus import known_gpu, parse_bytes
from desktop_ft.core.memory import TERM_KEYS
from tests.commands.conftest import Run, chat, write_rows

GIB = 1 << 30


# --- estimate --------------------------------------------------------------------------------------------------------


def test_the_estimate_is_the_documented_object(desktop_ft: Run) -> None:
    found = desktop_ft("estimate", "demo", "--gpu", "RTX 4090", "--json").json
    assert set(cast("dict[str, int]", found["terms"])) == set(TERM_KEYS)
    assert found["device_free_bytes"] == 24564 << 20
    assert found["verdict"] == "fits"
    assert cast("int", found["low_bytes"]) < cast("int", found["total_bytes"]) < cast("int", found["high_bytes"])


def test_a_config_json_alone_is_enough(desktop_ft: Run, tmp_path: Path) -> None:
    shutil.copy(demo_model_dir() / "config.json", tmp_path / "config.json")
    whole = desktop_ft("estimate", "demo", "--gpu-memory", "8GiB", "--json").json
    for target in (tmp_path, tmp_path / "config.json"):
        assert desktop_ft("estimate", target, "--gpu-memory", "8GiB", "--json").json["terms"] == whole["terms"]


def test_a_setting_changes_the_estimate(desktop_ft: Run, run_yaml: Path) -> None:
    plain = ("estimate", run_yaml, "--gpu-memory", "8GiB", "--json", "--set", "method.use_dora=false")
    small = desktop_ft(*plain).json
    large = desktop_ft(*plain, "--set", "method.rank=512").json
    assert cast("dict[str, int]", large["terms"])["adapter"] == 32 * cast("dict[str, int]", small["terms"])["adapter"]


def test_what_does_not_fit_comes_with_suggestions(desktop_ft: Run, tmp_path: Path) -> None:
    llama_8b = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 128256,
        "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "max_position_embeddings": 8192,
        "tie_word_embeddings": False, "dtype": "bfloat16",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(llama_8b), encoding="utf-8")
    result = desktop_ft("estimate", tmp_path, "--gpu-memory", "12GiB", "--json")
    assert (result.status, result.json["verdict"]) == (0, "does_not_fit")
    assert result.json["suggestions"]
    shown = desktop_ft("estimate", tmp_path, "--gpu", "RTX 3060").out
    assert "It does not fit." in shown
    assert "--set" in shown


def test_an_unknown_model_or_card_is_an_error(desktop_ft: Run) -> None:
    assert desktop_ft("estimate", "no/such-model", "--json").error["code"] == "model_missing"
    assert desktop_ft("estimate", "demo", "--gpu", "Voodoo 2", "--json").error["code"] == "gpu_unknown"
    assert desktop_ft("estimate", "demo", "--gpu-memory", "lots", "--json").error["code"] == "size_malformed"


@pytest.mark.parametrize(
    "name, mebibytes, has_bf16",
    [("4090", 24564, True), ("NVIDIA GeForce RTX 4060", 8188, True), ("a100-80gb", 81920, True), ("t4", 15360, False)],
)
def test_cards_are_found_by_what_people_call_them(name: str, mebibytes: int, has_bf16: bool) -> None:
    device = known_gpu(name)
    assert (device.total_bytes, device.supports_bf16) == (mebibytes << 20, has_bf16)


def test_an_ambiguous_card_names_the_choices() -> None:
    with pytest.raises(DesktopFtError, match="A100 40 GB, A100 80 GB"):
        known_gpu("A100")


@pytest.mark.parametrize("text, num_bytes", [("24GiB", 24 * GIB), ("24g", 24 * GIB), ("1.5 GB", 3 * GIB // 2), ("512MiB", GIB // 2)])
def test_sizes_are_binary(text: str, num_bytes: int) -> None:
    assert parse_bytes(text) == num_bytes


# --- data ------------------------------------------------------------------------------------------------------------


def test_inspect_counts_and_finds(desktop_ft: Run, tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "chats.jsonl", [chat("Why?", "Because it is so."), {"messages": "broken"}, chat("Why?", "Because it is so.")]
    )
    found = desktop_ft("data", "inspect", path, "--json").json
    assert (found["format"], found["num_rows"], found["num_usable"]) == ("messages", 3, 2)
    findings = {item["code"]: item["rows"] for item in cast("list[dict[str, object]]", found["findings"])}
    assert (findings["malformed_rows"], findings["exact_duplicates"]) == ([1], [2])
    assert "2 of 3 rows usable" in desktop_ft("data", "inspect", path).out


def test_view_shows_what_is_learnt(desktop_ft: Run) -> None:
    rows = cast("list[dict[str, object]]", desktop_ft("data", "view", "demo", "--model", "demo", "--rows", 2, "--json").json["rows"])
    assert len(rows) == 2
    for row in rows:
        labels, ids = cast("list[int]", row["labels"]), cast("list[int]", row["input_ids"])
        assert row["num_supervised"] == sum(label >= 0 for label in labels) > 0
        assert all(label in (-100, token) for label, token in zip(labels, ids, strict=True))
        assert row["ends_with_eos"] is True
    assert "learns to stop" in desktop_ft("data", "view", "demo", "--model", "demo").out


def test_data_follows_the_objective(desktop_ft: Run) -> None:
    def lines(objective: str) -> list[str]:
        shown = desktop_ft("data", "view", "demo", "--model", "demo", "--rows", 1, "--objective", objective).out
        return [line for line in shown.splitlines() if line.startswith("row 1")]

    assert [line.split(":")[0] for line in lines("dpo")] == ["row 1, chosen", "row 1, rejected"]
    assert lines("grpo") == ["row 1, prompt: 15 tokens, right answer: Pink"]
    refused = desktop_ft("data", "inspect", "demo", "--objective", "magic", "--json")
    assert (refused.status, refused.error["code"]) == (2, "usage")


def test_a_length_without_a_model_is_refused(desktop_ft: Run) -> None:
    assert desktop_ft("data", "inspect", "demo", "--max-length", 10).status == 2


def test_a_column_can_be_named(desktop_ft: Run, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [{"frage": "Why?", "antwort": "Because."}])
    named = ("--column", "prompt=frage", "--column", "completion=antwort", "--format", "prompt_completion")
    assert desktop_ft("data", "inspect", path, *named, "--json").json["num_usable"] == 1
    assert desktop_ft("data", "inspect", path, "--column", "prompt", "--json").error["code"] == "usage"


def test_a_file_is_converted_and_what_is_left_out_is_said(desktop_ft: Run, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"q": "Hi", "good": "a", "bad": "b"}, {"q": "Ho", "good": "a", "bad": None}])
    arguments = (
        "data",
        "convert",
        path,
        tmp_path / "b.csv",
        "--to",
        "preference",
        "--map",
        "prompt=q",
        "--map",
        "chosen=good",
        "--map",
        "rejected=bad",
    )
    result = desktop_ft(*arguments)
    assert (result.status, "1 rows, preference to preference" in result.out) == (0, True)
    assert "row 2: rejected is missing or null." in result.err
    assert (tmp_path / "b.csv").read_text(encoding="utf-8").splitlines() == ["prompt,chosen,rejected", "Hi,a,b"]
    assert desktop_ft(*arguments, "--json").error["code"] == "data_output_unusable"
    found = desktop_ft(*arguments, "--json", "--overwrite").json
    assert (found["num_rows"], found["num_written"], found["problems"]) == (2, 1, [{"row": 1, "reason": "rejected is missing or null."}])


# --- models and doctor -----------------------------------------------------------------------------------------------


def test_models_lists_the_demo(desktop_ft: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no-cache"))
    models = cast("list[dict[str, object]]", desktop_ft("models", "list", "--json").json["models"])
    assert models[0]["source"] == "demo"
    assert models[0]["has_chat_template"] is True
    assert "demo" in desktop_ft("models", "list").out


def test_doctor_finds_what_the_children_say(desktop_ft: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = dict.fromkeys(("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes", "triton"), "1.0")
    torch_facts = {
        "ok": True,
        "cuda_build": None,
        "rocm_build": None,
        "cuda_available": False,
        "device": "CPU, 2 threads",
        "computes": True,
    }
    facts: dict[str, object] = {
        "libraries": libraries,
        "torch": {**torch_facts, "supports_bf16": False},
        "bitsandbytes": {"ok": False, "problem": "no"},
    }

    def ask(arguments: list[str]) -> tuple[dict[str, object] | None, str]:
        return (facts, "") if "desktop_ft.engine.facts" in arguments else (None, "libEGL.so.1 is missing")

    monkeypatch.setattr(doctor, "_ask_child", ask)
    result = desktop_ft("doctor", "--json")
    verdicts = {item["name"]: item["verdict"] for item in cast("list[dict[str, str]]", result.json["checks"])}
    assert (result.status, verdicts["torch"], verdicts["bitsandbytes"], verdicts["Qt"]) == (1, "works", "limited", "broken")
    assert "libEGL.so.1" in desktop_ft("doctor").out
