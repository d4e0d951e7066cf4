"""An adapter at its first step is the base; PiSSA's and OLoRA's result is a plain LoRA of the base that everybody has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from desktop_ft.core.config import RunConfig, config_from_values, set_value
from desktop_ft.core.data.tokenise import TokenisedExample
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.engine.load import load_base_model, lora_config
from desktop_ft.engine.merge import put_adapter
from desktop_ft.engine.methods.eva import start_from_data
from desktop_ft.engine.methods.start import AdapterStart, make_plain

CPU = DeviceFacts("cpu", "CPU", 0, 0)
IDS = torch.arange(4, 44).reshape(2, 20)


def config(**changes: object) -> RunConfig:
    values: dict[str, object] = {}
    for path, value in {"model.source": "demo", "data.train": "demo", "method.rank": 4, **changes}.items():
        values = set_value(values, path.replace("__", "."), value)
    return config_from_values(values, Path(), "start")


def up_proj(model: torch.nn.Module, layer: int) -> Any:  # noqa: ANN401 - a linear layer, or PEFT's around it
    return model.get_submodule(f"model.layers.{layer}.mlp.up_proj")


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def disturb(model: PeftModel) -> None:
    """As if it had been trained."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


STARTS = [
    *((init, kind) for init in ("default", "gaussian", "eva") for kind in ("lora", "qlora")),
    *((init, "lora") for init in ("orthogonal", "pissa", "pissa_niter_4", "olora")),  # refused over a 4-bit base
]


@pytest.mark.parametrize("use_dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize(("init", "kind"), STARTS)
def test_at_the_first_step_the_model_is_the_base(init: str, use_dora: bool, kind: str, tiny: Path) -> None:
    settings = config(method__kind=kind, method__init=init, method__use_dora=use_dora, method__use_rslora=True)
    quantization = settings.method.quantization if kind == "qlora" else None
    base = load_base_model(tiny, torch.float32, "sdpa", CPU, quantization=quantization)
    before = logits(base)
    torch.manual_seed(0)
    model = get_peft_model(base, lora_config(settings, base))
    assert torch.allclose(logits(model), before, atol=1e-5)
    disturb(model)
    assert (logits(model) - before).abs().max() > 0.01


@pytest.mark.parametrize("init", ["pissa", "pissa_niter_4", "olora"])
@pytest.mark.parametrize("variant", [{}, {"method__use_dora": True}, {"method__use_rslora": True}], ids=["lora", "dora", "rslora"])
def test_what_took_weights_out_of_the_base_is_saved_as_a_plain_adapter(
    init: str, variant: dict[str, object], tiny: Path, tmp_path: Path
) -> None:
    settings = config(method__init=init, **{"method__use_dora": False, **variant})
    base = load_base_model(tiny, torch.float32, "sdpa", CPU)
    before = up_proj(base, 0).weight.detach().clone()
    model = get_peft_model(base, lora_config(settings, base))
    start = AdapterStart(settings, None)
    start.settle(model, (), 0)
    layer = up_proj(model.get_base_model(), 0).base_layer
    assert (layer.weight - before).abs().max() > 1e-3, "nothing was taken out, so this test means nothing"
    disturb(model)
    expected = logits(model)
    for folder in ("checkpoint", "result"):
        model.save_pretrained(str(tmp_path / folder))
        start.write(tmp_path / folder)
    make_plain(tmp_path / "result")

    plain = PeftModel.from_pretrained(load_base_model(tiny, torch.float32, "sdpa", CPU), str(tmp_path / "result"))
    assert torch.allclose(logits(plain), expected, atol=2e-5)
    assert cast("LoraConfig", plain.peft_config["default"]).r == 8
    assert sorted(path.name for path in (tmp_path / "result").glob("*.safetensors")) == ["adapter_model.safetensors"]
    of_checkpoint = put_adapter(load_base_model(tiny, torch.float32, "sdpa", CPU), tmp_path / "checkpoint")
    assert torch.equal(logits(of_checkpoint), logits(plain.eval()))

    resumed = get_peft_model(load_base_model(tiny, torch.float32, "sdpa", CPU), lora_config(settings, base, is_new=False))
    AdapterStart(settings, tmp_path / "checkpoint").settle(resumed, (), 0)
    again = up_proj(resumed.get_base_model(), 0).base_layer
    assert torch.equal(again.weight, layer.weight)


def rows(count: int) -> list[TokenisedExample]:
    generator = torch.Generator().manual_seed(1)
    ids = [tuple(torch.randint(4, 60, (12,), generator=generator).tolist()) for _ in range(count)]
    return [TokenisedExample(row, (*[-100] * 4, *row[4:]), False, 8, True) for row in ids]


def test_eva_starts_where_the_rows_excite_the_layers(tiny: Path) -> None:
    """The four directions of A hold more of the inputs' energy than any other start, and B is zero."""
    base = load_base_model(tiny, torch.float32, "sdpa", CPU)
    inputs: list[torch.Tensor] = []
    handle = up_proj(base, 1).register_forward_hook(lambda _m, args, _o: inputs.append(args[0]))
    with torch.no_grad():
        for row in rows(40):
            base(input_ids=torch.tensor([row.input_ids]))
    handle.remove()
    seen = torch.cat([part[0, 4:] for part in inputs])
    seen = seen - seen.mean(0)

    def share_held(a: torch.Tensor) -> float:
        q, _ = torch.linalg.qr(a.T)
        return float((seen @ q).square().sum() / seen.square().sum())

    held: dict[str, float] = {}
    for init in ("default", "eva"):
        model = get_peft_model(load_base_model(tiny, torch.float32, "sdpa", CPU), lora_config(config(method__init=init), base))
        if init == "eva":
            state = torch.get_rng_state()
            start_from_data(model, rows(40), 4, 0, seed=1)
            assert torch.equal(torch.get_rng_state(), state)
        layer = up_proj(model.get_base_model(), 1)
        assert layer.lora_A["default"].weight.shape == (4, 64)
        assert not layer.lora_B["default"].weight.any()
        held[init] = share_held(layer.lora_A["default"].weight.detach())
    best = float(torch.linalg.svdvals(seen)[:4].square().sum() / seen.square().sum())
    assert held["eva"] > 0.9 * best
    assert held["default"] < 0.6 * best


def test_eva_says_when_it_cannot_settle(tiny: Path) -> None:
    base = load_base_model(tiny, torch.float32, "sdpa", CPU)
    model = get_peft_model(base, lora_config(config(method__init="eva", method__rank=16), base))
    with pytest.raises(DesktopFtError) as raised:
        start_from_data(model, rows(1), 16, 0, seed=1)
    assert raised.value.code == "eva_not_settled"
    with pytest.raises(DesktopFtError) as raised:
        start_from_data(model, rows(1), 65, 0, seed=1)
    assert raised.value.code == "eva_rank_too_high"


def test_the_plain_adapter_keeps_alpha_over_rank(tiny: Path, tmp_path: Path) -> None:
    base = load_base_model(tiny, torch.float32, "sdpa", CPU)
    settings = config(method__init="pissa", method__use_rslora=True, method__use_dora=False)
    model = get_peft_model(base, lora_config(settings, base))
    start = AdapterStart(settings, None)
    start.settle(model, (), 0)
    model.save_pretrained(str(tmp_path))
    start.write(tmp_path)
    make_plain(tmp_path)
    saved = cast("LoraConfig", LoraConfig.from_pretrained(str(tmp_path)))
    assert saved.lora_alpha / saved.r**0.5 == pytest.approx(32 / 4**0.5)
    weights = load_file(tmp_path / "adapter_model.safetensors")
    name = next(name for name in weights if name.endswith("lora_A.weight"))
    delta = weights[name.replace("lora_A", "lora_B")] @ weights[name]
    assert delta.abs().max() < 1e-5
