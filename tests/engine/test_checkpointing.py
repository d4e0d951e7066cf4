"""Which layers are computed again, and where what waits for it waits; a step's result stays the same."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, cast

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from desktop_ft.core.config.schema import TrainingConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.engine.checkpointing import checkpoint_as_stated


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "vocab_size": 40}
    return LlamaForCausalLM(LlamaConfig(num_hidden_layers=3, **cast("Any", sizes)))


def training(**changes: object) -> TrainingConfig:
    return TrainingConfig.model_validate({"activation_checkpointing": True, **changes})


def again(model: LlamaForCausalLM) -> list[bool]:
    return [bool(layer.gradient_checkpointing) for layer in model.model.layers]


def gradient(model: LlamaForCausalLM) -> torch.Tensor:
    ids = torch.arange(24).reshape(2, 12)
    model.train()
    cast("Any", model)(input_ids=ids, labels=ids).loss.backward()
    weight = model.get_parameter("model.layers.0.mlp.down_proj.weight")
    return cast("torch.Tensor", weight.grad).clone()


def test_every_second_layer_stays_so_when_trl_turns_it_off_and_on() -> None:
    model = tiny_llama()
    checkpoint_as_stated(training(checkpoint_every_n_layers=2), model)
    model.activation_checkpointing_enable()
    assert again(model) == [True, False, True]
    model.gradient_checkpointing_disable()
    assert not any(again(model))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert again(model) == [True, False, True]


def test_a_steps_result_does_not_depend_on_it() -> None:
    plain = gradient(tiny_llama())
    model = tiny_llama()
    checkpoint_as_stated(training(checkpoint_every_n_layers=2), model)
    model.activation_checkpointing_enable()
    assert torch.equal(gradient(model), plain)


def test_what_waits_goes_to_main_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[torch.Size] = []

    @contextlib.contextmanager
    def save_on_cpu(**_: object) -> Generator[None]:
        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sent.append(tensor.shape)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield

    monkeypatch.setattr("transformers.modeling_utils.save_on_cpu", save_on_cpu)
    model = tiny_llama()
    checkpoint_as_stated(training(offload_checkpoints=True), model)
    model.activation_checkpointing_enable()
    assert torch.equal(gradient(model), gradient(tiny_llama()))
    assert sent.count(torch.Size([2, 12, 16])) >= 3


def test_a_copy_of_the_model_turns_its_own_layers() -> None:
    import copy

    model = tiny_llama()
    checkpoint_as_stated(training(checkpoint_every_n_layers=3), model)
    twin = copy.deepcopy(model)
    twin.activation_checkpointing_enable()
    assert again(twin) == [True, False, False]
    assert not any(again(model))


def test_more_layers_than_there_are_are_refused() -> None:
    with pytest.raises(DesktopFtError) as caught:
        checkpoint_as_stated(training(checkpoint_every_n_layers=4), tiny_llama())
    assert caught.value.code == "checkpoint_every_n_layers_too_many"
