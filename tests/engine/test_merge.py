"""A merged model says what base + adapter says, to the rounding of the format it is saved in; a wrong one does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.exports import WeightDtype, stored_dtype
from desktop_ft.engine.merge import load_model, load_with_adapter, merge_to_folder
from desktop_ft.engine.verify import Comparison, Probe, compare_models
from tests.helpers.tiny_models import TinySpec, lora_config, make_adapter, make_model

KINDS = {
    "lora": lora_config(),
    "dora": lora_config(use_dora=True),
    "rslora": lora_config(use_rslora=True, r=16),
    "attention": lora_config(target_modules=["q_proj", "v_proj"]),
}


def probes() -> list[Probe]:
    generator = torch.Generator().manual_seed(7)
    rows = torch.randint(4, 320, (8, 24), generator=generator).tolist()
    return [Probe(tuple(row), tuple(range(23))) for row in rows]


def merged_against_trained(base: Path, adapter: Path, out: Path, dtype: WeightDtype, shard: str = "5GB") -> Comparison:
    out.mkdir()
    merge_to_folder(base, adapter, out, dtype, max_shard_size=shard)
    trained = load_with_adapter(base, adapter, stored_dtype(base))
    return compare_models(trained, load_model(out, dtype), probes())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_float32_merge_is_exact(tmp_path: Path, kind: str, tied: bool) -> None:
    base = make_model(tmp_path / "base", TinySpec(tied=tied))
    adapter = make_adapter(base, tmp_path / "adapter", KINDS[kind])
    result = merged_against_trained(base, adapter, tmp_path / "out", "float32")
    assert result.mean_kl < 1e-6
    assert result.top1_agreement == 1.0
    assert result.num_positions == 8 * 23
    change = compare_models(load_with_adapter(base, adapter, "float32"), load_model(base, "float32"), probes())
    assert change.mean_kl > 0.01, "the adapter changes too little for this test to mean anything"


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_merge_differs_by_rounding_only(tmp_path: Path, kind: str) -> None:
    base = make_model(tmp_path / "base", TinySpec(dtype=torch.bfloat16))
    adapter = make_adapter(base, tmp_path / "adapter", KINDS[kind])
    result = merged_against_trained(base, adapter, tmp_path / "out", "bfloat16")
    assert result.mean_kl <= 0.005
    assert stored_dtype(tmp_path / "out") == "bfloat16"


def test_merging_bfloat16_rounds_once(tmp_path: Path) -> None:
    """The merge of a bfloat16 base equals the float32 merge rounded at the end, bit for bit."""
    base = make_model(tmp_path / "base", TinySpec(dtype=torch.bfloat16))
    adapter = make_adapter(base, tmp_path / "adapter", KINDS["dora"])
    for dtype in ("bfloat16", "float32"):
        (tmp_path / dtype).mkdir()
        merge_to_folder(base, adapter, tmp_path / dtype, dtype)
    small, large = (load_file(tmp_path / dtype / "model.safetensors") for dtype in ("bfloat16", "float32"))
    assert small.keys() == large.keys()
    assert all(torch.equal(small[name], large[name].to(torch.bfloat16)) for name in small)


def test_shards_in_and_out(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", TinySpec(max_shard_size="100KB"))
    assert len(list(base.glob("*.safetensors"))) > 3
    adapter = make_adapter(base, tmp_path / "adapter", KINDS["lora"])
    result = merged_against_trained(base, adapter, tmp_path / "out", "float32", shard="150KB")
    assert result.mean_kl < 1e-6
    assert len(list((tmp_path / "out").glob("model-*-of-*.safetensors"))) > 2


def test_adapter_on_one_of_two_tied_matrices_unties_them(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", TinySpec(tied=True))
    adapter = make_adapter(base, tmp_path / "adapter", lora_config(target_modules=["embed_tokens", "q_proj"]), scale=0.3)
    result = merged_against_trained(base, adapter, tmp_path / "out", "float32")
    assert result.mean_kl < 1e-6
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert "lm_head.weight" in set(file.keys())


def test_whole_model_is_saved_in_sixteen_bit(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    trained = make_model(tmp_path / "trained", TinySpec(seed=5))
    (tmp_path / "out").mkdir()
    merge_to_folder(base, trained, tmp_path / "out", "bfloat16", is_adapter=False)
    result = compare_models(load_model(trained, "float32"), load_model(tmp_path / "out", "bfloat16"), probes())
    assert stored_dtype(tmp_path / "out") == "bfloat16"
    assert result.mean_kl <= 0.005


def test_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    adapter = make_adapter(base, tmp_path / "adapter", LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({name: weight for name, weight in weights.items() if "layers.1" not in name}, adapter / "adapter_model.safetensors")
    with pytest.raises(DesktopFtError) as raised:
        load_with_adapter(base, adapter, "float32")
    assert raised.value.code == "adapter_mismatch"


def test_broken_weights_are_refused(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    adapter = make_adapter(base, tmp_path / "adapter", KINDS["lora"])
    weights = load_file(adapter / "adapter_model.safetensors")
    name = next(iter(weights))
    weights[name][0, 0] = float("nan")
    save_file(weights, adapter / "adapter_model.safetensors")
    (tmp_path / "out").mkdir()
    with pytest.raises(DesktopFtError) as raised:
        merge_to_folder(base, adapter, tmp_path / "out", "float32")
    assert raised.value.code == "export_not_finite"
