"""With ``kernels: none`` every method trains as a plain TRL and PEFT script with the same seed does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch

from desktop_ft.core.events import StepDone
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work
from tests.engine.methods.plain import plain_sft

NUM_STEPS = 8
NF4 = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
FP4 = {"bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": False}
CASES: dict[str, tuple[dict[str, object], dict[str, Any], dict[str, Any]]] = {
    "rslora, pissa": ({"method.use_rslora": True, "method.init": "pissa"}, {"use_rslora": True, "init_lora_weights": "pissa"}, {}),
    "pissa_niter_4, dora": (
        {"method.init": "pissa_niter_4", "method.use_dora": True}, {"init_lora_weights": "pissa_niter_4", "use_dora": True}, {},
    ),
    "olora": ({"method.init": "olora"}, {"init_lora_weights": "olora"}, {}),
    "orthogonal": ({"method.init": "orthogonal"}, {"init_lora_weights": "orthogonal"}, {}),
    "loraplus": ({"method.loraplus_lr_ratio": 16.0}, {}, {"loraplus_lr_ratio": 16.0}),
    "loraplus, dora, 8-bit": (
        {"method.loraplus_lr_ratio": 4.0, "method.use_dora": True, "training.optim": "adamw_8bit"},
        {"use_dora": True}, {"loraplus_lr_ratio": 4.0, "optim": "adamw_8bit"},
    ),
    "qlora": ({"method.kind": "qlora"}, {}, {"quantization": NF4}),
    "qdora, fp4": (
        {
            "method.kind": "qlora", "method.use_dora": True, "method.quantization.quant_type": "fp4",
            "method.quantization.double_quant": False, "training.optim": "adamw_8bit",
        },
        {"use_dora": True}, {"quantization": FP4, "optim": "adamw_8bit"},
    ),
    "head trained whole": ({"method.modules_to_save": ("lm_head",)}, {"modules_to_save": ["lm_head"]}, {}),
}  # fmt: skip


LONGER = {"pissa_niter_4, dora", "olora", "orthogonal", "loraplus", "head trained whole"}


@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.real) if case in LONGER else case for case in CASES])
def test_losses_equal_a_plain_script(case: str, tiny: Path, pairs: Path, new_run: NewRun, tmp_path: Path) -> None:
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig

    settings, lora, how = CASES[case]
    run = new_run("ours", {"model.source": str(tiny), "data.train": str(pairs), "training.max_steps": NUM_STEPS, **settings})
    assert work(run) == 0
    steps = events_of(run, StepDone)

    torch.manual_seed(7)  # a script starts with any random numbers
    config = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM", **lora)
    if "quantization" in how:
        four_bit = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32, **how["quantization"])
        how = {**how, "quantization": four_bit}
    expected = plain_sft(tiny, pairs, tmp_path / "plain", config, steps=NUM_STEPS, **cast("dict[str, Any]", how))

    assert [step.loss for step in steps] == pytest.approx([log["loss"] for log in expected], abs=1e-5)
    assert [step.grad_norm for step in steps] == pytest.approx([log["grad_norm"] for log in expected], abs=1e-5)
    assert [step.learning_rate for step in steps] == [log["learning_rate"] for log in expected]
    first, last = steps[0].loss, steps[-1].loss
    assert first is not None
    assert last is not None
    assert first - last > 0.005
