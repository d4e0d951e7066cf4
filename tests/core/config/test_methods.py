"""What contradicts a method is refused with its reason, and how full fine-tuning keeps small updates."""

from __future__ import annotations

import pytest

from desktop_ft.core.config import RunConfig, config_from_values, set_value
from desktop_ft.core.config.methods import method_problems, weight_updates
from desktop_ft.core.errors import ConfigError


def config(**changes: object) -> RunConfig:
    from pathlib import Path

    values: dict[str, object] = {}
    for path, value in {"model.source": "demo", "data.train": "demo", **changes}.items():
        values = set_value(values, path.replace("__", "."), value)
    return config_from_values(values, Path(), "run")


REFUSED: dict[str, tuple[dict[str, object], str, str]] = {
    "pissa in 4 bit": ({"method__kind": "qlora", "method__init": "pissa"}, "method.init", "rounded anew"),
    "olora in 4 bit": ({"method__kind": "qlora", "method__init": "olora"}, "method.init", "rounded anew"),
    "orthogonal in 4 bit": ({"method__kind": "qlora", "method__init": "orthogonal"}, "method.init", "holds no numbers"),
    "orthogonal, odd rank": ({"method__init": "orthogonal", "method__rank": 5}, "method.rank", "even rank, not 5"),
    "dpo's reference": ({"objective__kind": "dpo", "method__init": "pissa_niter_4"}, "method.init", "without its adapter"),
    "grpo's reference": (
        {"objective__kind": "grpo", "objective__grpo__beta": 0.1, "method__init": "olora", "training__global_batch_size": 8},
        "method.init", "without its adapter",
    ),
    "eva on pairs": ({"objective__kind": "dpo", "method__init": "eva"}, "method.init", "whole training rows"),
    "plain": ({"method__kind": "full", "method__weight_updates": "plain"}, "method.weight_updates", "hardly move"),
    "kahan in float32": (
        {"method__kind": "full", "method__weight_updates": "kahan", "model__dtype": "float32"}, "method.weight_updates", "are float32",
    ),
    "kahan with 8-bit states": (
        {"method__kind": "full", "method__weight_updates": "kahan", "training__optim": "adamw_8bit"}, "training.optim", "its own AdamW",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_refused(case: str) -> None:
    changes, path, reason = REFUSED[case]
    with pytest.raises(ConfigError) as raised:
        config(**changes)
    assert [problem.path for problem in raised.value.problems if reason in problem.message] == [path]


@pytest.mark.parametrize(
    "changes",
    [
        {"method__init": "pissa", "objective__kind": "orpo"},
        {"method__init": "pissa", "objective__kind": "reward"},
        {"method__init": "pissa", "objective__kind": "grpo", "objective__grpo__beta": 0.0, "training__global_batch_size": 8,
         "objective__rewards__rules": [{"kind": "length"}]},
        {"method__init": "eva", "method__kind": "qlora"},
        {"method__kind": "full", "method__weight_updates": "plain", "training__kernels": "none"},
        {"method__kind": "full", "method__weight_updates": "kahan", "model__dtype": "bfloat16"},
    ],
)  # fmt: skip
def test_allowed(changes: dict[str, object]) -> None:
    assert list(method_problems(config(**changes))) == []


@pytest.mark.parametrize(
    ("dtype", "kernels", "stated", "expected"),
    [
        ("bfloat16", "auto", "auto", "kahan"),
        ("bfloat16", "none", "auto", "plain"),
        ("float32", "auto", "auto", "float32"),
        ("float16", "auto", "auto", "float32"),
        ("bfloat16", "auto", "float32", "float32"),
        ("bfloat16", "none", "plain", "plain"),
    ],
)
def test_how_updates_are_kept(dtype: str, kernels: str, stated: str, expected: str) -> None:
    run = config(method__kind="full", model__dtype=dtype, training__kernels=kernels, method__weight_updates=stated)
    updates, why = weight_updates(run)
    assert updates == expected
    assert why.endswith(".")
