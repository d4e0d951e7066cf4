"""Prompts and settings of the GRPO and RLOO runs here, and the script that a person would write for TRL instead."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tests.engine.conftest import sentence

NUM_PROMPTS = 12
ANSWER_TOKENS = 8
VOWELS = "[aeiou].*[aeiou]"
EARLY = "^.?[a-m]"
SETTINGS: dict[str, object] = {
    "data.format": "prompts",
    "evaluation.forgetting": False,
    "method.dropout": 0.0,
    "training.global_batch_size": 8,
    "training.micro_batch_size": 8,
    "objective.rollout.max_completion_length": ANSWER_TOKENS,
    "objective.rewards.rules": [
        {"kind": "regex", "pattern": VOWELS, "weight": 2.0},
        {"kind": "regex", "pattern": EARLY, "weight": -0.5},
        {"kind": "length", "min_tokens": 4, "max_tokens": 6},
        {"kind": "exact_answer", "pattern": "([a-z])"},
    ],
}
"""Rules that a random model fulfils now and then."""

Log = dict[str, Any]
"""TRL says None where every value of a metric was NaN."""
RewardFunction = Callable[..., list[float | None]]


def prompt_rows(count: int = NUM_PROMPTS, *, as_chat: bool = False) -> list[dict[str, object]]:
    """Prompts of different lengths, every third without an answer to compare with."""
    rows: list[dict[str, object]] = []
    for number in range(count):
        text = sentence(number, 2 + number % 5)
        prompt: object = [{"role": "user", "content": text}] if as_chat else text
        rows.append({"prompt": prompt, "answer": None if number % 3 == 2 else "etao"[number % 4]})
    return rows


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _content(completion: object) -> str:
    return completion if isinstance(completion, str) else cast("list[dict[str, str]]", completion)[0]["content"]


def regex_1(completions: Sequence[object], **others: object) -> list[float | None]:
    return [1.0 if re.search(VOWELS, _content(completion)) else 0.0 for completion in completions]


def regex_2(completions: Sequence[object], **others: object) -> list[float | None]:
    return [1.0 if re.search(EARLY, _content(completion)) else 0.0 for completion in completions]


def length(completions: Sequence[object], completion_ids: Sequence[Sequence[int]], **others: object) -> list[float | None]:
    lengths = [len(ids) for ids in completion_ids]
    return [min(number / 4, 1.0) if number <= 6 else max(0.0, 1.0 - (number - 6) / 6) for number in lengths]


def exact_answer(completions: Sequence[object], answer: Sequence[str | None], **others: object) -> list[float | None]:
    scores: list[float | None] = []
    for completion, right in zip(completions, answer, strict=True):
        found = re.search("([a-z])", _content(completion))
        scores.append(None if right is None else float(found is not None and found.group(1) == right))
    return scores


FUNCTIONS: list[RewardFunction] = [regex_1, regex_2, length, exact_answer]
WEIGHTS = [2.0, -0.5, 1.0, 1.0]


def plain_trl(kind: str, model: Path, rows: Sequence[Mapping[str, object]], out: Path, *, full: bool, **settings: object) -> list[Log]:
    """What a person would write: the model's path, the rows as they are; every line of its log."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer
    from trl.trainer.rloo_config import RLOOConfig
    from trl.trainer.rloo_trainer import RLOOTrainer

    kept: list[Log] = []

    class Keep(TrainerCallback):
        def on_log(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Log | None = None, **kwargs: object
        ) -> None:
            kept.append(dict(logs or {}))

    arguments: Any = {"grpo": GRPOConfig, "rloo": RLOOConfig}[kind]
    trainer_class: Any = {"grpo": GRPOTrainer, "rloo": RLOOTrainer}[kind]
    common = {
        "output_dir": str(out),
        "seed": 42,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": ANSWER_TOKENS,
        "reward_weights": WEIGHTS,
        "max_steps": 10,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,
        "use_cpu": True,
        "bf16": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    lora = LoraConfig(r=4, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = trainer_class(
        model=str(model),
        reward_funcs=list(FUNCTIONS),
        args=arguments(**{**common, **settings}),
        train_dataset=Dataset.from_list([dict(row) for row in rows]),
        peft_config=None if full else lora,
        callbacks=[Keep()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [log for log in kept if "loss" in log]
