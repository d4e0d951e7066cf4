"""A run whose memory was full goes on with half the micro-batch and is the run that it would have been."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch

from desktop_ft.core.events import ErrorRaised, RunFinished, RunStarted, StepDone, WarningRaised
from desktop_ft.core.resolve import load_resolved
from desktop_ft.core.retry import RETRY_CODE, apply_retry, retry_offer
from desktop_ft.core.runs import RunDir
from desktop_ft.engine.objectives.grpo import GrpoTraining
from desktop_ft.engine.objectives.online import ANSWERS_FILE
from desktop_ft.engine.objectives.sft import SftTraining
from desktop_ft.engine.trainer import RunTrainer
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work

FULL = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 23.64 GiB of which 1.05 GiB is free."


@pytest.fixture
def settings(tiny: Path, pairs: Path) -> dict[str, object]:
    return {
        "model.source": str(tiny),
        "data.train": str(pairs),
        "training.max_steps": 14,  # past the end of the first epoch of 11 steps
        "training.micro_batch_size": 4,
        "output.save_steps": 2,
    }


def fill_memory(monkeypatch: pytest.MonkeyPatch, at_step: int, trainer: type[RunTrainer] = SftTraining) -> None:
    """A device on which four examples fit until this step, and two for ever."""
    plain = trainer.compute_loss

    def compute(self: RunTrainer, *args: object, **kwargs: object) -> torch.Tensor:
        if self.micro_batch_size > 2 and self.state.global_step >= at_step:
            raise torch.OutOfMemoryError(FULL)
        return cast("torch.Tensor", plain(self, *args, **kwargs))  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(trainer, "compute_loss", compute)


def curve(run: RunDir) -> list[tuple[int, float, float]]:
    return [(step.step, step.loss or 0.0, step.grad_norm or 0.0) for step in events_of(run, StepDone)]


@pytest.mark.parametrize(("at_step", "from_step"), [(5, 4), (1, 0)], ids=["from a checkpoint", "from the beginning"])
def test_the_same_run_with_half_the_micro_batch(
    at_step: int, from_step: int, new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = new_run("whole", settings)
    assert work(whole) == 0
    fill_memory(monkeypatch, at_step)
    run = new_run("full", settings)
    assert work(run) == 1
    assert [error.code for error in events_of(run, ErrorRaised)] == ["out_of_memory"]
    assert work(run) == 1, "without the person's word nothing changes"

    apply_retry(run)
    assert work(run) == 0

    assert [finished.status for finished in events_of(run, RunFinished)] == ["failed", "failed", "completed"]
    started = events_of(run, RunStarted)[-1]
    assert (started.start_step, started.micro_batch_size, started.gradient_accumulation_steps) == (from_step, 2, 2)
    codes = [event.code for event in events_of(run, WarningRaised)]
    assert codes.count(RETRY_CODE) == 1
    assert "settings_kept" not in codes
    (warning,) = [event for event in events_of(run, WarningRaised) if event.code == RETRY_CODE]
    assert f"from step {from_step} with a micro-batch of 2 instead of 4" in warning.message
    assert [retry.micro_batch_size for retry in load_resolved(run.resolved_file).retries] == [2]
    assert retry_offer(run) is None
    told = {step: numbers for step, *numbers in curve(run)}
    assert list(told) == list(range(1, 15))
    for step, loss, norm in curve(whole):
        assert told[step] == pytest.approx([loss, norm], abs=1e-5)


def test_sampled_answers_in_a_checkpoint_are_split_anew(
    new_run: NewRun, settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GRPO learns twice from the same answers; the memory is full between the two."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(f'{{"prompt": "the fox {number}"}}\n' for number in range(12)), encoding="utf-8")
    online = {
        "data.train": str(prompts),
        "objective.kind": "grpo",
        "objective.grpo.num_generations": 2,
        "objective.grpo.num_iterations": 2,
        "objective.rollout.max_completion_length": 8,
        "objective.rewards.rules": [{"kind": "regex", "pattern": "[aeiou]"}, {"kind": "length", "max_tokens": 4}],
        "training.max_steps": 6,
        "output.save_steps": 1,
    }
    whole = new_run("whole", {**settings, **online})
    assert work(whole) == 0
    fill_memory(monkeypatch, 3, GrpoTraining)
    run = new_run("full", {**settings, **online})
    assert work(run) == 1
    assert (run.checkpoint(3) / ANSWERS_FILE).is_file()
    apply_retry(run)
    assert work(run) == 0
    assert [step for step, *_ in curve(run)] == [1, 2, 3, 4, 5, 6]
    assert max(norm for *_, norm in curve(run)) > 1e-3
    assert [numbers for _, *numbers in curve(run)] == [pytest.approx(numbers, abs=1e-5) for _, *numbers in curve(whole)]
