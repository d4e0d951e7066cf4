"""A learning rate that is set while training keeps the schedule's shape and every group's ratio."""

from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from desktop_ft.engine.controls import set_learning_rate


def test_the_ratio_of_lora_plus_stays() -> None:
    slow, fast = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([{"params": [slow], "lr": 1e-4}, {"params": [fast], "lr": 16e-4}])
    scheduler = LambdaLR(optimizer, lambda step: 1.0 - step / 10)
    optimizer.step()
    scheduler.step()
    set_learning_rate(scheduler, 5e-4)
    assert scheduler.get_last_lr() == pytest.approx([0.9 * 5e-4, 0.9 * 80e-4])
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.8 * 5e-4, 0.8 * 80e-4])
