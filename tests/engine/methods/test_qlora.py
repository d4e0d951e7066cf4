"""A 4-bit base: the same in evaluation as in training, and merged as it was trained."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model

from desktop_ft.core.config.schema import QuantizationConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import SampleDone
from desktop_ft.core.job import GenerateRequest, create_job_in
from desktop_ft.engine import generate as generate_room
from desktop_ft.engine.jobs import run_job
from desktop_ft.engine.load import load_base_model
from desktop_ft.engine.merge import FourBit, load_model, load_with_adapter, merged_model
from desktop_ft.engine.methods.quantization import keep_quantization, kept_quantization
from tests.helpers.tiny_models import lora_config

CPU = DeviceFacts("cpu", "CPU", 0, 0)
IDS = torch.arange(4, 52).reshape(2, 24)
KINDS = {"nf4": QuantizationConfig(), "fp4": QuantizationConfig(quant_type="fp4", double_quant=False)}


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits.float()


def adapted(base: Path, quantization: QuantizationConfig, dtype: torch.dtype, *, use_dora: bool) -> PeftModel:
    """In 4 bit with an adapter that says something."""
    model = load_base_model(base, dtype, "sdpa", CPU, quantization=quantization)
    torch.manual_seed(1)
    adapter = get_peft_model(model, lora_config(use_dora=use_dora))
    with torch.no_grad():
        for name, parameter in adapter.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return adapter


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("use_dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_says_what_training_says(kind: str, use_dora: bool, dtype: torch.dtype, tiny: Path) -> None:
    """Also after an evaluation, which on some CPUs would re-pack the weights and leave garbage to DoRA's norm."""
    model = adapted(tiny, KINDS[kind], dtype, use_dora=use_dora)
    in_training = logits(model.train())
    in_evaluation = logits(model.eval())
    assert torch.equal(in_evaluation, in_training)
    assert torch.equal(logits(model.train()), in_training)


def test_the_switch_that_keeps_4_bit_layers_as_they_are_is_there(tiny: Path) -> None:
    from bitsandbytes.nn.modules import Linear4bit

    layer = Linear4bit(64, 64)
    assert hasattr(layer, "support_avx512bf16_for_cpu"), "bitsandbytes decides in another way: keep_unpacked() has no effect any more"
    model = load_base_model(tiny, torch.float32, "sdpa", CPU, quantization=KINDS["nf4"])
    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    assert len(layers) == 14
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)


@pytest.mark.parametrize("use_dora", [False, True], ids=["lora", "dora"])
def test_the_merge_goes_into_the_dequantised_base(use_dora: bool, tiny: Path, tmp_path: Path) -> None:
    model = adapted(tiny, KINDS["nf4"], torch.bfloat16, use_dora=use_dora)
    trained = logits(model.eval())
    model.save_pretrained(str(tmp_path))
    four_bit = FourBit(KINDS["nf4"], CPU)

    apart = load_with_adapter(tiny, tmp_path, "bfloat16", four_bit)
    assert torch.allclose(logits(apart), trained, atol=0.02)
    merged = merged_model(tiny, tmp_path, "float32", trained_in="bfloat16", four_bit=four_bit)
    into_original = merged_model(tiny, tmp_path, "float32")
    assert getattr(merged.config, "quantization_config", None) is None
    assert {type(merged.model.layers[0].mlp.up_proj)} == {torch.nn.Linear}
    error, other = (logits(merged) - trained).abs().mean(), (logits(into_original) - trained).abs().mean()
    assert error < 0.01
    assert other > 5 * error, "the quantisation changes too little for this test to mean anything"


def test_only_the_linear_layers_are_quantised_and_the_head_scores(tiny: Path) -> None:
    torch.manual_seed(0)
    scorer = load_base_model(tiny, torch.bfloat16, "sdpa", CPU, head="score", quantization=QuantizationConfig(compute_dtype="float32"))
    kinds = {name.rpartition(".")[2]: type(module).__name__ for name, module in scorer.named_modules() if hasattr(module, "weight")}
    assert kinds["q_proj"] == kinds["down_proj"] == "Linear4bit"
    assert kinds["score"] == "Linear"
    assert kinds["embed_tokens"] == "Embedding"
    assert scorer.model.layers[0].mlp.up_proj.compute_dtype == torch.float32
    assert logits(scorer).shape == (2, 1)


def test_the_format_of_the_base_is_kept_beside_the_adapter(tmp_path: Path) -> None:
    assert kept_quantization(tmp_path) is None
    keep_quantization(KINDS["fp4"], tmp_path)
    assert kept_quantization(tmp_path) == KINDS["fp4"]


def test_the_trained_model_answers_in_4_bit(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted(tiny, KINDS["nf4"], torch.float32, use_dora=True).save_pretrained(str(tmp_path / "adapter"))
    keep_quantization(KINDS["nf4"], tmp_path / "adapter")
    loaded: list[torch.nn.Module] = []
    real = generate_room.load_base_model

    def kept(*parts: Any, **settings: Any) -> Any:  # noqa: ANN401 - as the room's own
        loaded.append(real(*parts, **settings))
        return loaded[-1]

    monkeypatch.setattr(generate_room, "load_base_model", kept)
    job = create_job_in(tmp_path / "jobs", GenerateRequest(str(tiny), ("the sky",), adapter=tmp_path / "adapter", max_new_tokens=4))
    assert run_job(job.path) == 0
    assert [event.prompt for event in EventTail(job.events_file).read_all() if isinstance(event, SampleDone)] == ["the sky"]
    assert getattr(loaded[0], "is_loaded_in_4bit", False)


def test_dequantised_weights_are_those_that_the_layers_compute_with(tiny: Path) -> None:
    quantised = load_base_model(tiny, torch.bfloat16, "sdpa", CPU, quantization=KINDS["nf4"]).eval()
    plain = load_model(tiny, "bfloat16", FourBit(KINDS["nf4"], CPU))
    assert torch.equal(logits(plain), logits(quantised))


def test_without_bitsandbytes_it_says_so(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "bitsandbytes" else found(name, *more))
    with pytest.raises(DesktopFtError) as raised:
        load_base_model(tiny, torch.float32, "sdpa", CPU, quantization=KINDS["nf4"])
    assert raised.value.code == "bitsandbytes_missing"
    assert "lora" in raised.value.hint
