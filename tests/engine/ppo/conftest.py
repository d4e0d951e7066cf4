"""Prompts, and a reward model that is an adapter of the tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ppo.ppo_runs import prompt_rows, randomise


@pytest.fixture(scope="session")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """22 prompts as plain text."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in prompt_rows(22)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def reward_adapter(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reward run writes: matrices that are not zero, and a head."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("reward") / "adapter"
    torch.manual_seed(7)
    base: Any = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1)
    model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=2, target_modules="all-linear", use_dora=True))
    randomise(model, seed=7)
    model.save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
    return folder
