"""What an export checks before it starts, on folders with weights of a few numbers."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
from pathlib import Path
from typing import NamedTuple

import pytest

from desktop_ft.core.base_model import base_hashes
from desktop_ft.core.config import validate
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.exports import default_out, export_dtype, find_trained, list_exports, plan_export, stored_dtype
from desktop_ft.core.job import ExportRequest, create_job
from desktop_ft.core.runs import RunDir, create_run, write_manifest
from desktop_ft.core.stages import stages_of
from tests.helpers.staged_runs import make_staged_run

SIZES = {"F32": 4, "BF16": 2, "F16": 2}
ROWS, WIDTH = 300, 50


class Usage(NamedTuple):
    """As shutil.disk_usage gives it."""

    total: int
    used: int
    free: int


def write_weights(path: Path, dtype: str = "BF16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = ROWS * WIDTH * SIZES[dtype]
    header = json.dumps({"model.embed_tokens.weight": {"dtype": dtype, "shape": [ROWS, WIDTH], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_weights(tmp_path / "base" / "model.safetensors")
    (tmp_path / "base" / "config.json").write_text("{}", encoding="utf-8")
    return tmp_path / "base"


@pytest.fixture
def run(tmp_path: Path, base: Path) -> RunDir:
    return create_run(tmp_path / "run", validate({"model": {"source": str(base)}, "data": {"train": "x.jsonl"}}))


def merged(run: RunDir, **options: object) -> ExportRequest:
    return dataclasses.replace(ExportRequest(run.path, "merged", run.exports / "out"), **options)


def code_of(run: RunDir, base: Path, request: ExportRequest) -> str:
    with pytest.raises(DesktopFtError) as raised:
        plan_export(run, request, base)
    return raised.value.code


def test_nothing_trained(run: RunDir, base: Path) -> None:
    assert code_of(run, base, merged(run)) == "export_nothing_trained"


def test_final_state_comes_before_checkpoints(run: RunDir) -> None:
    write_weights(run.checkpoint(10) / "adapter_model.safetensors")
    write_manifest(run.checkpoint(10), 10)
    assert find_trained(run).checkpoint == 10
    write_weights(run.adapter / "adapter_model.safetensors")
    assert (find_trained(run).folder, find_trained(run).checkpoint) == (run.adapter, None)
    assert find_trained(run, 10).folder == run.checkpoint(10)


def test_last_sound_checkpoint_is_taken(run: RunDir, base: Path) -> None:
    for step in (10, 20):
        write_weights(run.checkpoint(step) / "adapter_model.safetensors")
        write_manifest(run.checkpoint(step), step)
    with (run.checkpoint(20) / "adapter_model.safetensors").open("ab") as file:
        file.write(b"!")
    assert find_trained(run).checkpoint == 10
    assert code_of(run, base, merged(run, checkpoint=20)) == "checkpoint_damaged"
    assert code_of(run, base, merged(run, checkpoint=15)) == "checkpoint_missing"


def test_of_rlhf_the_policy_is_meant_and_the_reward_model_is_had_by_its_step(tmp_path: Path, base: Path) -> None:
    run = make_staged_run(tmp_path / "rlhf", str(base), reward=(10, 30), policy=(4, 8), write=write_weights)
    reward, policy = (stage.run for stage in stages_of(run, run.config()))
    last, named = find_trained(run), find_trained(run, 30)
    assert (last.checkpoint, last.folder, last.run) == (38, policy.checkpoint(8), policy)
    assert (named.checkpoint, named.folder, named.run) == (30, reward.checkpoint(30), reward)
    assert find_trained(run, 34).folder == policy.checkpoint(4)
    assert plan_export(run, merged(run, checkpoint=34), base).trained.is_adapter
    with pytest.raises(DesktopFtError) as raised:
        find_trained(run, 8)
    assert "It has: 10, 30, 34, 38." in raised.value.message


def test_a_reward_model_alone_is_not_taken_for_the_policy(tmp_path: Path, base: Path) -> None:
    run = make_staged_run(tmp_path / "rlhf", str(base), reward=(10,), write=write_weights)
    with pytest.raises(DesktopFtError) as raised:
        find_trained(run)
    assert (raised.value.code, raised.value.title) == ("export_nothing_trained", "The policy has not been trained yet")
    assert "step 10" in raised.value.hint


def test_full_run_has_no_adapter(run: RunDir, base: Path) -> None:
    write_weights(run.model / "model.safetensors", "F32")
    assert not find_trained(run).is_adapter
    assert code_of(run, base, merged(run, to="adapter")) == "export_no_adapter"


@pytest.mark.parametrize(("dtype", "num_bytes"), [("auto", 2), ("float32", 4), ("float16", 2)])
def test_bytes_follow_the_format(run: RunDir, base: Path, dtype: str, num_bytes: int) -> None:
    write_weights(run.adapter / "adapter_model.safetensors")
    plan = plan_export(run, merged(run, dtype=dtype), base)
    assert plan.num_bytes - (64 << 20) == round(ROWS * WIDTH * num_bytes * 1.02)
    assert plan.free_bytes > plan.num_bytes


def test_disk_too_small(run: RunDir, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_weights(run.adapter / "adapter_model.safetensors")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(100, 50, 50 << 20))
    with pytest.raises(DesktopFtError) as raised:
        plan_export(run, merged(run), base)
    assert raised.value.code == "disk_too_small"
    assert "0.05 GiB left" in raised.value.message


def test_formats() -> None:
    assert export_dtype("auto", "bfloat16", is_adapter=True) == "bfloat16"
    assert export_dtype("auto", "float16", is_adapter=True) == "float16"
    assert export_dtype("auto", "float32", is_adapter=True) == "float32"
    assert export_dtype("auto", "float32", is_adapter=False) == "bfloat16"
    assert export_dtype("float32", "bfloat16", is_adapter=False) == "float32"


def test_stored_format(tmp_path: Path) -> None:
    write_weights(tmp_path / "a" / "model.safetensors", "F16")
    assert stored_dtype(tmp_path / "a") == "float16"


def test_default_folders(run: RunDir) -> None:
    assert default_out(run, "merged") == run.exports / "merged"
    (run.exports / "merged").mkdir(parents=True)
    assert default_out(run, "merged") == run.exports / "merged-2"
    assert default_out(run, "adapter", 40) == run.exports / "adapter-step-000040"


def test_unfinished_exports_are_not_listed(run: RunDir) -> None:
    create_job(run, merged(run))
    assert list_exports(run) == []


def test_hashes_notice_one_changed_bit(base: Path) -> None:
    before = base_hashes(base)
    content = bytearray((base / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (base / "model.safetensors").write_bytes(content)
    after = base_hashes(base)
    assert before["model_config"] == after["model_config"]
    assert before["model_weights"] != after["model_weights"]
