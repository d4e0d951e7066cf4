"""One optimizer road: Trainer's groups and settings, LoRA+'s rates, and updates that bfloat16 does not lose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from transformers import Trainer, TrainingArguments

from desktop_ft.core.config import RunConfig, config_from_values, set_value
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.events import StepDone
from desktop_ft.core.runs import RunDir
from desktop_ft.engine.load import load_base_model, lora_config
from desktop_ft.engine.methods.optimizer import build_optimizer
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work

CPU = DeviceFacts("cpu", "CPU", 0, 0)
OPTIMIZERS = ["adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd"]


def config(**changes: object) -> RunConfig:
    values: dict[str, object] = {}
    defaults = {"model.source": "demo", "data.train": "demo", "model.dtype": "float32", "training.weight_decay": 0.1}
    for path, value in {**defaults, **changes}.items():
        values = set_value(values, path.replace("__", "."), value)
    return config_from_values(values, Path(), "run")


def shapes(optimizer: torch.optim.Optimizer) -> list[tuple[float, float, list[torch.Size]]]:
    return [(group["lr"], group["weight_decay"], [parameter.shape for parameter in group["params"]]) for group in optimizer.param_groups]


@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
@pytest.mark.parametrize("optim", OPTIMIZERS)
def test_groups_and_settings_are_those_of_trainer(optim: str, tiny: Path, tmp_path: Path) -> None:
    settings = config(method__kind="full", training__optim=optim, training__learning_rate=3e-4)
    model = load_base_model(tiny, torch.float32, "sdpa", CPU)
    arguments = TrainingArguments(str(tmp_path), optim=optim, learning_rate=3e-4, weight_decay=0.1, use_cpu=True)
    theirs = Trainer(model, arguments).create_optimizer()
    ours = build_optimizer(settings, model)
    assert type(ours) is type(theirs)
    assert shapes(ours) == shapes(theirs)
    assert ours.defaults == theirs.defaults
    assert {decay for _, decay, _ in shapes(ours)} == {0.1, 0.0}


def test_loraplus_gives_b_its_own_rate(tiny: Path) -> None:
    settings = config(method__loraplus_lr_ratio=16.0, method__use_dora=False, training__learning_rate=1e-4)
    base = load_base_model(tiny, torch.float32, "sdpa", CPU)
    model = get_peft_model(base, lora_config(settings, base))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {
        ("lora_B" if "lora_B" in names[id(parameter)] else "lora_A"): group["lr"]
        for group in build_optimizer(settings, model).param_groups
        for parameter in group["params"]
    }
    assert rates == {"lora_A": 1e-4, "lora_B": pytest.approx(1.6e-3)}


def test_what_is_frozen_is_left_out(tiny: Path) -> None:
    settings = config()
    base = load_base_model(tiny, torch.float32, "sdpa", CPU)
    model = get_peft_model(base, lora_config(settings, base))
    optimizer = build_optimizer(settings, model)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(trained) == 14 * 3


def losses(run: RunDir) -> list[float]:
    return [step.loss for step in events_of(run, StepDone) if step.loss is not None]


def test_bfloat16_as_offered_follows_float32(tiny: Path, pairs: Path, new_run: NewRun) -> None:
    """200 steps at the usual rate: within 1 % of float32's loss at every step, and 5 % of its fall (plain bfloat16 has a tenth)."""
    settings = {
        "model.source": str(tiny), "data.train": str(pairs), "method.kind": "full", "training.learning_rate": 1e-5,
        "training.max_steps": 200, "training.kernels": "auto", "data.max_length": 24, "evaluation.forgetting": False,
        "training.lr_scheduler_type": "constant", "output.save_steps": 1000, "training.num_train_epochs": 100,
    }  # fmt: skip
    told: dict[str, list[float]] = {}
    for name, dtype in (("float32", "float32"), ("offered", "bfloat16")):
        run = new_run(name, {**settings, "model.dtype": dtype})
        assert work(run) == 0
        told[name] = losses(run)
        assert len(told[name]) == 200
    worst = max(abs(ours / theirs - 1) for ours, theirs in zip(told["offered"], told["float32"], strict=True))
    assert worst < 0.01
    fall = {name: sum(rows[:20]) - sum(rows[-20:]) for name, rows in told.items()}
    assert fall["offered"] == pytest.approx(fall["float32"], rel=0.05)
    assert fall["float32"] / 20 > 0.01
