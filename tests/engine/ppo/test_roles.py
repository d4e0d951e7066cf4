"""One base with adapters computes what four models of the same weights compute."""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.reward_model import RewardSource
from desktop_ft.core.runs import RunDir
from desktop_ft.engine.objectives import ppo
from desktop_ft.engine.objectives.parts import Parts
from desktop_ft.engine.ppo.loop import PpoTraining
from desktop_ft.engine.ppo.roles import ADAPTERS, Role, Roles, SharedBase, token_log_probs, token_values
from desktop_ft.engine.ppo.rows import Rows, make_rows
from desktop_ft.engine.reward_model import RewardModel, load_reward_model
from tests.engine.conftest import NewRun
from tests.engine.helpers import work
from tests.engine.ppo.ppo_runs import SETTINGS, assert_same, assert_same_weights, numbers, randomise, weights

NUM_UPDATES = 3


class FourModels:
    """Policy, value function and reference, each a whole model of its own in which no adapter is ever switched."""

    def __init__(self, shared: SharedBase) -> None:
        self._policy = shared.trained
        self._value, self._reference = copy.deepcopy(self._policy), copy.deepcopy(self._policy)
        self._value.set_adapter(ADAPTERS["value"])
        if ADAPTERS["reference"] in self._reference.peft_config:
            self._reference.set_adapter(ADAPTERS["reference"])
        else:
            cast("Any", self._reference.base_model).disable_adapter_layers()
        self._head = copy.deepcopy(cast("torch.nn.Linear", cast("torch.nn.ModuleDict", shared.learning)["head"]))
        self._policy.set_adapter(ADAPTERS["policy"])
        self.learning = torch.nn.ModuleDict({"model": self._policy, "value": self._value, "head": self._head})
        self._role: Role = "policy"

    @property
    def trained(self) -> PeftModel:
        return self._policy

    @property
    def models(self) -> list[PreTrainedModel]:
        return [cast("PreTrainedModel", model.get_base_model()) for model in (self._policy, self._value)]

    @contextmanager
    def playing(self, role: Role) -> Generator[None]:
        self._role = role
        yield
        self._role = "policy"

    def log_probs(self, rows: Rows) -> tuple[Tensor, Tensor]:
        model = self._reference if self._role == "reference" else self._policy
        return token_log_probs(model.get_base_model(), rows)

    def values(self, rows: Rows) -> Tensor:
        return token_values(cast("PreTrainedModel", self._value.get_base_model()).base_model, self._head, rows)

    def save(self, folder: Path) -> None:
        self._policy.save_pretrained(str(folder), selected_adapters=[ADAPTERS["policy"]])

    def load(self, folder: Path) -> None:
        raise AssertionError(folder)

    def dismiss(self) -> None:
        """The value function's weights are compared with the policy's."""


def _run_with(run: RunDir, monkeypatch: pytest.MonkeyPatch, *, apart: bool) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """Gradients of every step, and what was trained; adapters and head start at random, not at zero."""
    on_one_base, update = vars(ppo)["_on_one_base"], vars(PpoTraining)["_update"]
    gradients: list[dict[str, Tensor]] = []
    learning: list[torch.nn.Module] = []

    def made(parts: Parts, source: RewardSource | None) -> tuple[Roles, RewardModel | None]:
        roles, reward_model = on_one_base(parts, source)
        randomise(roles.learning)
        if apart:
            assert reward_model is not None
            roles = FourModels(roles)
            reward_model = load_reward_model(reward_model.source, DeviceFacts("cpu", "CPU", 1, 1))
        learning.append(roles.learning)
        return roles, reward_model

    def noted(training: PpoTraining) -> float:
        gradients.append(_by_role({name: weight.grad for name, weight in learning[0].named_parameters() if weight.grad is not None}))
        return update(training)

    monkeypatch.setattr(ppo, "_on_one_base", made)
    monkeypatch.setattr(PpoTraining, "_update", noted)
    monkeypatch.setattr(SharedBase, "dismiss", lambda self: None)
    assert work(run) == 0
    trained = _by_role({name: weight.detach() for name, weight in learning[0].named_parameters() if weight.requires_grad})
    return gradients, trained


def _by_role(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The value function's parameters under the names that they have on the shared base; of the others only what it trains."""
    found = {name.replace("value.base_model", "model.base_model"): tensor.clone() for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in found.items() if "reward_model" not in name and "reference_policy" not in name}


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("activation_checkpointing", [False, True])
def test_one_base_equals_four_models(
    activation_checkpointing: bool,
    use_dora: bool,
    tiny: Path,
    prompts: Path,
    reward_adapter: Path,
    new_run: NewRun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings: dict[str, object] = {
        **SETTINGS,
        "model.source": str(tiny),
        "data.train": str(prompts),
        "method.use_dora": use_dora,
        "training.activation_checkpointing": activation_checkpointing,
        "training.max_steps": NUM_UPDATES,
        "objective.rewards.model": str(reward_adapter),
    }
    shared, apart = new_run("shared", settings), new_run("apart", settings)
    with monkeypatch.context() as patch:
        gradients, trained = _run_with(shared, patch, apart=False)
    with monkeypatch.context() as patch:
        expected_gradients, expected = _run_with(apart, patch, apart=True)
    assert_same(numbers(shared), numbers(apart), 1e-5)
    assert len(gradients) == len(expected_gradients) == NUM_UPDATES
    for found, wanted in zip(gradients, expected_gradients, strict=True):
        assert any("lora_B.default" in name for name in wanted)
        assert any("lora_A.value_function" in name for name in wanted)
        assert "head.weight" in wanted
        assert_same_weights(found, wanted, 1e-5)
    assert_same_weights(trained, expected, 1e-5)
    assert_same_weights(weights(shared.adapter), weights(apart.adapter), 1e-5)


def test_a_joint_backward_pass_is_what_playing_prevents(
    tiny: Path, prompts: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With checkpointing, the policy's gradient comes out wrong, without an error, where another adapter is on in its backward pass."""
    settings: dict[str, object] = {
        **SETTINGS,
        "model.source": str(tiny),
        "data.train": str(prompts),
        "training.max_steps": 1,
        "training.activation_checkpointing": True,
    }
    on_one_base = vars(ppo)["_on_one_base"]
    found: list[SharedBase] = []

    def kept(parts: Parts, source: RewardSource | None) -> tuple[Roles, RewardModel | None]:
        roles, reward_model = on_one_base(parts, source)
        found.append(roles)
        return roles, reward_model

    monkeypatch.setattr(ppo, "_on_one_base", kept)
    monkeypatch.setattr(SharedBase, "dismiss", lambda self: None)
    assert work(new_run("run", settings)) == 0
    roles = found[0]
    randomise(roles.learning)
    roles.learning.train()
    rows = make_rows([[5, 6, 7], [8, 9]], [[10, 11], [12, 13, 14]], 0, torch.device("cpu"))
    policy = [weight for name, weight in roles.learning.named_parameters() if "lora_A.default" in name]

    roles.log_probs(rows)[0].sum().backward()
    right = [cast("Tensor", weight.grad).clone() for weight in policy]
    roles.learning.zero_grad()
    log_probs = roles.log_probs(rows)[0].sum()
    with roles.playing("value"):
        (log_probs + roles.values(rows).sum()).backward()
    wrong = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in policy]
    assert max(float((one - other).abs().max()) for one, other in zip(right, wrong, strict=True)) > 1e-3


def test_a_reward_model_on_the_shared_base_scores_as_it_does_alone(
    tiny: Path, prompts: Path, reward_adapter: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, object] = {
        **SETTINGS, "model.source": str(tiny), "data.train": str(prompts), "training.max_steps": 1, "objective.rewards.rules": [],
        "objective.rewards.model": str(reward_adapter),
    }  # fmt: skip
    on_one_base = vars(ppo)["_on_one_base"]
    scores: list[tuple[Tensor, Tensor]] = []
    alone = load_reward_model(reward_adapter, DeviceFacts("cpu", "CPU", 1, 1))
    questions, answers = ["the quick brown", "seven small boats sail", "a"], ["fox", "to the sea and", "lazy dog jumps"]

    def compared(parts: Parts, source: RewardSource | None) -> tuple[Roles, RewardModel | None]:
        roles, reward_model = on_one_base(parts, source)
        scores.append((reward_model.score(questions, answers), alone.score(questions, answers)))
        return roles, reward_model

    monkeypatch.setattr(ppo, "_on_one_base", compared)
    assert work(new_run("run", settings)) == 0
    found, expected = scores[0]
    assert float(expected.std()) > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
