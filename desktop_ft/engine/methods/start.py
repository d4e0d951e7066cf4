"""Where an adapter starts from, where that matters later: PiSSA and OLoRA move a part of the base's weights into it.

While such an adapter trains, the base holds W - s B0 A0, so what is trained fits no base that anybody has. Its start (A0, B0) is kept
beside each checkpoint; the result is written as the plain LoRA [B, -B0] [A; A0] of twice the rank on the untouched base, which is the
same matrix: W - s B0 A0 + s B A. DoRA's magnitude scales that sum and stays as it is.

Source: Meng et al. 2024, arXiv 2404.02948, appendix C; the format is that of `peft.LoraModel.subtract_mutated_init`.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

import torch
from peft import PeftModel
from peft.tuners.lora.layer import LoraLayer
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.methods import BASE_MOVING_INITS
from desktop_ft.core.data.tokenise import TokenisedExample
from desktop_ft.core.exports import ADAPTER_WEIGHTS
from desktop_ft.core.files import write_json
from desktop_ft.engine.methods.eva import start_from_data
from desktop_ft.engine.methods.quantization import keep_quantization, quantization_of

START_WEIGHTS: Final = "start_adapter.safetensors"
_A, _B = ".lora_A.weight", ".lora_B.weight"


class AdapterStart:
    """The start of a run's new adapter.

    Args:
        config: Of the run.
        checkpoint: Folder to go on from; None for a new run.
    """

    def __init__(self, config: RunConfig, checkpoint: Path | None) -> None:
        self._config = config
        is_new_adapter = config.method.kind != "full" and config.model.adapter is None
        self._moves_base = is_new_adapter and config.method.init in BASE_MOVING_INITS
        self._reads_data = is_new_adapter and config.method.init == "eva" and checkpoint is None
        self._quantization = quantization_of(config)
        self._checkpoint = checkpoint
        self._weights: dict[str, torch.Tensor] = {}

    def settle(self, model: PreTrainedModel | PeftModel, examples: Sequence[TokenisedExample], pad_id: int) -> None:
        """Finish or keep the start of a new adapter; for a resumed run move the base to where it was.

        Args:
            model: With the adapter that PEFT made.
            examples: What is learnt from, where an objective has whole rows.
            pad_id: Fills rows up.
        """
        if self._reads_data:
            start_from_data(cast("PeftModel", model), examples, self._config.method.rank, pad_id, self._config.seed)
        if not self._moves_base:
            return
        assert isinstance(model, PeftModel)
        if self._checkpoint is None:
            weights = get_peft_model_state_dict(model)
            self._weights = {name: weight.detach().cpu().clone() for name, weight in weights.items() if name.endswith((_A, _B))}
        else:
            self._weights = load_file(self._checkpoint / START_WEIGHTS)
            move_base(model, self._weights)

    def write(self, folder: Path) -> None:
        """Put beside the adapter in a folder what must be known to put it on a base: its start, and the base's 4-bit format."""
        if self._moves_base:
            save_file(self._weights, folder / START_WEIGHTS)
        if self._quantization is not None:
            keep_quantization(self._quantization, folder)


@torch.no_grad()
def move_base(model: PeftModel, start: Mapping[str, torch.Tensor]) -> None:
    """Take s B0 A0 out of each adapted layer of an untouched base, in PEFT's own order of operations."""
    for name, layer in model.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        weight = cast("torch.nn.Linear", layer.get_base_layer()).weight
        a, b = (start[name + part].to(weight.device) for part in (_A, _B))
        weight.copy_((weight.to(torch.float32) - layer.scaling["default"] * b @ a).to(weight.dtype))


def make_plain(folder: Path) -> None:
    """Turn an adapter with its start beside it into a plain LoRA of the untouched base, in place; another one is left as it is."""
    if not (folder / START_WEIGHTS).is_file():
        return
    start, weights = load_file(folder / START_WEIGHTS), load_file(folder / ADAPTER_WEIGHTS)
    for name in start:
        weights[name] = torch.cat((weights[name], start[name]), 0) if name.endswith(_A) else torch.cat((weights[name], -start[name]), 1)
    config = cast("dict[str, Any]", json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")))
    config["r"] *= 2
    config["lora_alpha"] *= math.sqrt(2) if config["use_rslora"] else 2
    config["init_lora_weights"] = True
    save_file(weights, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    write_json(folder / "adapter_config.json", config)
    (folder / START_WEIGHTS).unlink()


@contextmanager
def plain_adapter(folder: Path) -> Generator[Path]:
    """The folder of an adapter for the untouched base: this one, or a copy that lives as long as the context."""
    if not (folder / START_WEIGHTS).is_file():
        yield folder
        return
    with TemporaryDirectory() as name:
        copy = Path(name) / "adapter"
        copy.mkdir()
        for part in ("adapter_config.json", ADAPTER_WEIGHTS, START_WEIGHTS):
            shutil.copyfile(folder / part, copy / part)
        make_plain(copy)
        yield copy
