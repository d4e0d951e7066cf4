"""Where a reward model lies and on what it stands, found and checked before anything is loaded. Must not import torch.

A reward model is a finished reward run, the adapter of one, or a plain sequence classifier with one output. Its head is looked for
in the weights themselves: PEFT leaves a missing head out without a word and starts with a random one, which scores nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from desktop_ft.core.config import RunConfig, load_config
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_json
from desktop_ft.core.models import resolve_model

REWARD_FILE: Final = "reward_model.json"
_FILE_VERSION: Final = 1
_HEADS: Final = ("score.weight", "classifier.weight")
_PICK: Final = "Pick the folder of a finished run whose objective is reward, or of a sequence classifier with one output."


@dataclass(frozen=True)
class RewardSource:
    """A reward model on the disk.

    Attributes:
        folder: Adapter and head, or the whole model.
        base: The base model's folder; None where ``folder`` is a whole model.
        as_chat: Whether it was trained on chats, in the model's template, or on plain text; None where nothing says so.
        head_file: The weight file that holds the head.
        head_key: The head's name there; its shape is [1, D].
    """

    folder: Path
    base: Path | None
    as_chat: bool | None
    head_file: Path
    head_key: str

    @property
    def is_adapter(self) -> bool:
        """Whether it belongs on top of a base model."""
        return self.base is not None

    @property
    def tokenizer_folder(self) -> Path:
        """Where its tokenizer lies."""
        return self.folder if self.base is None or (self.folder / "tokenizer.json").is_file() else self.base


def find_reward_model(source: Path) -> RewardSource:
    """The reward model of a run's folder, an adapter's or a model's.

    Args:
        source: Any of the three.

    Raises:
        DesktopFtError: ``reward_missing``, ``reward_wrong_objective``, ``reward_unfinished``, ``reward_no_head``,
            ``reward_num_outputs``; as `resolve_model` for the base.
    """
    folder = source.expanduser().absolute()
    config = _config_of(folder)
    if (folder / "run.yaml").is_file():
        folder = _result_of(folder, config)
    elif config is None:
        config = _config_of(folder.parent) or _config_of(folder.parent.parent)
    if (folder / "adapter_config.json").is_file():
        weights = folder / "adapter_model.safetensors"
        return RewardSource(folder, _base_of(folder, config), _layout(folder), weights, _head_in([weights], folder)[1])
    if not (folder / "config.json").is_file():
        raise DesktopFtError("reward_missing", "There is no reward model here", f"{folder} holds neither a run nor a model.", _PICK)
    _check_outputs(folder)
    file, key = _head_in(sorted(folder.glob("*.safetensors")), folder)
    return RewardSource(folder, None, _layout(folder), file, key)


def _config_of(folder: Path) -> RunConfig | None:
    path = folder / "run.yaml"
    return load_config(path) if path.is_file() else None


def _result_of(run: Path, config: RunConfig | None) -> Path:
    if config is not None and config.objective.kind not in {"reward", "rlhf"}:
        raise DesktopFtError(
            "reward_wrong_objective",
            "This run trained no reward model",
            f"The objective of the run '{run.name}' is {config.objective.kind}.",
            _PICK,
        )
    for name in ("adapter", "model"):
        if any((run / name).glob("*.safetensors")):
            return run / name
    raise DesktopFtError(
        "reward_unfinished",
        "The reward model is not finished",
        f"The run '{run.name}' has no result yet.",
        "Let it train to its end (resume it if it was stopped), then try again.",
    )


def _base_of(adapter: Path, config: RunConfig | None) -> Path:
    if config is not None:
        return resolve_model(config.model.source, config.model.revision)
    settings = cast("dict[str, object]", json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8")))
    return resolve_model(str(settings.get("base_model_name_or_path") or ""), str(settings.get("revision") or "main"))


def _check_outputs(folder: Path) -> None:
    config = cast("dict[str, object]", json.loads((folder / "config.json").read_text(encoding="utf-8")))
    labels = config.get("id2label")
    num_outputs = len(cast("dict[str, object]", labels)) if isinstance(labels, dict) else config.get("num_labels", 2)
    if num_outputs != 1:
        raise DesktopFtError(
            "reward_num_outputs",
            "This model gives no single score",
            f"The model in {folder.name} has {num_outputs} outputs; a reward model has one.",
            _PICK,
        )


def _head_in(files: list[Path], folder: Path) -> tuple[Path, str]:
    for file in files:
        for name in tensor_names(file) if file.is_file() else ():
            if name.endswith(_HEADS):
                return file, name
    raise DesktopFtError(
        "reward_no_head",
        "The reward model has no head",
        f"No weight file in {folder} holds the layer that gives the score; with a random one in its place every score would be noise.",
        "Pick the folder that the reward run wrote. An adapter of another kind of run scores nothing.",
    )


def tensor_names(path: Path) -> tuple[str, ...]:
    """Names in a safetensors file, from its header alone.

    Raises:
        DesktopFtError: ``model_weights_damaged``.
    """
    try:
        with path.open("rb") as file:
            header = cast("dict[str, object]", json.loads(file.read(int.from_bytes(file.read(8), "little"))))
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise DesktopFtError(
            "model_weights_damaged", "A weights file is damaged", f"{path}: {error}", "Copy or download the file again."
        ) from error
    return tuple(name for name in header if name != "__metadata__")


# --- what a scorer has to know besides the weights ----------------------------------------------------------------------------


def write_layout(folder: Path, *, as_chat: bool) -> None:
    """Say beside the weights how the texts of the training were laid out."""
    write_json(folder / REWARD_FILE, {"v": _FILE_VERSION, "layout": "chat" if as_chat else "text"})


def _layout(folder: Path) -> bool | None:
    path = folder / REWARD_FILE
    if not path.is_file():
        return None
    return cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8"))).get("layout") == "chat"
