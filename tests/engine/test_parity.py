"""A run with `kernels: none` gives the losses and gradient norms of a plain TRL script with the same seed and settings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from desktop_ft.core.events import StepDone
from desktop_ft.core.runs import RunDir
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work

NUM_STEPS = 20


@dataclass(frozen=True)
class Case:
    name: str
    method: str
    data: str
    assistant_only: bool = False
    micro: int = 4
    dropout: float = 0.0


CASES = [
    Case("lora-pairs", "lora", "pairs"),
    Case("lora-assistant-accumulated-dropout", "lora", "chats", assistant_only=True, micro=2, dropout=0.1),
    Case("dora-whole-conversation", "dora", "chats"),
    Case("dora-assistant", "dora", "chats", assistant_only=True),
    Case("full-pairs-accumulated", "full", "pairs", micro=1),
    Case("full-assistant", "full", "chats", assistant_only=True),
]


def plain_trl(case: Case, model: Path, data: Path, out: Path) -> list[dict[str, float]]:
    """What a person would write: the model's path, the rows as they are."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    kept: list[dict[str, float]] = []

    class Keep(TrainerCallback):
        def on_log(
            self,
            args: TrainingArguments,
            state: TrainerState,
            control: TrainerControl,
            logs: dict[str, float] | None = None,
            **kwargs: object,
        ) -> None:
            kept.append(dict(logs or {}))

    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    lora = LoraConfig(
        r=4,
        lora_alpha=32,
        lora_dropout=case.dropout,
        use_dora=case.method == "dora",
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    trainer = SFTTrainer(
        model=str(model),
        args=SFTConfig(
            output_dir=str(out),
            seed=42,
            max_length=64,
            per_device_train_batch_size=case.micro,
            gradient_accumulation_steps=4 // case.micro,
            max_steps=NUM_STEPS,
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            weight_decay=0.0,
            assistant_only_loss=case.assistant_only,
            use_cpu=True,
            bf16=False,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        peft_config=None if case.method == "full" else lora,
        callbacks=[Keep()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [log for log in kept if "loss" in log]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_losses_equal_a_plain_trl_script(case: Case, tiny: Path, chats: Path, pairs: Path, new_run: NewRun, tmp_path: Path) -> None:
    data = chats if case.data == "chats" else pairs
    run: RunDir = new_run(
        case.name,
        {
            "model.source": str(tiny),
            "data.train": str(data),
            "data.assistant_only_loss": case.assistant_only,
            "method.kind": "full" if case.method == "full" else "lora",
            "method.use_dora": case.method == "dora",
            "method.dropout": case.dropout,
            "training.micro_batch_size": case.micro,
            "training.max_steps": NUM_STEPS,
        },
    )

    assert work(run) == 0
    steps = events_of(run, StepDone)
    expected = plain_trl(case, tiny, data, tmp_path / "plain")

    assert [step.step for step in steps] == list(range(1, NUM_STEPS + 1))
    assert [step.loss for step in steps] == pytest.approx([log["loss"] for log in expected], abs=1e-5)
    assert [step.grad_norm for step in steps] == pytest.approx([log["grad_norm"] for log in expected], abs=1e-5)
    assert [step.learning_rate for step in steps] == [log["learning_rate"] for log in expected]
    assert [step.num_tokens for step in steps] == [log["num_tokens"] for log in expected]
    assert steps[-1].loss is not None
    assert steps[0].loss is not None
    assert steps[-1].loss < steps[0].loss
