"""What a method does to the base: new tokens get rows, frozen layers stay, and what is not trained is told."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file
from transformers import PreTrainedModel

from desktop_ft.core.config import RunConfig, config_from_values, set_value
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import ErrorRaised, WarningRaised
from desktop_ft.engine.load import load_base_model, load_hf_tokenizer, lora_config
from desktop_ft.engine.merge import merge_adapter, put_adapter
from desktop_ft.engine.methods.base import freeze_layers, prepare_base
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work
from tests.helpers.tiny_models import TinySpec, make_model, make_tokenizer

CPU = DeviceFacts("cpu", "CPU", 0, 0)
ADDED = ("<|note|>", "<|done|>")


def config(**changes: object) -> RunConfig:
    values: dict[str, object] = {}
    for path, value in {"model.source": "demo", "data.train": "demo", "model.dtype": "float32", **changes}.items():
        values = set_value(values, path.replace("__", "."), value)
    return config_from_values(values, Path(), "run")


def rows_of(model: PreTrainedModel) -> torch.Tensor:
    return cast("torch.nn.Embedding", model.get_input_embeddings()).weight.detach()


def test_both_tokenizers_know_the_new_tokens_by_the_same_ids(tiny: Path) -> None:
    own, theirs = load_tokenizer(tiny, ADDED), load_hf_tokenizer(tiny, ADDED)
    text = "the sea<|note|> and the sky <|done|>"
    ids = own.encode(text, add_special_tokens=False).ids
    assert ids == theirs(text, add_special_tokens=False)["input_ids"]
    before = load_tokenizer(tiny)
    new = [own.encode(token, add_special_tokens=False).ids for token in ADDED]
    assert new == [[before.vocabulary_size], [before.vocabulary_size + 1]]
    assert own.is_special(new[0][0])
    assert own.sha256 != before.sha256
    assert load_tokenizer(tiny, ADDED[:1]).sha256 != own.sha256


def test_a_token_that_is_there_already_is_refused(tiny: Path) -> None:
    with pytest.raises(DesktopFtError) as raised:
        load_hf_tokenizer(tiny, ("<|im_end|>",))
    assert raised.value.code == "added_token_known"


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_a_grown_vocabulary_is_trained_saved_and_merged(tied: bool, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "base", TinySpec(tied=tied))
    settings, tokenizer = config(model__added_tokens=ADDED), load_hf_tokenizer(folder, ADDED)
    base = load_base_model(folder, torch.float32, "sdpa", CPU)
    num_before = rows_of(base).shape[0]
    prepare_base(settings, base, tokenizer)
    matrix = rows_of(base)
    assert matrix.shape[0] == len(tokenizer) == num_before + 2
    assert torch.allclose(matrix[-1], matrix[:num_before].mean(0), atol=1e-6)
    assert torch.equal(matrix[-1], matrix[-2])

    model = get_peft_model(base, lora_config(settings, base))
    whole = [name for name, parameter in model.named_parameters() if parameter.requires_grad and "lora" not in name]
    assert [name.split(".")[-4] for name in whole] == (["embed_tokens"] if tied else ["embed_tokens", "lm_head"])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    ids = torch.tensor([[5, 9, num_before, 7, num_before + 1, 11]])
    expected = model(input_ids=ids).logits.detach()
    model.save_pretrained(str(tmp_path / "adapter"))
    again = put_adapter(load_base_model(folder, torch.float32, "sdpa", CPU), tmp_path / "adapter")
    assert torch.allclose(again(input_ids=ids).logits, expected, atol=1e-5)
    merged = merge_adapter(again, "float32")
    merged.save_pretrained(str(tmp_path / "merged"))
    from_disk = load_base_model(tmp_path / "merged", torch.float32, "sdpa", CPU)
    assert from_disk.config.vocab_size == num_before + 2
    assert torch.allclose(from_disk(input_ids=ids).logits, expected, atol=1e-4)


def test_an_unknown_module_to_save_is_refused(tiny: Path) -> None:
    base = load_base_model(tiny, torch.float32, "sdpa", CPU)
    with pytest.raises(DesktopFtError) as raised:
        lora_config(config(method__modules_to_save=("lm_heat",)), base)
    assert raised.value.code == "modules_to_save_unknown"
    assert "lm_head" in raised.value.hint


def test_frozen_layers_stay_as_they_are(tiny: Path, pairs: Path, new_run: NewRun) -> None:
    settings = {
        "model.source": str(tiny), "data.train": str(pairs), "method.kind": "full", "method.num_frozen_layers": 1,
        "training.max_steps": 2, "training.activation_checkpointing": True, "evaluation.forgetting": False,
    }  # fmt: skip
    run = new_run("frozen", settings)
    assert work(run) == 0
    before, after = load_file(tiny / "model.safetensors"), load_file(run.model / "model.safetensors")
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if ".layers.0." in name or "embed_tokens" in name}
    assert len(same) == 10


def test_freezing_every_layer_is_refused(tiny: Path, pairs: Path, new_run: NewRun) -> None:
    settings = {"model.source": str(tiny), "data.train": str(pairs), "method.kind": "full", "method.num_frozen_layers": 2}
    run = new_run("all", settings)
    assert work(run) == 1
    assert [event.code for event in events_of(run, ErrorRaised)] == ["num_frozen_layers_too_many"]
    model = load_base_model(tiny, torch.float32, "sdpa", CPU)
    freeze_layers(model, 0)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mixture of four experts."""
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    folder = tmp_path_factory.mktemp("moe")
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    model = Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            vocab_size=320, hidden_size=64, intermediate_size=64, moe_intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, tie_word_embeddings=False,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({"method.use_dora": False}, True),
        ({"method.use_dora": True}, False),
        ({"method.use_dora": False, "method.init": "pissa"}, False),
        ({"method.use_dora": False, "method.dropout": 0.1, "method.kind": "qlora"}, False),
    ],
    ids=["lora", "dora", "pissa", "dropout, qlora"],
)
def test_experts_get_an_adapter_or_it_is_told(changes: dict[str, object], trained: bool, moe: Path, pairs: Path, new_run: NewRun) -> None:
    settings = {"model.source": str(moe), "data.train": str(pairs), "training.max_steps": 2, "data.max_length": 24}
    run = new_run("moe", {**settings, "evaluation.forgetting": False, **changes})
    assert work(run) == 0
    names = load_file(run.adapter / "adapter_model.safetensors").keys()
    assert any("experts" in name for name in names) == trained
    assert any("q_proj" in name for name in names)
    told = [event for event in events_of(run, WarningRaised) if event.code == "experts_not_trained"]
    assert bool(told) != trained
    if told:
        assert "use_dora to false" in told[0].hint


def test_an_adapter_on_experts_is_merged(moe: Path, tmp_path: Path) -> None:
    settings = config(method__use_dora=False, method__rank=4)
    base = load_base_model(moe, torch.float32, "sdpa", CPU)
    model = get_peft_model(base, lora_config(settings, base))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    ids = torch.arange(4, 36)[None]
    expected = model.eval()(input_ids=ids).logits.detach()
    model.save_pretrained(str(tmp_path / "adapter"))
    merged = merge_adapter(put_adapter(load_base_model(moe, torch.float32, "sdpa", CPU), tmp_path / "adapter"), "float32")
    assert (expected - load_base_model(moe, torch.float32, "sdpa", CPU)(input_ids=ids).logits).abs().max() > 0.05
    assert torch.allclose(merged(input_ids=ids).logits, expected, atol=1e-4)


def test_plain_bfloat16_is_told(tiny: Path, pairs: Path, new_run: NewRun) -> None:
    settings = {
        "model.source": str(tiny), "data.train": str(pairs), "method.kind": "full", "model.dtype": "bfloat16",
        "training.max_steps": 1, "training.learning_rate": 1e-5, "evaluation.forgetting": False,
    }  # fmt: skip
    run = new_run("plain", settings)
    assert work(run) == 0
    assert "plain_bfloat16" in [event.code for event in events_of(run, WarningRaised)]
