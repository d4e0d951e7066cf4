"""A model on disk: where it is, what it is, and whether it can be trained. Reads headers only, never weights, never the net."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from desktop_ft.core.config import DEMO
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.model_files import (
    Weights,
    check_tokenizer,
    has_chat_template,
    has_pickle_weights,
    read_license,
    read_weights,
)
from desktop_ft.core.model_shape import ModelShape, context_length, read_config, read_model_shape, text_config, unknown_architecture
from desktop_ft.core.resources import resources_dir

__all__ = ["ModelInfo", "ModelShape", "model_from_config", "model_name", "read_model", "read_model_shape", "resolve_model"]

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_SNAPSHOT: Final = re.compile(r"models--(.+)")


@dataclass(frozen=True)
class ModelInfo:
    """The facts about a model that matter to a person, to the estimate and to the engine.

    Attributes:
        name: Folder name, Hub id, or ``demo``.
        architecture: transformers' class, such as ``LlamaForCausalLM``.
        num_parameters: Weights in the files; by formula where there are no files.
        context_length: Longest sequence, in tokens; 0 where unknown.
        dtype: Number format of the files, such as ``bfloat16``.
        license: As the model card states it; empty where it states none.
        weight_files: In the order of their names; empty for a bare config.json.
        shape: None for an architecture that the estimate does not know.
        has_generation_config: Whether generation_config.json is there.
        needs_remote_code: Whether the model brings its own Python code and its type is not one that we know.
    """

    name: str
    path: Path
    architecture: str
    num_parameters: int
    context_length: int
    dtype: str
    license: str
    has_chat_template: bool
    weight_files: tuple[Path, ...]
    num_weight_bytes: int
    shape: ModelShape | None
    has_generation_config: bool = False
    needs_remote_code: bool = False

    def known_shape(self) -> ModelShape:
        """The shape, for what cannot do without it.

        Raises:
            DesktopFtError: ``model_architecture_unknown``.
        """
        if self.shape is None:
            raise unknown_architecture(f"{self.name} is a {self.architecture or 'model of an unknown type'}")
        return self.shape


def resolve_model(source: str, revision: str = "main") -> Path:
    """The folder of a model: a folder as it is, ``demo``, or a Hub id that lies in the Hugging Face cache.

    Raises:
        DesktopFtError: ``model_missing``.
    """
    if source == DEMO:
        return resources_dir() / "demo" / "model"
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.absolute()
    if not _HUB_ID.fullmatch(source):
        raise _missing(f"There is no folder {source}.", "Check the path, or choose a model in the list.")
    cached = _cached_snapshot(source, revision)
    if cached is None:
        raise _missing(
            f"'{source}' (revision {revision}) is neither a folder nor in the Hugging Face cache of this computer.",
            f"Download it first, for example with: hf download {source}",
        )
    return cached


def read_model(folder: Path, *, allow_pickle: bool = False) -> ModelInfo:
    """Read a model's folder and check that it can be trained.

    Args:
        folder: Holds config.json, weights and tokenizer.
        allow_pickle: The person consented to weights in Python's pickle format, whose content cannot be checked here.

    Raises:
        DesktopFtError: ``model_config_missing``, ``model_is_adapter``, ``model_config_unreadable``, ``model_quantized``,
            ``model_no_weights``, ``model_pickle_only``, ``model_shard_missing``, ``model_weights_damaged``,
            ``tokenizer_missing``, ``tokenizer_unreadable`` or ``tokenizer_mismatch``.
    """
    _refuse_adapter(folder)
    config = read_config(folder / "config.json")
    _refuse_quantized(folder, config)
    outline = _outline(folder, config)
    weights = _weights(folder, outline, allow_pickle=allow_pickle)
    configured = outline.shape.vocab_size if outline.shape else text_config(config).get("vocab_size")
    rows = weights.num_embedding_rows or (configured if isinstance(configured, int) else 0)
    check_tokenizer(folder, rows)
    return replace(
        outline,
        num_parameters=weights.num_parameters,
        dtype=weights.dtype or outline.dtype,
        weight_files=weights.files,
        num_weight_bytes=weights.num_bytes,
    )


def model_from_config(config_json: Path | Mapping[str, object], name: str = "") -> ModelInfo:
    """The facts that config.json alone gives, for an estimate before a download.

    Args:
        config_json: The file, the folder it is in, or its values.
        name: What to call it; the folder's name unless given.

    Raises:
        DesktopFtError: ``model_config_missing`` or ``model_config_unreadable``.
    """
    if isinstance(config_json, Mapping):
        return _outline(Path(name or "model"), config_json, name)
    path = config_json / "config.json" if config_json.is_dir() else config_json
    return _outline(path.parent, read_config(path), name)


def _outline(folder: Path, config: Mapping[str, object], name: str = "") -> ModelInfo:
    shape = _shape_or_none(config)
    text = text_config(config)
    dtype = config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype") or ""
    architectures = config.get("architectures")
    listed = cast("list[object]", architectures) if isinstance(architectures, list) else []
    return ModelInfo(
        name=name or model_name(folder),
        path=folder,
        architecture=str(listed[0]) if listed else str(config.get("model_type", "")),
        num_parameters=shape.num_parameters if shape else 0,
        context_length=context_length(config),
        dtype=str(dtype),
        license=read_license(folder),
        has_chat_template=has_chat_template(folder),
        weight_files=(),
        num_weight_bytes=0,
        shape=shape,
        has_generation_config=(folder / "generation_config.json").is_file(),
        needs_remote_code=shape is None and "auto_map" in config,
    )


def model_name(folder: Path) -> str:
    """What to call a model's folder: the Hub id for a snapshot in the cache, ``demo`` for ours, else the folder's name."""
    if folder.parts[-2:] == ("demo", "model") and folder == resources_dir() / "demo" / "model":
        return DEMO
    cache_entry = _SNAPSHOT.fullmatch(folder.parent.parent.name) if folder.parent.name == "snapshots" else None
    return cache_entry.group(1).replace("--", "/") if cache_entry else folder.name


def _shape_or_none(config: Mapping[str, object]) -> ModelShape | None:
    try:
        return read_model_shape(config)
    except DesktopFtError:
        return None


def _weights(folder: Path, outline: ModelInfo, *, allow_pickle: bool) -> Weights:
    try:
        return read_weights(folder)
    except DesktopFtError as error:
        if not (allow_pickle and error.code == "model_pickle_only" and has_pickle_weights(folder)):
            raise
    files = tuple(sorted(folder.glob("pytorch_model*.bin")))
    num_bytes = sum(path.stat().st_size for path in files)
    return Weights(files, num_bytes, outline.num_parameters, outline.dtype, None)


def _refuse_adapter(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise DesktopFtError(
            "model_is_adapter",
            "This is an adapter, not a model",
            f"{folder} holds a LoRA adapter (adapter_config.json) without its base model.",
            "Choose the base model here, and this folder as the adapter to go on from.",
        )


def _refuse_quantized(folder: Path, config: Mapping[str, object]) -> None:
    quantization = config.get("quantization_config")
    if not isinstance(quantization, dict):
        return
    method = str(cast("dict[str, object]", quantization).get("quant_method", "unknown method"))
    raise DesktopFtError(
        "model_quantized",
        "This model is already compressed",
        f"The weights in {folder} are quantized ({method}); they cannot be trained and merged faithfully.",
        "Choose the original 16-bit model that it was made from.",
    )


def _cached_snapshot(repo_id: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = cast("object", try_to_load_from_cache(repo_id, "config.json", revision=revision))
    except (HFValidationError, OSError):
        return None
    return Path(found).parent if isinstance(found, str) else None


def _missing(message: str, hint: str) -> DesktopFtError:
    return DesktopFtError("model_missing", "The model was not found", message, hint)
