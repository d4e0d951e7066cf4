"""Weights that are no numbers end a run and are never saved."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch

from desktop_ft.core.events import CheckpointSaved, ErrorRaised
from desktop_ft.core.runs import list_checkpoints
from desktop_ft.engine.finite import first_non_finite
from desktop_ft.engine.objectives.sft import SftTraining
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_broken_weight_is_named(value: float) -> None:
    second = torch.nn.Linear(2, 2)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), second)
    assert first_non_finite(model) is None
    second.weight.data[0, 1] = value
    assert first_non_finite(model) == "1.weight"
    model.requires_grad_(False)
    assert first_non_finite(model) is None


@pytest.mark.parametrize(("max_steps", "saved"), [(6, [2]), (3, [2])], ids=["at a checkpoint", "at the end"])
def test_a_checkpoint_is_never_written_from_them(
    max_steps: int, saved: list[int], new_run: NewRun, tiny: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = SftTraining.compute_loss

    def broken(self: SftTraining, *args: object, **kwargs: object) -> torch.Tensor:
        loss = cast("torch.Tensor", plain(self, *args, **kwargs))  # pyright: ignore[reportArgumentType]
        return loss * float("nan") if self.state.global_step == 2 else loss

    monkeypatch.setattr(SftTraining, "compute_loss", broken)
    settings = {"model.source": str(tiny), "data.train": str(pairs), "training.max_steps": max_steps, "output.save_steps": 2}
    run = new_run("broken", settings)
    assert work(run) == 1
    (error,) = events_of(run, ErrorRaised)
    assert error.code == "weights_not_finite"
    assert "lora_" in error.message
    assert "config new --from-run" in error.hint
    assert [event.step for event in events_of(run, CheckpointSaved)] == saved
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == saved
    assert not run.adapter.exists()
