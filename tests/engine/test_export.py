"""Exports of whole runs through the job's own entry: what is written, what is checked, and what a failure leaves."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path
from typing import TypeVar, cast

import pytest
import torch
import yaml
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from desktop_ft.core.control import send_control
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import ErrorRaised, Event, Exported, RunFinished, Verified, WarningRaised
from desktop_ft.core.exports import list_exports, stored_dtype
from desktop_ft.core.job import ExportRequest, create_job
from desktop_ft.core.runs import RunDir
from desktop_ft.engine import merge
from desktop_ft.engine.jobs import run_job
from tests.helpers.tiny_models import TEMPLATE, TinySpec, lora_config
from tests.helpers.tiny_runs import TinyRun, make_run

E = TypeVar("E", bound=Event)


def export(run: RunDir, **options: object) -> list[Event]:
    request = dataclasses.replace(ExportRequest(run.path, "merged", run.exports / "out"), **options)
    job = create_job(run, request)
    code = run_job(job.path)
    events = list(EventTail(job.events_file).read_all())
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert code == (1 if finished.status == "failed" else 0)
    assert not job.lock_file.exists()
    return events


def only(events: list[Event], kind: type[E]) -> E:
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, [event for event in events if isinstance(event, ErrorRaised)] or events
    return found[0]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


SPECS = {
    "lora": TinyRun(),
    "dora": TinyRun(lora=lora_config(use_dora=True)),
    "rslora, bfloat16 shards": TinyRun(TinySpec(dtype=torch.bfloat16, max_shard_size="60KB"), lora_config(use_rslora=True)),
    "tied": TinyRun(TinySpec(tied=True)),
    "full": TinyRun(lora=None),
    "few rows": TinyRun(num_rows=4),
}


@pytest.mark.parametrize("name", SPECS)
def test_merged_export_is_verified(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path, SPECS[name])
    events = export(run)
    verified, exported = only(events, Verified), only(events, Exported)
    assert not [event for event in events if isinstance(event, WarningRaised)]
    assert verified.num_prompts >= 8
    assert verified.mean_kl is not None
    assert verified.mean_kl <= (1e-4 if name in {"lora", "dora", "tied", "few rows"} else 5e-3)
    assert verified.chat_template_equal
    assert verified.stop_token_ok
    out = run.exports / "out"
    assert Path(exported.path) == out
    assert exported.num_bytes == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert events.index(verified) < events.index(exported)
    assert leftovers(run.exports) == ["out"]
    wanted = "bfloat16" if name in {"full", "rslora, bfloat16 shards"} else "float32"
    assert stored_dtype(out) == wanted


def test_export_is_a_plain_model_with_its_card(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    export(run)
    out = run.exports / "out"
    model = AutoModelForCausalLM.from_pretrained(str(out))
    tokenizer = AutoTokenizer.from_pretrained(str(out))
    assert model.dtype == torch.float32
    assert tokenizer.chat_template == TEMPLATE
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "LICENSE"):
        assert (out / name).read_bytes() == (tmp_path / "base" / name).read_bytes(), name
    for path in out.iterdir():
        if path.suffix != ".safetensors":
            assert str(tmp_path) not in path.read_text(encoding="utf-8"), f"{path.name} names a folder of this machine"
    card = (out / "README.md").read_text(encoding="utf-8")
    front = cast("dict[str, object]", yaml.safe_load(card.split("---")[1]))
    assert front["base_model"] == "base"
    assert front["library_name"] == "transformers"
    losses = ("| loss on held-out examples, first | 4.5 |", "| loss on held-out examples, last | 3.25 |")
    for text in ("chats.jsonl", *losses, "f00d" * 16, "use_dora: true"):
        assert text in card, text
    record = cast("dict[str, dict[str, object]]", yaml.safe_load((out / "desktop_ft_run.yaml").read_text(encoding="utf-8")))
    assert record["results"]["eval_loss_last"] == 3.25
    assert cast("float", record["verification"]["mean_kl"]) < 1e-4
    assert record["run"]["name"] == "tiny run"


def test_adapter_export(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    events = export(run, to="adapter")
    out = run.exports / "out"
    assert not [event for event in events if isinstance(event, Verified)]
    assert (out / "adapter_model.safetensors").read_bytes() == (run.adapter / "adapter_model.safetensors").read_bytes()
    settings = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == "base"
    assert settings["r"] == 4
    assert "peft" in (out / "README.md").read_text(encoding="utf-8")
    assert not list(out.glob("model*.safetensors"))


def test_stop_tokens_are_completed(tmp_path: Path) -> None:
    """A base that ends only at its end-of-text token learns to end turns; the export must stop at both."""
    run = make_run(tmp_path, TinyRun(TinySpec(eos="<|endoftext|>")))
    assert only(export(run), Verified).stop_token_ok
    settings = json.loads((run.exports / "out" / "generation_config.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "base"))
    assert settings["eos_token_id"] == [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")]


def test_stopped_run_is_exported_from_its_checkpoint(tmp_path: Path) -> None:
    run = make_run(tmp_path, TinyRun(checkpoint_only=True))
    only(export(run), Exported)
    record = yaml.safe_load((run.exports / "out" / "desktop_ft_run.yaml").read_text(encoding="utf-8"))
    assert record["export"]["checkpoint"] == 4
    assert record["results"]["steps"] == 4
    assert record["results"]["train_loss_last"] == 4.0
    assert record["results"]["eval_loss_last"] == 4.5


def test_exports_of_a_run_are_listed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    export(run, out=tmp_path / "elsewhere")
    export(run, to="adapter")
    merged, adapter = list_exports(run)
    assert (merged.to, merged.path, merged.is_there) == ("merged", tmp_path / "elsewhere", True)
    assert merged.verified is not None
    assert (adapter.to, adapter.verified) == ("adapter", None)


# --- what is refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("config.json", "base_changed"),
        ("model.safetensors", "base_changed"),
        ("tokenizer_config.json", "tokenizer_changed"),
        ("chat_template.jinja", "tokenizer_changed"),
    ],
)
def test_changed_base_is_refused(tmp_path: Path, file: str, code: str) -> None:
    run = make_run(tmp_path)
    path = tmp_path / "base" / file
    if file == "model.safetensors":
        content = bytearray(path.read_bytes())
        content[-200] ^= 0x10
        path.write_bytes(content)
    elif file == "tokenizer_config.json":
        path.write_text(path.read_text(encoding="utf-8").replace('"<|im_end|>"', '"<|endoftext|>"'), encoding="utf-8")
    else:
        path.write_text(path.read_text(encoding="utf-8") + "\n ", encoding="utf-8")
    assert only(export(run), ErrorRaised).code == code
    assert leftovers(run.exports) == []


def test_existing_folder_is_kept_unless_replaced(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("precious", encoding="utf-8")
    assert only(export(run, out=out), ErrorRaised).code == "export_exists"
    assert leftovers(out) == ["thesis.txt"]
    only(export(run, out=out, overwrite=True), Exported)
    assert "thesis.txt" not in leftovers(out)
    assert (out / "config.json").is_file()
    assert [name for name in leftovers(tmp_path) if name.startswith(".")] == []


def test_wrong_adapter_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    other = make_run(tmp_path / "other", TinyRun(lora=lora_config(r=8)))
    shutil.copyfile(other.adapter / "adapter_model.safetensors", run.adapter / "adapter_model.safetensors")
    assert only(export(run), ErrorRaised).code == "adapter_mismatch"


# --- what a failure leaves ------------------------------------------------------------------------------------------------------


FULL_DISK = (
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
)


@pytest.mark.parametrize("error", FULL_DISK, ids=type)
def test_full_disk_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    run = make_run(tmp_path)
    from desktop_ft.engine import export as export_room

    def fail_halfway(model: object, out: Path) -> None:
        (out / "model-00001-of-00002.safetensors").write_bytes(b"half")
        raise error

    monkeypatch.setattr(export_room, "save_model", fail_halfway)
    assert only(export(run), ErrorRaised).code == "disk_full"
    assert leftovers(run.exports) == []


def test_stop_leaves_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    job = create_job(run, ExportRequest(run.path, "merged", run.exports / "out"))
    send_control(job.path, "stop")
    assert run_job(job.path) == 0
    events = list(EventTail(job.events_file).read_all())
    assert only(events, RunFinished).status == "stopped"
    assert leftovers(run.exports) == []


# --- a wrong export is found out --------------------------------------------------------------------------------------------------


def test_export_without_the_adapter_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path)
    monkeypatch.setattr(merge, "_merge_layer", lambda name, layer, dtype: None)
    events = export(run)
    verified = only(events, Verified)
    assert verified.mean_kl is not None
    assert verified.mean_kl > 0.01
    assert only(events, WarningRaised).code == "export_differs"


def test_export_with_another_template_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from desktop_ft.engine import export as export_room

    real = export_room.add_companions

    def with_another_template(base: Path, out: Path, tokenizer: Path | None = None) -> None:
        real(base, out, tokenizer)
        (out / "chat_template.jinja").write_text(TEMPLATE.replace("<|im_end|>", "<|endoftext|>"), encoding="utf-8")
        (out / "generation_config.json").write_text('{"eos_token_id": 2}', encoding="utf-8")

    monkeypatch.setattr(export_room, "add_companions", with_another_template)
    events = export(make_run(tmp_path))
    verified = only(events, Verified)
    assert not verified.chat_template_equal
    assert not verified.stop_token_ok
    codes = {event.code for event in events if isinstance(event, WarningRaised)}
    assert codes == {"export_template_differs", "export_never_stops"}
