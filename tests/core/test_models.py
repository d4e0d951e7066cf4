"""Models on disk: facts from headers, and one clear refusal for each thing that can be wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.hub_cache import scan_hub_cache
from desktop_ft.core.model_files import tokenizer_num_ids
from desktop_ft.core.models import model_from_config, read_model, resolve_model

CONFIG: dict[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
    "vocab_size": 10,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "dtype": "bfloat16",
}
NUM_PARAMETERS = 10 * 8 + 8 * (8 + 2 * 4) + 8 * 8 + 3 * 8 * 16 + 3 * 8
"""Embedding, q k v, o, MLP, norms."""


def write_safetensors(path: Path, tensors: dict[str, list[int]], dtype: str = "BF16", size: int = 2) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        count = 1
        for length in shape:
            count *= length
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + count * size]}
        end += count * size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


def write_tokenizer(folder: Path, num_tokens: int, added: int | None = None) -> None:
    value: dict[str, object] = {
        "model": {"type": "BPE", "vocab": {f"t{number}": number for number in range(num_tokens)}},
        "added_tokens": [] if added is None else [{"id": added, "content": "<end>"}],
    }
    (folder / "tokenizer.json").write_text(json.dumps(value), encoding="utf-8")


EMBEDDING = {"model.embed_tokens.weight": [10, 8]}
REST = {"model.layers.0.rest": [NUM_PARAMETERS - 80]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-llama"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    (path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n", encoding="utf-8")
    (path / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    (path / "generation_config.json").write_text("{}", encoding="utf-8")
    write_safetensors(path / "model.safetensors", EMBEDDING | REST)
    write_tokenizer(path, 9, added=9)
    return path


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(DesktopFtError) as caught:
        action()
    error = caught.value
    assert error.title
    assert error.message
    assert error.hint
    return error.code


def test_the_facts_of_a_folder(folder: Path) -> None:
    model = read_model(folder)
    assert (model.name, model.architecture, model.num_parameters) == ("tiny-llama", "LlamaForCausalLM", NUM_PARAMETERS)
    assert model.shape is not None
    assert model.shape.num_parameters == NUM_PARAMETERS
    assert (model.context_length, model.dtype, model.license) == (512, "bfloat16", "apache-2.0")
    assert (model.has_chat_template, model.has_generation_config, model.needs_remote_code) == (True, True, False)
    assert model.weight_files == (folder / "model.safetensors",)
    assert model.num_weight_bytes == (folder / "model.safetensors").stat().st_size


def test_shards_are_added_up(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_safetensors(folder / "a.safetensors", EMBEDDING, "F32", 4)
    write_safetensors(folder / "b.safetensors", REST, "F32", 4)
    index = {"weight_map": {"model.embed_tokens.weight": "a.safetensors", "model.layers.0.rest": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    model = read_model(folder)
    assert (model.num_parameters, model.dtype, len(model.weight_files)) == (NUM_PARAMETERS, "float32", 2)
    (folder / "b.safetensors").unlink()
    assert code_of(lambda: read_model(folder)) == "model_shard_missing"


def test_weights_that_are_cut_off_are_found_by_their_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert code_of(lambda: read_model(folder)) == "model_weights_damaged"
    path.write_bytes(whole[:20])
    assert code_of(lambda: read_model(folder)) == "model_weights_damaged"
    path.write_bytes(b"")
    assert code_of(lambda: read_model(folder)) == "model_weights_damaged"
    path.write_bytes((4).to_bytes(8, "little") + b"\xff\xfe\xfd\xfc")
    assert code_of(lambda: read_model(folder)) == "model_weights_damaged"


def test_no_weights_and_pickle_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert code_of(lambda: read_model(folder)) == "model_no_weights"
    (folder / "model.gguf").write_bytes(b"GGUF")
    assert code_of(lambda: read_model(folder)) == "model_no_weights"
    (folder / "pytorch_model.bin").write_bytes(b"x" * 100)
    assert code_of(lambda: read_model(folder)) == "model_pickle_only"
    consented = read_model(folder, allow_pickle=True)
    assert (consented.num_parameters, consented.num_weight_bytes) == (NUM_PARAMETERS, 100)


def test_tokenizer_missing_foreign_or_damaged(folder: Path) -> None:
    write_tokenizer(folder, 10, added=10)
    assert code_of(lambda: read_model(folder)) == "tokenizer_mismatch"
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    assert code_of(lambda: read_model(folder)) == "tokenizer_unreadable"
    (folder / "tokenizer.json").unlink()
    assert code_of(lambda: read_model(folder)) == "tokenizer_missing"


def test_a_unigram_vocabulary_is_a_list(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"type": "Unigram", "vocab": [["a", -1.0], ["b", -2.0]]}}), encoding="utf-8")
    assert tokenizer_num_ids(path) == 2


def test_an_adapter_a_quantized_model_and_an_empty_folder_are_told_apart(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert code_of(lambda: read_model(empty)) == "model_config_missing"
    (empty / "adapter_config.json").write_text("{}", encoding="utf-8")
    assert code_of(lambda: read_model(empty)) == "model_is_adapter"
    (folder / "config.json").write_text(json.dumps({**CONFIG, "quantization_config": {"quant_method": "gptq"}}), encoding="utf-8")
    assert code_of(lambda: read_model(folder)) == "model_quantized"
    (folder / "config.json").write_text("[1]", encoding="utf-8")
    assert code_of(lambda: read_model(folder)) == "model_config_unreadable"


def test_an_unknown_architecture_can_still_be_trained(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "novel", "auto_map": {}, "vocab_size": 10}), encoding="utf-8")
    model = read_model(folder)
    assert (model.shape, model.num_parameters, model.needs_remote_code) == (None, NUM_PARAMETERS, True)
    assert code_of(model.known_shape) == "model_architecture_unknown"


@pytest.mark.parametrize(
    "card, license_name",
    [
        ("---\nlicense: other\nlicense_name: my-terms\n---\n", "my-terms"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\nlicense: [\n---\n", ""),
        ("# No front matter\nlicense: mit\n", ""),
    ],
)
def test_licence_of_the_card(folder: Path, card: str, license_name: str) -> None:
    (folder / "README.md").write_text(card, encoding="utf-8")
    assert read_model(folder).license == license_name


def test_chat_template_inside_the_tokenizer_config(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    assert not read_model(folder).has_chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}), encoding="utf-8")
    assert read_model(folder).has_chat_template


def test_config_alone_is_enough_for_an_outline(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    for source in (tmp_path, tmp_path / "config.json"):
        model = model_from_config(source)
        assert (model.num_parameters, model.weight_files, model.dtype) == (NUM_PARAMETERS, (), "bfloat16")
    assert model_from_config(CONFIG, "named").name == "named"


# --- finding ---------------------------------------------------------------------------------------------------------


def put_into_cache(cache: Path, model: Path, repo_id: str = "someone/tiny") -> Path:
    repo = cache / f"models--{repo_id.replace('/', '--')}"
    commit = "0123456789012345678901234567890123456789"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit, encoding="utf-8")
    (repo / "blobs").mkdir()
    return Path(cast("str", shutil.copytree(model, repo / "snapshots" / commit)))


def test_a_folder_and_what_is_nowhere(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert resolve_model(str(folder)) == folder
    assert code_of(lambda: resolve_model(str(tmp_path / "nowhere"))) == "model_missing"
    assert code_of(lambda: resolve_model("someone/absent")) == "model_missing"
    assert code_of(lambda: resolve_model("a/b/c")) == "model_missing"


def test_a_model_of_the_cache_is_found_by_its_name(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    snapshot = put_into_cache(cache, folder)
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(cache))
    found = resolve_model("someone/tiny")
    assert found == snapshot
    assert read_model(found).name == "someone/tiny"
    assert code_of(lambda: resolve_model("someone/tiny", "v2")) == "model_missing"


def test_scanning_the_cache_names_what_cannot_be_trained(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    put_into_cache(cache, folder)
    (put_into_cache(cache, folder, "someone/broken") / "tokenizer.json").unlink()
    (put_into_cache(cache, folder, "someone/only-gguf") / "config.json").unlink()
    found = list(scan_hub_cache(cache))
    assert [entry.repo_id for entry in found] == ["someone/broken", "someone/tiny"]
    broken, whole = found
    assert broken.problem is not None
    assert broken.problem.code == "tokenizer_missing"
    assert whole.model is not None
    assert (whole.refs, whole.model.num_parameters) == (("main",), NUM_PARAMETERS)


def test_no_cache_no_models(tmp_path: Path) -> None:
    assert list(scan_hub_cache(tmp_path / "absent")) == []
