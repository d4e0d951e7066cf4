"""DoRA from its parts equals PEFT's to rounding, keeps no dense matrix, and leaves an untouched model as it was."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import BitsAndBytesConfig, GPT2Config, GPT2LMHeadModel, LlamaForCausalLM, PreTrainedModel

from desktop_ft.engine.methods.dora import LeanDora, make_lean
from tests.helpers.tiny_models import lora_config, make_model

IDS = torch.arange(40, 72).reshape(2, 16)


@pytest.fixture(scope="module")
def base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"))


def llama(folder: Path, *, in_4_bit: bool = False, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4") if in_4_bit else None
    loaded = LlamaForCausalLM.from_pretrained(str(folder), dtype=dtype, quantization_config=quantization)
    return cast("PreTrainedModel", loaded)


def gpt2() -> PreTrainedModel:
    """Its linear layers have biases and their weights lie the other way round."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=320, n_positions=64, n_embd=32, n_layer=2, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    )
    for name, bias in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(bias)
    return cast("PreTrainedModel", model)


def with_dora(model: PreTrainedModel, *, touched: bool = True, **options: object) -> PeftModel:
    torch.manual_seed(1)
    adapted = cast("PeftModel", get_peft_model(model, lora_config(use_dora=True, **options)))
    if touched:
        with torch.no_grad():
            for name, weight in adapted.named_parameters():
                if "lora_B" in name:
                    weight.normal_(std=0.1)
                elif "magnitude" in name:
                    weight.mul_(1 + 0.2 * torch.rand_like(weight))
    return adapted.train()


def loss_and_gradients(model: PeftModel) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(2)
    loss = model(input_ids=IDS, labels=IDS).loss
    loss.backward()
    return loss.detach(), {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def assert_alike(model: PeftModel, tolerance: float = 1e-5) -> None:
    ours = copy.deepcopy(model)
    assert make_lean(ours) > 0
    loss, gradients = loss_and_gradients(model)
    our_loss, our_gradients = loss_and_gradients(ours)
    assert our_loss == pytest.approx(loss.item(), rel=tolerance)
    assert our_gradients.keys() == gradients.keys()
    assert any("magnitude" in name for name in gradients)
    for name, gradient in gradients.items():
        assert torch.allclose(our_gradients[name], gradient, rtol=1e-3, atol=tolerance * gradient.abs().max().item()), name


@pytest.mark.parametrize("options", [{}, {"lora_dropout": 0.3}, {"use_rslora": True}, {"target_modules": ["q_proj", "down_proj"]}])
def test_loss_and_every_gradient_equal_pefts(options: dict[str, object], base_dir: Path) -> None:
    assert_alike(with_dora(llama(base_dir), touched=True, **options))


def test_biases_and_turned_weights(base_dir: Path) -> None:
    assert_alike(with_dora(gpt2(), target_modules=["c_attn", "c_fc", "c_proj"], fan_in_fan_out=True))


def test_over_a_4_bit_base(base_dir: Path) -> None:
    peft, ours = (with_dora(llama(base_dir, in_4_bit=True)) for _ in range(2))
    make_lean(ours)
    (loss, gradients), (our_loss, our_gradients) = loss_and_gradients(peft), loss_and_gradients(ours)
    assert our_loss == pytest.approx(loss.item(), rel=1e-5)
    assert all(torch.allclose(our_gradients[name], gradient, rtol=1e-3, atol=1e-6) for name, gradient in gradients.items())


def test_with_every_block_computed_again(base_dir: Path) -> None:
    model = with_dora(llama(base_dir))
    cast("PreTrainedModel", model.get_base_model()).activation_checkpointing_enable()
    model.enable_input_require_grads()
    assert_alike(model)


def test_in_bfloat16_an_untouched_adapter_changes_nothing(base_dir: Path) -> None:
    """PEFT rounds the magnitudes; the model then differs from its own reference before it has learnt anything."""
    peft = with_dora(llama(base_dir, dtype=torch.bfloat16), touched=False)
    ours = copy.deepcopy(peft)
    make_lean(ours)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        with ours.disable_adapter():
            reference = ours(input_ids=IDS).logits
        assert torch.equal(ours(input_ids=IDS).logits, reference)
        assert not torch.equal(peft(input_ids=IDS).logits, reference)


def kept_bytes(model: PeftModel) -> int:
    """What the forward pass keeps for the backward pass, each storage once, weights left out."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(input_ids=IDS, labels=IDS).loss
    assert loss.requires_grad
    return sum(kept.values())


def test_keeps_no_dense_matrix_and_no_float32_output(base_dir: Path) -> None:
    peft = with_dora(llama(base_dir, dtype=torch.bfloat16))
    ours, plain = copy.deepcopy(peft), cast("PeftModel", get_peft_model(llama(base_dir, dtype=torch.bfloat16), lora_config()))
    make_lean(ours)
    outputs = 2 * sum(4 * width for width in (64, 32, 32, 64, 96, 96, 64)) * IDS.numel()
    assert kept_bytes(ours) < kept_bytes(peft)
    assert kept_bytes(ours) <= kept_bytes(plain.train()) + outputs + 4 * 2 * 7 * 96 * 4


def test_names_and_saved_weights_stay(base_dir: Path) -> None:
    model = with_dora(llama(base_dir, dtype=torch.bfloat16))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert make_lean(model) == 14
    assert make_lean(model) == 0
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], weight) for name, weight in after.items())
    assert sum(isinstance(module, LeanDora) for module in model.modules()) == 14


def test_plain_lora_has_nothing_to_change(base_dir: Path) -> None:
    assert make_lean(cast("PeftModel", get_peft_model(llama(base_dir), LoraConfig(target_modules="all-linear")))) == 0
