"""Preference runs with `kernels: none` give every number that a plain TRL script with the same seed and settings logs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from desktop_ft.core.events import StepDone
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work

NUM_STEPS = 10
NOT_METRICS = {"loss", "grad_norm", "learning_rate", "epoch", "num_tokens", "num_input_tokens_seen"}


@dataclass(frozen=True)
class Case:
    name: str
    objective: str
    data: str
    method: str = "lora"
    micro: int = 4
    settings: tuple[tuple[str, Any], ...] = ()
    is_long: bool = False
    """Only in the long test run."""


CASES = [
    Case("dpo-lora-chat", "dpo", "chat"),
    Case("dpo-dora-text-accumulated", "dpo", "text", "dora", micro=2),
    Case("dpo-full-chat", "dpo", "chat", "full"),
    Case("dpo-full-precomputed", "dpo", "text", "full", settings=(("precompute_ref_log_probs", True),), is_long=True),
    Case("dpo-robust-sft", "dpo", "chat", settings=(("beta", 0.3), ("loss_type", "robust"), ("label_smoothing", 0.1), ("sft_weight", 0.5))),
    Case("orpo-lora-chat", "orpo", "chat", is_long=True),
    Case("orpo-full-text-accumulated", "orpo", "text", "full", micro=2, settings=(("beta", 0.2),)),
    Case("kto-lora-text", "kto", "judged"),
    Case(
        "kto-dora-chat-accumulated",
        "kto",
        "judged-chat",
        "dora",
        micro=2,
        settings=(("beta", 0.3), ("desirable_weight", 1.2), ("undesirable_weight", 0.9)),
    ),
    Case("kto-full-apo", "kto", "judged", "full", settings=(("loss_type", "apo_zero_unpaired"),), is_long=True),
    Case("reward-lora-chat", "reward", "chat"),
    Case("reward-dora-text-accumulated", "reward", "text", "dora", micro=2, settings=(("center_rewards_coefficient", 0.01),)),
    Case("reward-full-chat", "reward", "chat", "full", is_long=True),
]


def trl_parts(objective: str) -> tuple[Any, Any]:
    """TRL's config and trainer of an objective."""
    import trl

    if objective == "orpo":
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        return ORPOConfig, ORPOTrainer
    names = {"dpo": "DPO", "kto": "KTO", "reward": "Reward"}
    return getattr(trl, f"{names[objective]}Config"), getattr(trl, f"{names[objective]}Trainer")


def trl_settings(case: Case) -> dict[str, Any]:
    """Ours in TRL's words."""
    settings = dict(case.settings)
    weight = settings.pop("sft_weight", 0.0)
    if case.objective == "dpo":
        settings["loss_type"] = [settings.get("loss_type", "sigmoid")]
        if weight:
            settings.update(loss_type=[*settings["loss_type"], "sft"], loss_weights=[1.0, weight])
    return settings


def plain_trl(case: Case, folder: Path, data: Path, out: Path) -> list[dict[str, float]]:
    """What a person would write: the model's path (ORPO's trainer wants the model), the rows as they are."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        PrinterCallback,
        TrainerCallback,
        TrainerControl,
        TrainerState,
        TrainingArguments,
    )

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

    config, trainer_class = trl_parts(case.objective)
    lora = LoraConfig(
        r=4,
        lora_alpha=32,
        use_dora=case.method == "dora",
        target_modules="all-linear",
        task_type="SEQ_CLS" if case.objective == "reward" else "CAUSAL_LM",
        modules_to_save=["score"] if case.objective == "reward" else None,
    )
    trainer = trainer_class(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype="float32") if case.objective == "orpo" else str(folder),
        processing_class=AutoTokenizer.from_pretrained(folder),
        args=config(
            output_dir=str(out),
            seed=42,
            max_length=64,
            per_device_train_batch_size=case.micro,
            gradient_accumulation_steps=4 // case.micro,
            max_steps=NUM_STEPS,
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            use_cpu=True,
            bf16=False,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            **trl_settings(case),
        ),
        train_dataset=Dataset.from_list([json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]),
        peft_config=None if case.method == "full" else lora,
        callbacks=[Keep()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [log for log in kept if "loss" in log]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name, marks=[pytest.mark.real] if case.is_long else []) for case in CASES])
def test_every_logged_number_equals_a_plain_trl_script(
    case: Case, tiny: Path, tiny_text: Path, preference_files: dict[str, Path], new_run: NewRun, tmp_path: Path
) -> None:
    data, model = preference_files[case.data], tiny if "chat" in case.data else tiny_text
    run = new_run(
        case.name,
        {
            "model.source": str(model),
            "data.train": str(data),
            "objective.kind": case.objective,
            "method.kind": "full" if case.method == "full" else "lora",
            "method.use_dora": case.method == "dora",
            "training.micro_batch_size": case.micro,
            "training.max_steps": NUM_STEPS,
            **{f"objective.{case.objective}.{name}": value for name, value in case.settings},
        },
    )

    assert work(run) == 0
    steps = events_of(run, StepDone)
    expected = plain_trl(case, model, data, tmp_path / "plain")

    assert [step.step for step in steps] == list(range(1, NUM_STEPS + 1))
    assert [step.loss for step in steps] == pytest.approx([log["loss"] for log in expected], abs=1e-5)
    assert [step.grad_norm for step in steps] == pytest.approx([log["grad_norm"] for log in expected], abs=1e-5)
    assert [step.learning_rate for step in steps] == [log["learning_rate"] for log in expected]
    for step, log in zip(steps, expected, strict=True):
        metrics = {name: value for name, value in log.items() if name not in NOT_METRICS}
        assert dict(step.metrics) == pytest.approx(metrics, abs=1e-5)
        assert len(metrics) >= 5
    assert steps[-1].loss != pytest.approx(steps[0].loss, abs=1e-4)
    if "num_tokens" in expected[-1]:
        assert [step.num_tokens for step in steps] == [log["num_tokens"] for log in expected]
