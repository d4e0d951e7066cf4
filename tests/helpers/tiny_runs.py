"""Folders of finished runs on tiny models, made without training: what an export reads, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from peft import LoraConfig

from desktop_ft.core.base_model import base_hashes
from desktop_ft.core.config import validate
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import EvaluationDone, RunFinished, RunStarted, StepDone
from desktop_ft.core.files import write_json
from desktop_ft.core.runs import RunDir, create_run, write_manifest
from tests.helpers.tiny_models import TinySpec, lora_config, make_adapter, make_model


@dataclass(frozen=True)
class TinyRun:
    """What to make.

    Attributes:
        lora: The adapter; None: full fine-tuning.
        checkpoint_only: The run was stopped at step 4: there is a checkpoint and no final state.
        num_rows: Rows of the data file; a quarter is held out.
    """

    model: TinySpec = field(default_factory=TinySpec)
    lora: LoraConfig | None = field(default_factory=lora_config)
    checkpoint_only: bool = False
    num_rows: int = 40


def make_run(folder: Path, spec: TinyRun | None = None) -> RunDir:
    """A run in ``folder/run`` on the base in ``folder/base`` with the data in ``folder/private/chats.jsonl``."""
    spec = spec or TinyRun()
    base = make_model(folder / "base", spec.model)
    data = _make_data(folder / "private" / "chats.jsonl", spec.num_rows)
    run = create_run(folder / "run", validate(_settings(base, data, is_lora=spec.lora is not None)))
    trained = run.checkpoint(4) if spec.checkpoint_only else run.adapter if spec.lora else run.model
    if spec.lora is None:
        make_model(trained, TinySpec(seed=11, tied=spec.model.tied))
    else:
        make_adapter(base, trained, spec.lora)
    if spec.checkpoint_only:
        write_manifest(trained, 4)
    _record(run, base)
    return run


def _settings(base: Path, data: Path, *, is_lora: bool) -> dict[str, object]:
    return {
        "name": "tiny run",
        "model": {"source": str(base), "dtype": "float32"},
        "data": {"train": str(data), "split": {"fraction": 0.25}, "max_length": 64},
        "method": {"kind": "lora" if is_lora else "full"},
    }


def _make_data(path: Path, num_rows: int) -> Path:
    path.parent.mkdir(parents=True)
    rows = [_chat(f"What is {number}?", f"It is {number * 7}, jumps the fox.") for number in range(num_rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _chat(question: str, answer: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def _record(run: RunDir, base: Path) -> None:
    tokenizer = load_tokenizer(base)
    hashes = {**base_hashes(base), "tokenizer": tokenizer.sha256, "chat_template": tokenizer.template_sha256, "data_train": "f00d" * 16}
    write_json(run.environment_file, {"v": 1, "python": "3.11", "libraries": {"torch": "2.13"}, "model_path": str(base), "hashes": hashes})
    events = EventWriter(run.events_file)
    events.write(RunStarted(pid=1, num_steps=8, num_train_examples=30, num_eval_examples=10))
    events.write(EvaluationDone(step=0, loss=4.5, num_examples=10))
    for step in range(1, 9):
        events.write(StepDone(step=step, epoch=step / 8, loss=5.0 - step / 4, num_tokens=100 * step))
    events.write(EvaluationDone(step=8, loss=3.25, num_examples=10))
    events.write(RunFinished(status="completed", step=8))
    events.close()
