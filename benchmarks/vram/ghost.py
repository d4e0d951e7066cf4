"""Model folders without weights: config.json, the demo's tokenizer, and a weight file whose content is made when it is read.

A model of 14 billion weights would take 28 GB on the disk and minutes to read. Here the file has its true header and size and is
otherwise a hole, so that every check of the engine finds what it looks for; the loader of transformers is given random tensors in
place of what would be read from the hole, one at a time and on the device that they are for, and goes its usual way with them:
the same order, the same quantization layer by layer, the same peak.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.vram.shapes import Shape
from desktop_ft.core.model_files import SINGLE_NAME
from desktop_ft.core.resources import resource_path

MARK: Final = "hole"
"""In the header's metadata of such a file."""
POSITIONS: Final = 16_384
SPREAD: Final = 0.02
_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
_BLOCK: Final = 1 << 24


def make_folder(shape: Shape, folder: Path) -> Path:
    """Write the model's folder; one that is there already stays."""
    if (folder / "config.json").is_file():
        return folder
    from transformers import AutoConfig

    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    demo = resource_path("demo", "model")
    for name in _TOKENIZER_FILES:
        shutil.copyfile(demo / name, unfinished / name)
    special = _token_ids(demo)
    (unfinished / "config.json").write_text(json.dumps({**shape.config, **special, "max_position_embeddings": POSITIONS}), encoding="utf-8")
    config = AutoConfig.from_pretrained(unfinished, local_files_only=True)
    write_hole(unfinished / SINGLE_NAME, tensor_shapes(config))
    unfinished.rename(folder)
    return folder


def _token_ids(demo: Path) -> dict[str, object]:
    values = json.loads((demo / "config.json").read_text(encoding="utf-8"))
    return {name: values.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}


def tensor_shapes(config: object) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a causal model's weights, a tied one once."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = cast("torch.nn.Module", AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16))
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}


def write_hole(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of bfloat16 zeros that takes no room where the file system has holes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt", MARK: "1"}}
    end = 0
    for name, sizes in shapes.items():
        num_bytes = 2
        for size in sizes:
            num_bytes *= size
        header[name] = {"dtype": "BF16", "shape": list(sizes), "data_offsets": [end, end + num_bytes]}
        end += num_bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def make_adapter(model: Path, folder: Path, rank: int = 16) -> Path:
    """What a reward run of this model writes: a LoRA adapter with a scoring head, random."""
    if folder.is_dir():
        return folder
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.utils.save_and_load import get_peft_model_state_dict
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(model, local_files_only=True)
    config.num_labels = 1
    with torch.device("meta"):
        base = AutoModelForSequenceClassification.from_config(config, dtype=torch.bfloat16)
        adapted = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=rank, target_modules="all-linear"))
    state = get_peft_model_state_dict(adapted)
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(weight.shape, generator=generator) * SPREAD for name, weight in state.items()}
    unfinished = folder.with_name(f".{folder.name}")
    unfinished.mkdir(parents=True, exist_ok=True)
    adapted.peft_config["default"].base_model_name_or_path = str(model)
    adapted.peft_config["default"].save_pretrained(str(unfinished))
    save_file(weights, str(unfinished / "adapter_model.safetensors"), metadata={"format": "pt"})
    for name in _TOKENIZER_FILES:
        shutil.copyfile(model / name, unfinished / name)
    unfinished.rename(folder)
    return folder


# --- reading from a hole ------------------------------------------------------------------------------------------------------


class _Slice:
    """A tensor's place in the file, which gives random values when all of it is asked for."""

    def __init__(self, name: str, place: Any, device: str, made: list[int]) -> None:  # noqa: ANN401 - safetensors' own type
        self._name, self._place, self._device, self._made = name, place, device, made

    def __getattr__(self, name: str) -> object:
        return getattr(self._place, name)

    def __getitem__(self, index: object) -> object:
        if index is not Ellipsis and index != slice(None):
            return self._place[index]
        self._made[0] += 1
        return random_tensor(self._name, tuple(self._place.get_shape()), self._device)


class _File:
    """An open file with a hole."""

    def __init__(self, file: Any, device: str, made: list[int]) -> None:  # noqa: ANN401 - safetensors' own type
        self._file, self._device, self._made = file, device, made

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def __enter__(self) -> _File:
        self._file.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        self._file.__exit__(*problem)

    def get_slice(self, name: str) -> _Slice:
        """As safetensors."""
        return _Slice(name, self._file.get_slice(name), self._device, self._made)


def random_tensor(name: str, shape: tuple[int, ...], device: str) -> object:
    """Bfloat16 values of a language model's spread; norms are ones, biases zeros."""
    import torch

    if len(shape) == 1:
        make = torch.ones if "norm" in name else torch.zeros
        return make(shape, dtype=torch.bfloat16, device=device)
    if device != "cpu":
        return torch.empty(shape, dtype=torch.bfloat16, device=device).normal_(0.0, SPREAD)
    num = 1
    for size in shape:
        num *= size
    block = torch.randn(min(num, _BLOCK)).mul_(SPREAD).to(torch.bfloat16)
    return block.repeat(-(-num // block.numel()))[:num].reshape(shape)


@contextmanager
def random_weights(device: str) -> Generator[list[int]]:
    """While this lasts, transformers reads random tensors from files with a hole.

    Args:
        device: Where they are made: ``cuda`` where the model is loaded as it is stored, ``cpu`` where its format is changed on the way.

    Yields:
        A list whose one number counts the tensors that were made. Where a version of transformers opens its files another way it stays
        0, and the model is made of the zeros in the file: of the same size, only slower to read.
    """
    import transformers.modeling_utils as modeling

    made = [0]
    opened = cast("Any", modeling).safe_open

    def open_file(path: object, *settings: Any, **named: Any) -> object:  # noqa: ANN401 - safetensors' own signature
        file = opened(path, *settings, **named)
        is_hole = MARK in (file.metadata() or {})
        return _File(file, device, made) if is_hole else file

    cast("Any", modeling).safe_open = open_file
    try:
        yield made
    finally:
        cast("Any", modeling).safe_open = opened


def has_holes(folder: Path) -> bool:
    """Whether the file system keeps a hole without room for it."""
    if sys.platform == "win32":
        return False
    probe = folder / ".hole"
    try:
        with probe.open("wb") as file:
            file.truncate(1 << 26)
        return probe.stat().st_blocks * 512 < (1 << 20)
    finally:
        probe.unlink(missing_ok=True)
