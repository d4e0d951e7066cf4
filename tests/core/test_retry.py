"""When a smaller micro-batch is offered after the memory was full, and what taking it changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from desktop_ft.core.config import RunConfig, validate
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import ErrorRaised, Event, Phase, PhaseChanged, RunFinished, StepDone
from desktop_ft.core.resolve import Resolved, Retry, load_resolved, save_resolved
from desktop_ft.core.retry import apply_retry, retry_offer, smaller_micro_batch, with_retries
from desktop_ft.core.runs import RunDir, create_run, write_manifest
from desktop_ft.core.stages import stages_of


def config_with(objective: str = "sft", micro: int = 4, whole: int = 12) -> RunConfig:
    return validate(
        {
            "model": {"source": "m", "dtype": "float32", "attention": "sdpa"},
            "data": {"train": "d", "packing": False},
            "objective": {"kind": objective, **({"rewards": {"rules": [{"kind": "length"}]}} if objective in {"grpo", "ppo"} else {})},
            "training": {
                "micro_batch_size": micro, "global_batch_size": whole, "optim": "adamw_torch", "activation_checkpointing": True,
            },
            "evaluation": {"eval_steps": 5},
            "output": {"save_steps": 5},
        }
    )  # fmt: skip


def resolved_of(config: RunConfig) -> Resolved:
    micro = config.training.micro_batch_size
    assert micro != "auto"
    steps = math.ceil(100 / config.training.global_batch_size)
    return Resolved(config, {}, config.training.global_batch_size // micro, steps, steps, 1, ())


def full(phase: Phase = "train", code: str = "out_of_memory") -> list[Event]:
    return [PhaseChanged(phase=phase), ErrorRaised(code=code, title="", message=""), RunFinished(status="failed")]


def failed(folder: Path, events: Sequence[Event], config: RunConfig | None = None, checkpoint: int | None = 5) -> RunDir:
    run = create_run(folder, config or config_with())
    save_resolved(resolved_of(config or config_with()), run.resolved_file)
    if checkpoint:
        run.checkpoint(checkpoint).mkdir(parents=True)
        (run.checkpoint(checkpoint) / "weights").write_bytes(b"1")
        write_manifest(run.checkpoint(checkpoint), checkpoint)
    writer = EventWriter(run.events_file)
    for event in events:
        writer.write(event)
    writer.close()
    return run


def test_half_the_micro_batch_with_the_same_global_batch(tmp_path: Path) -> None:
    run = failed(tmp_path, full())
    offer = retry_offer(run)
    assert offer is not None
    assert (offer.micro_batch_size_before, offer.micro_batch_size, offer.gradient_accumulation_steps, offer.step) == (4, 2, 6, 5)
    assert offer.title == "Go on with a micro-batch of 2 instead of 4"
    assert "from the checkpoint of step 5" in offer.message
    assert "global batch stays 12" in offer.message
    assert "same up to rounding" in offer.message


def test_nothing_is_changed_until_it_is_taken(tmp_path: Path) -> None:
    run = failed(tmp_path, full())
    before, stated = run.resolved_file.read_bytes(), run.config_file.read_bytes()
    retry_offer(run)
    assert run.resolved_file.read_bytes() == before
    apply_retry(run)
    changed = load_resolved(run.resolved_file)
    assert (changed.config.training.micro_batch_size, changed.gradient_accumulation_steps) == (2, 6)
    assert changed.config.training.global_batch_size == 12
    assert changed.retries == (Retry(5, 4, 2),)
    assert "memory was full" in changed.reasons["training.micro_batch_size"]
    assert run.config_file.read_bytes() == stated


def test_it_can_be_halved_again_until_it_is_one(tmp_path: Path) -> None:
    run = failed(tmp_path, full())
    assert [apply_retry(run).micro_batch_size for _ in range(2)] == [2, 1]
    assert load_resolved(run.resolved_file).retries == (Retry(5, 4, 2), Retry(5, 2, 1))
    assert retry_offer(run) is None
    with pytest.raises(DesktopFtError) as caught:
        apply_retry(run)
    assert caught.value.code == "retry_not_possible"


@pytest.mark.parametrize(
    "events",
    [
        [],
        full("load"),
        full("tokenize"),
        full(code="disk_full"),
        [PhaseChanged(phase="train"), RunFinished(status="stopped")],
        [*full(), PhaseChanged(phase="train"), StepDone(step=6, epoch=0.1)],
        [*full(), PhaseChanged(phase="train"), RunFinished(status="completed")],
    ],
    ids=["new", "load", "tokenize", "disk", "stopped", "crashed since", "completed since"],
)
def test_no_other_end_is_offered_anything(events: list[Event], tmp_path: Path) -> None:
    assert retry_offer(failed(tmp_path, events)) is None


def test_an_evaluation_that_is_too_large_is_offered_it_too(tmp_path: Path) -> None:
    assert retry_offer(failed(tmp_path, full("evaluate"))) is not None


def test_without_a_checkpoint_it_begins_again(tmp_path: Path) -> None:
    offer = retry_offer(failed(tmp_path, full(), checkpoint=None))
    assert offer is not None
    assert offer.step == 0
    assert "from the beginning" in offer.message


@pytest.mark.parametrize(("objective", "says"), [("orpo", True), ("kto", True), ("dpo", False), ("reward", False), ("grpo", False)])
def test_objectives_whose_loss_depends_on_it_say_so(objective: str, says: bool, tmp_path: Path) -> None:
    offer = retry_offer(failed(tmp_path, full(), config_with(objective, 4, 16)))
    assert offer is not None
    assert offer.changes_loss is says
    assert ("will differ a little" in offer.message) is says


@pytest.mark.parametrize(
    ("objective", "micro", "whole", "smaller"),
    [("sft", 6, 12, 3), ("sft", 3, 12, 1), ("sft", 5, 15, 1), ("kto", 4, 16, 2), ("kto", 2, 16, None)],
)
def test_it_always_divides_the_global_batch(objective: str, micro: int, whole: int, smaller: int | None) -> None:
    assert smaller_micro_batch(config_with(objective, micro, whole), micro // 2) == smaller


def test_a_run_that_begins_again_is_no_larger_than_agreed() -> None:
    again = with_retries(resolved_of(config_with(micro=6)), [Retry(0, 6, 3), Retry(0, 3, 2)])
    assert (again.config.training.micro_batch_size, again.gradient_accumulation_steps) == (2, 6)
    assert with_retries(resolved_of(config_with(micro=1)), [Retry(0, 4, 2)]).config.training.micro_batch_size == 1
    assert with_retries(again, ()) is again


def test_of_rlhf_the_stage_that_was_interrupted_is_changed(tmp_path: Path) -> None:
    config = config_with("rlhf")
    run = failed(tmp_path / "run", full(), config, checkpoint=None)
    reward, policy = stages_of(run, config)
    for stage in (reward, policy):
        folder = stage.open()
        save_resolved(resolved_of(config_with("reward" if stage is reward else "ppo")), folder.resolved_file)
    reward.run.adapter.mkdir()
    offer = apply_retry(run)
    assert offer.run == policy.run
    assert load_resolved(policy.run.resolved_file).config.training.micro_batch_size == 2
    assert load_resolved(reward.run.resolved_file).config.training.micro_batch_size == 4
