"""Every auto gets a value and a reason, and the schedule follows from the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import yaml

from desktop_ft.core.config import SETTINGS, RunConfig, validate
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.memory import changed_config
from desktop_ft.core.resolve import Resolved, load_resolved, resolve, save_resolved, warmup
from tests.core.shapes import LLAMA_1B, LLAMA_8B, SMALL, UNKNOWN

GIB: Final = 1 << 30
H100: Final = DeviceFacts("cuda", "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, supports_bf16=True, uuid="GPU-0")
T4: Final = DeviceFacts("cuda", "Tesla T4", 15 * GIB, 15 * GIB, uuid="GPU-0")
CPU: Final = DeviceFacts("cpu", "CPU, 2 threads", 24 * GIB, 22 * GIB)
PLAIN: Final = validate({"model": {"source": "x"}, "data": {"train": "x"}})


def changed(**changes: object) -> RunConfig:
    return changed_config(PLAIN, {path.replace("__", "."): value for path, value in changes.items()})


def autos(resolved: Resolved) -> list[str]:
    values = resolved.config.model_dump()
    found: list[str] = []
    for path in SETTINGS:
        value: object = values
        for part in path.split("."):
            assert isinstance(value, dict)
            value = value[part]
        if value == "auto":
            found.append(path)
    return found


@pytest.mark.parametrize("device", [H100, T4, CPU])
@pytest.mark.parametrize("kernels", ["auto", "none"])
def test_no_auto_is_left_but_those_that_are_not_ours_and_every_one_has_a_reason(device: DeviceFacts, kernels: str) -> None:
    resolved = resolve(changed(training__kernels=kernels), LLAMA_1B, device, 1000, 50)
    of_other_methods = {"method.weight_updates", "method.quantization.compute_dtype"}
    assert set(autos(resolved)) <= {"data.format", "training.kernels"} | of_other_methods
    settled = {
        "model.dtype", "model.attention", "data.packing", "training.micro_batch_size", "training.activation_checkpointing",
        "training.optim", "evaluation.eval_steps", "output.save_steps",
    }  # fmt: skip
    assert set(resolved.reasons) == settled
    assert all(reason.endswith(".") for reason in resolved.reasons.values())


def test_a_large_card_needs_no_recomputation() -> None:
    training = resolve(changed(data__max_length=512, method__use_dora=False), LLAMA_8B, H100, 1000, 50).config.training
    assert training.activation_checkpointing is False
    assert training.micro_batch_size == 8


def test_a_small_card_recomputes() -> None:
    card = DeviceFacts("cuda", "NVIDIA GeForce RTX 4090", 24 * GIB, 23 * GIB, supports_bf16=True)
    resolved = resolve(changed(data__max_length=2048, method__use_dora=False), LLAMA_8B, card, 1000, 50)
    assert resolved.config.training.activation_checkpointing is True
    assert resolved.config.training.micro_batch_size == 4
    assert "would not fit" in resolved.reasons["training.activation_checkpointing"]


def test_what_is_stated_stays_and_has_no_reason() -> None:
    config = changed(training__micro_batch_size=2, training__activation_checkpointing=True, model__dtype="float32", output__save_steps=7)
    resolved = resolve(config, LLAMA_8B, H100, 1000, 50)
    assert resolved.config.training.micro_batch_size == 2
    assert (resolved.config.model.dtype, resolved.config.output.save_steps) == ("float32", 7)
    assert set(resolved.reasons) == {"model.attention", "data.packing", "training.optim", "evaluation.eval_steps"}
    assert resolved.gradient_accumulation_steps == 8


@pytest.mark.parametrize("whole, micro", [(16, 8), (12, 6), (7, 7), (11, 1), (1, 1)])
def test_stock_takes_trls_default_as_far_as_it_divides(whole: int, micro: int) -> None:
    config = changed(training__kernels="none", training__global_batch_size=whole)
    resolved = resolve(config, LLAMA_8B, T4, 1000, 0)
    assert resolved.config.training.micro_batch_size == micro
    assert resolved.config.training.activation_checkpointing is True
    assert resolved.config.data.packing is False
    assert resolved.gradient_accumulation_steps == whole // micro


@pytest.mark.parametrize(
    "device, kind, dtype", [(H100, "lora", "bfloat16"), (T4, "lora", "float16"), (T4, "full", "float32"), (CPU, "lora", "float32")]
)
def test_number_format_by_what_the_device_can_do(device: DeviceFacts, kind: str, dtype: str) -> None:
    assert resolve(changed(method__kind=kind), LLAMA_1B, device, 1000, 0).config.model.dtype == dtype


def test_an_unknown_architecture_gets_the_most_careful_settings() -> None:
    training = resolve(PLAIN, UNKNOWN, H100, 1000, 0).config.training
    assert (training.micro_batch_size, training.activation_checkpointing) == (1, True)


def test_nothing_fits_and_the_reason_says_so() -> None:
    resolved = resolve(PLAIN, LLAMA_8B, T4, 1000, 0)
    assert resolved.config.training.micro_batch_size == 1
    assert "does not fit" in resolved.reasons["training.micro_batch_size"]


@pytest.mark.parametrize(
    "device, kernels, changes, updates, optim",
    [
        (H100, "auto", {}, "kahan", "adamw_torch_fused"),
        (H100, "none", {}, "plain", "adamw_torch_fused"),
        (H100, "auto", {"training__optim": "adafactor"}, "float32", "adafactor"),
        (H100, "auto", {"method__weight_updates": "float32"}, "float32", "adamw_torch_fused"),
        (T4, "auto", {}, "float32", "paged_adamw_8bit"),
        (CPU, "auto", {}, "float32", "adamw_torch_fused"),
    ],
)
def test_full_fine_tuning_keeps_small_updates(
    device: DeviceFacts, kernels: str, changes: dict[str, object], updates: str, optim: str
) -> None:
    resolved = resolve(changed(method__kind="full", training__kernels=kernels, **changes), LLAMA_1B, device, 1000, 0)
    assert (resolved.config.method.weight_updates, resolved.config.training.optim) == (updates, optim)
    assert ("method.weight_updates" in resolved.reasons) == ("method__weight_updates" not in changes)


def test_4_bit_weights_are_computed_with_in_the_models_format() -> None:
    resolved = resolve(changed(method__kind="qlora"), LLAMA_8B, H100, 1000, 0)
    assert resolved.config.method.quantization.compute_dtype == "bfloat16"
    assert "method.quantization.compute_dtype" in resolved.reasons


def test_kto_never_gets_a_micro_batch_of_one() -> None:
    small = DeviceFacts("cuda", "a small card", 4 * GIB, 3 * GIB, supports_bf16=True)
    for whole, micro in ((16, 2), (7, 7), (15, 3)):
        config = changed(objective__kind="kto", training__global_batch_size=whole)
        assert resolve(config, LLAMA_8B, small, 1000, 0).config.training.micro_batch_size == micro
    stock = changed(objective__kind="kto", training__global_batch_size=11, training__kernels="none")
    assert resolve(stock, LLAMA_8B, H100, 1000, 0).config.training.micro_batch_size == 11


def test_a_pair_is_two_rows() -> None:
    config = changed(objective__kind="dpo", data__max_length=256, method__use_dora=False)
    resolved = resolve(config, LLAMA_1B, H100, 1000, 0)
    assert resolved.config.training.micro_batch_size == 4
    assert "up to 4" in resolved.reasons["training.micro_batch_size"]


@pytest.mark.parametrize(
    "num_examples, changes, per_epoch, num_steps, num_warmup",
    [
        (1000, {}, 63, 63, 2),
        (1000, {"training__num_train_epochs": 2.5}, 63, 158, 5),
        (1000, {"training__max_steps": 20, "training__warmup_steps": 4.0}, 63, 20, 4),
        (5, {}, 1, 1, 1),
        (5, {"training__num_train_epochs": 0.1, "training__warmup_steps": 0.0}, 1, 1, 0),
    ],
)
def test_steps_follow_from_examples_and_batch(
    num_examples: int, changes: dict[str, object], per_epoch: int, num_steps: int, num_warmup: int
) -> None:
    resolved = resolve(changed(**changes), SMALL, CPU, num_examples, 0)
    assert (resolved.steps_per_epoch, resolved.num_steps, resolved.num_warmup_steps) == (per_epoch, num_steps, num_warmup)


def test_ten_evaluations_over_a_run_and_never_less_than_a_step_apart() -> None:
    assert resolve(PLAIN, SMALL, CPU, 1600, 50).config.evaluation.eval_steps == 10
    few = resolve(PLAIN, SMALL, CPU, 40, 50)
    assert (few.config.evaluation.eval_steps, few.config.output.save_steps) == (1, 1)
    assert "no held-out" in resolve(PLAIN, SMALL, CPU, 1600, 0).reasons["evaluation.eval_steps"]


def test_partial_batches_and_small_data_are_said() -> None:
    assert resolve(PLAIN, SMALL, CPU, 1607, 0).notes == (
        "The last step of each epoch has 7 of 16 examples; its loss is a mean over those.",
    )
    assert resolve(PLAIN, SMALL, CPU, 1600, 0).notes == ()
    small = resolve(PLAIN, SMALL, CPU, 5, 0).notes
    assert "5 examples, fewer than the global batch of 16" in small[0]
    assert "only 1 step" in small[1]
    assert "2.9 passes" in resolve(changed(training__max_steps=20), SMALL, CPU, 100, 0).notes[1]


def test_warmup_below_one_is_a_share() -> None:
    assert (warmup(0.03, 100), warmup(0.03, 10), warmup(1.0, 10), warmup(0.0, 10)) == (3, 1, 1, 0)


def test_what_is_written_is_read_back_equal(tmp_path: Path) -> None:
    resolved = resolve(PLAIN, LLAMA_8B, H100, 1007, 50)
    path = tmp_path / "resolved.yaml"
    save_resolved(resolved, path)
    assert load_resolved(path) == resolved


def test_a_newer_or_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resolved.yaml"
    resolved = resolve(PLAIN, LLAMA_8B, H100, 1007, 50)
    save_resolved(replace(resolved, notes=("ü",)), path)
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for change, code in (
        ({"version": 2}, "resolved_too_new"),
        ({"num_steps": "many"}, "resolved_damaged"),
        ({"config": 1}, "resolved_damaged"),
    ):
        path.write_text(yaml.safe_dump({**values, **change}), encoding="utf-8")
        with pytest.raises(DesktopFtError) as caught:
            load_resolved(path)
        assert caught.value.code == code
