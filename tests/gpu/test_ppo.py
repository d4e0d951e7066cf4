"""PPO with adapters on an NVIDIA GPU: a 1B-shaped model, its value function, its reference and a reward model on one base.

Random weights of true shape suffice. Needs a CUDA build of torch; run with ``pytest -m gpu tests/gpu``. Where ``OUT`` names a
folder, every case appends what it measured to ``gpu.jsonl`` there.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from desktop_ft.core.config import set_value, validate
from desktop_ft.core.control import send_control
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import CheckpointSaved, Event, RunFinished, SampleDone, StepDone, WarningRaised
from desktop_ft.core.resolve import load_resolved
from desktop_ft.core.runs import RunDir, create_run
from tests.gpu.runs import finish, make_llama, note, start_engine

pytestmark = pytest.mark.gpu

NUM_TOKENS = 1024
"""Of a row: prompt and answer in PPO, the whole text in supervised fine-tuning."""
ANSWER_TOKENS = 512
NUM_STEPS = 8
MOST = 1.35
"""Times the memory of supervised fine-tuning with QLoRA."""


@pytest.fixture(scope="module")
def model_dir() -> Path:
    """A 1B-shaped Llama with random bfloat16 weights and the demo's tokenizer."""
    return make_llama()


@pytest.fixture(scope="module")
def reward_adapter(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reward run of this model writes: an adapter and a head."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("reward") / "adapter"
    base = AutoModelForSequenceClassification.from_pretrained(model_dir, num_labels=1, dtype=torch.bfloat16)
    model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=16, target_modules="all-linear"))
    model.save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(model_dir).save_pretrained(folder)
    return folder


def text_of(model_dir: Path, num_tokens: int, seed: int) -> str:
    """Words that come to at most this many tokens, and nearly so."""
    words = "the a red green blue apple lemon river town bird sings eats grows small large old new and or in on".split()
    tokenizer, text = load_tokenizer(model_dir), " ".join(random.Random(seed).choices(words, k=num_tokens))
    while len(tokenizer.encode(text, add_special_tokens=True).ids) > num_tokens:
        text = text.rsplit(" ", 1)[0]
    return text


def write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def make(folder: Path, model_dir: Path, changes: dict[str, object]) -> RunDir:
    values: dict[str, object] = {"model": {"source": str(model_dir)}, "data": {"train": "set below"}, "name": "gpu"}
    defaults: dict[str, object] = {
        "data.max_length": NUM_TOKENS, "data.split.fraction": 0.0, "method.use_dora": False, "training.max_steps": NUM_STEPS,
        "training.global_batch_size": 8, "training.micro_batch_size": 4, "training.activation_checkpointing": True,
        "output.save_steps": 100, "evaluation.eval_steps": 100, "evaluation.forgetting": False,
    }  # fmt: skip
    for path, value in {**defaults, **changes}.items():
        values = set_value(values, path, value)
    return create_run(folder, validate(values))


@pytest.fixture(scope="module")
def sft_bytes(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Peak reserved memory of QLoRA fine-tuning with the same tokens in a micro-batch."""
    folder = tmp_path_factory.mktemp("sft")
    rows: list[dict[str, object]] = [{"text": text_of(model_dir, NUM_TOKENS - 1, seed)} for seed in range(16)]
    run = make(folder / "run", model_dir, {"method.kind": "qlora", "data.train": write(folder / "rows.jsonl", rows)})
    measured = max(event.memory_bytes for event in finish(run) if isinstance(event, StepDone))
    note("sft, qlora, the yardstick of ppo", measured_reserved_bytes=measured)
    return measured


def ppo_settings(folder: Path, model_dir: Path, reward_adapter: Path) -> dict[str, object]:
    prompts: list[dict[str, object]] = [{"prompt": text_of(model_dir, NUM_TOKENS - ANSWER_TOKENS, seed)} for seed in range(24)]
    return {
        "data.train": write(folder / "prompts.jsonl", prompts),
        "data.format": "prompts",
        "objective.kind": "ppo",
        "objective.rewards.model": str(reward_adapter),
        "objective.rewards.rules": [{"kind": "regex", "pattern": "[a-m] *$"}],
        "objective.rollout.max_completion_length": ANSWER_TOKENS,
        "objective.ppo.num_mini_batches": 2,
        "objective.ppo.num_ppo_epochs": 2,
        "training.learning_rate": 1e-5,
    }


@pytest.mark.parametrize("method", ["qlora", "lora"])
def test_four_parts_share_one_base(method: str, model_dir: Path, reward_adapter: Path, sft_bytes: int, tmp_path: Path) -> None:
    run = make(tmp_path / "run", model_dir, {**ppo_settings(tmp_path, model_dir, reward_adapter), "method.kind": method})

    events = finish(run)

    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event for event in events if isinstance(event, RunFinished)][-1].status == "completed"
    assert [step.step for step in steps] == list(range(1, NUM_STEPS + 1))
    assert all(step.loss is not None and (step.grad_norm or 0.0) > 0.0 for step in steps)
    assert not [event for event in events if isinstance(event, WarningRaised) and event.code == "ppo_reward_model_apart"]
    assert any(event.sampled and event.reward is not None for event in events if isinstance(event, SampleDone))
    assert abs(steps[0].metrics["kl"]) < 1e-3 * ANSWER_TOKENS
    measured = max(step.memory_bytes for step in steps)
    note(
        f"ppo, {method}", measured_reserved_bytes=measured, of_sft_qlora=measured / sft_bytes, seconds_with_rollout=steps[4].seconds,
        seconds_per_step=steps[5].seconds, tokens_per_second=steps[5].tokens_per_second, first_metrics=dict(steps[0].metrics),
        last_metrics=dict(steps[-1].metrics), dtype=load_resolved(run.resolved_file).config.model.dtype,
    )  # fmt: skip
    if method == "qlora":
        assert measured <= MOST * sft_bytes


def test_stops_while_it_samples_and_goes_on(model_dir: Path, reward_adapter: Path, tmp_path: Path) -> None:
    settings = {**ppo_settings(tmp_path, model_dir, reward_adapter), "method.kind": "qlora", "training.max_steps": 12}
    run = make(tmp_path / "run", model_dir, settings)
    child = start_engine(run)
    tail, seen = EventTail(run.events_file), list[Event]()
    while sum(isinstance(event, StepDone) for event in seen) < 4:
        assert child.poll() is None, run.console_file.read_text(encoding="utf-8")[-2000:]
        seen += tail.read_all()
    send_control(run.path, "stop")
    child.wait(timeout=100)
    stopped = list(EventTail(run.events_file).read_all())
    assert [event for event in stopped if isinstance(event, RunFinished)][-1].status == "stopped"
    at = [event for event in stopped if isinstance(event, CheckpointSaved)][-1].step

    events = finish(run)

    resumed = [event.step for event in events if isinstance(event, StepDone) and event.seq > stopped[-1].seq]
    assert resumed == list(range(at + 1, 13))
