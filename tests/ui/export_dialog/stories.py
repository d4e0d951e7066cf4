"""Runs to export and what could come of it."""

from __future__ import annotations

import json
from pathlib import Path

from desktop_ft.core.config import RunConfig, validate
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import Verified, WarningRaised
from desktop_ft.core.runs import RunDir, create_run
from desktop_ft.ui.export_dialog import ExportDialog
from desktop_ft.ui.export_dialog.outcome import Outcome

MIB = 2**20
SAME = Verified(num_prompts=32, top1_agreement=1.0, mean_kl=0.0003, max_kl=0.0021, chat_template_equal=True, stop_token_ok=True)
OTHER = Verified(num_prompts=32, top1_agreement=0.871, mean_kl=0.21, max_kl=1.9, chat_template_equal=False, stop_token_ok=True)
REMARK = WarningRaised(
    code="export_dtype", title="Rounded", message="The weights were rounded to bfloat16.", hint="Take float32 to keep all digits."
)
DIFFERS = WarningRaised(
    code="export_differs",
    title="The export differs",
    message="The most likely token is the same at 87.1% of 512 positions.",
    hint="Export again.",
)
FULL_DISK = DesktopFtError(
    "disk_full", "The disk is full", "Writing model.safetensors failed after 3.1 GiB.", "Free some space, then export again."
)
ADAPTER = Outcome("adapter", Path("/data/exports/adapter"), 172 * MIB)
MERGED = Outcome("merged", Path("/data/exports/merged"), 15_700 * MIB, SAME, (REMARK,))
SCORES = Verified(num_prompts=16, max_score_difference=0.0031, chat_template_equal=True, stop_token_ok=True)
REWARD = Outcome("merged", Path("/data/exports/merged"), 15_700 * MIB, SCORES, is_reward_model=True)
OUTCOMES: dict[str, list[Outcome]] = {
    "works": [ADAPTER, MERGED],
    "differs": [Outcome("merged", Path("/data/exports/merged"), 15_700 * MIB, OTHER, (DIFFERS,))],
    "scores": [Outcome("adapter", Path("/data/exports/adapter"), 172 * MIB, is_reward_model=True), REWARD],
    "failed": [
        ADAPTER,
        Outcome("merged", Path("/data/exports/merged"), error=FULL_DISK, details="Traceback (most recent call last):\n  OSError"),
    ],
}


def config_on(base: Path) -> RunConfig:
    return validate({"name": "support-tone-r32", "model": {"source": str(base)}, "data": {"train": "demo"}})


def make_base(folder: Path, num_parameters: int = 2 * MIB) -> Path:
    """A model's folder with one bfloat16 tensor: enough for sizes, not for training."""
    folder.mkdir(parents=True)
    header = json.dumps({"w": {"dtype": "BF16", "shape": [num_parameters], "data_offsets": [0, 2 * num_parameters]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(2 * num_parameters))
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}), encoding="utf-8")
    return folder


def run_with_adapter(folder: Path) -> RunDir:
    """A run on a base model of 4 MiB with a final adapter of 1 MiB."""
    run = create_run(folder, config_on(make_base(folder.parent / "base")))
    run.adapter.mkdir()
    (run.adapter / "adapter_model.safetensors").write_bytes(bytes(MIB))
    return run


def show_outcomes(dialog: ExportDialog, outcomes: list[Outcome]) -> None:
    """As if these had been written."""
    dialog.outcomes = list(outcomes)
    dialog.finish()
