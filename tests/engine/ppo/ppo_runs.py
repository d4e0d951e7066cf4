"""Prompts and settings of the PPO runs here, and what to compare of them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from desktop_ft.core.events import StepDone
from desktop_ft.core.runs import RunDir
from tests.engine.conftest import sentence
from tests.engine.helpers import events_of

Numbers = dict[int, dict[str, float]]

SETTINGS: dict[str, object] = {
    "data.format": "prompts",
    "training.global_batch_size": 4,
    "training.micro_batch_size": 2,
    "training.lr_scheduler_type": "constant",
    "training.warmup_steps": 0,
    "objective.kind": "ppo",
    "objective.rollout.max_completion_length": 12,
    "objective.ppo.num_ppo_epochs": 2,
    "objective.ppo.num_mini_batches": 2,
    "objective.rewards.rules": [{"kind": "regex", "pattern": "[aeiou].*[aeiou]", "weight": 2.0}, {"kind": "regex", "pattern": "^.?[a-m]"}],
    "output.save_steps": 100,
    "output.keep_best": False,
    "evaluation.eval_steps": 100,
}
"""Rollouts of 8 answers, learnt from in 4 steps; rules that a random model fulfils now and then."""


def prompt_rows(count: int, *, as_chat: bool = False) -> list[dict[str, object]]:
    """Prompts of different lengths."""
    texts = [sentence(number, 2 + number * 3 % 7) for number in range(count)]
    return [{"prompt": [{"role": "user", "content": text}] if as_chat else text} for text in texts]


def numbers(run: RunDir) -> Numbers:
    """What each step told, times and memory aside; the last telling counts."""
    return {
        step.step: {**step.metrics, **{name: getattr(step, name) for name in ("loss", "grad_norm", "learning_rate", "num_tokens", "epoch")}}
        for step in events_of(run, StepDone)
    }


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The trained weights in a result's folder."""
    name = "adapter_model.safetensors" if (folder / "adapter_model.safetensors").is_file() else "model.safetensors"
    return load_file(folder / name)


def assert_same(found: Numbers, expected: Numbers, tolerance: float = 0.0) -> None:
    """Every number of every step."""
    assert list(found) == list(expected)
    for step, told in expected.items():
        assert found[step].keys() == told.keys()
        for name, value in told.items():
            assert abs(found[step][name] - value) <= tolerance * max(1.0, abs(value)), (step, name, found[step][name], value)


def assert_same_weights(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float = 0.0) -> None:
    """Every weight."""
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")


def randomise(module: torch.nn.Module, seed: int = 1) -> None:
    """Give every adapter and head weights that are not zero, the same at every call."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "reward_model" not in name and ("lora_B" in name or name.startswith("head")):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
