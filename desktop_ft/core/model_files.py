"""What lies in a model's folder, read without loading it: safetensors headers, tokenizer, chat template, licence.

No torch, no safetensors package: a header is a length and a JSON object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import yaml

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.model_shape import read_config

INDEX_NAME: Final = "model.safetensors.index.json"
SINGLE_NAME: Final = "model.safetensors"
_MAX_HEADER_BYTES: Final = 100_000_000
"""The format's own limit."""
_DTYPE_NAMES: Final[Mapping[str, str]] = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "I8": "int8", "U8": "uint8", "I32": "int32", "I64": "int64",
}  # fmt: skip
_SLOW_TOKENIZERS: Final = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "tekken.json")


@dataclass(frozen=True)
class Weights:
    """What the headers of all weight files say together.

    Attributes:
        dtype: transformers' name of the format that most bytes have.
        num_parameters: Elements of all tensors.
        num_embedding_rows: Rows of the input embedding; None where no tensor is named like one.
    """

    files: tuple[Path, ...]
    num_bytes: int
    num_parameters: int
    dtype: str
    num_embedding_rows: int | None


@dataclass(frozen=True)
class _Header:
    num_parameters: int
    bytes_by_dtype: Mapping[str, int]
    num_embedding_rows: int | None


def read_weights(folder: Path) -> Weights:
    """The safetensors files of a folder, each whole.

    Raises:
        DesktopFtError: ``model_no_weights``, ``model_pickle_only``, ``model_shard_missing`` or ``model_weights_damaged``.
    """
    files = weight_files(folder)
    headers = [read_header(path) for path in files]
    totals: dict[str, int] = {}
    for header in headers:
        for dtype, num_bytes in header.bytes_by_dtype.items():
            totals[dtype] = totals.get(dtype, 0) + num_bytes
    main = max(totals, key=lambda dtype: totals[dtype], default="")
    rows = [header.num_embedding_rows for header in headers if header.num_embedding_rows is not None]
    return Weights(
        files=files,
        num_bytes=sum(path.stat().st_size for path in files),
        num_parameters=sum(header.num_parameters for header in headers),
        dtype=_DTYPE_NAMES.get(main, main.lower()),
        num_embedding_rows=rows[0] if rows else None,
    )


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files that make up the model, all of them present.

    Raises:
        DesktopFtError: ``model_no_weights``, ``model_pickle_only`` or ``model_shard_missing``.
    """
    index = folder / INDEX_NAME
    if (folder / SINGLE_NAME).is_file():
        return (folder / SINGLE_NAME,)
    if index.is_file():
        return _shards(folder, index)
    raise _no_weights(folder)


def has_pickle_weights(folder: Path) -> bool:
    """Whether the folder has weights in Python's pickle format, which can run code when read."""
    return any(folder.glob("pytorch_model*.bin")) or any(folder.glob("*.pth")) or any(folder.glob("*.pt"))


def _shards(folder: Path, index: Path) -> tuple[Path, ...]:
    weight_map = read_config(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise _damaged(index, "it lists no weights")
    names = sorted({str(name) for name in cast("dict[str, object]", weight_map).values()})
    missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
    if missing:
        shown = ", ".join(missing[:3]) + (" and others" if len(missing) > 3 else "")
        raise DesktopFtError(
            "model_shard_missing",
            "A part of the model is missing",
            f"{len(missing)} of {len(names)} weight files are not in {folder}: {shown}.",
            "Finish the download, or copy the missing files into the folder.",
        )
    return tuple(folder / name for name in names)


def _no_weights(folder: Path) -> DesktopFtError:
    if has_pickle_weights(folder):
        return DesktopFtError(
            "model_pickle_only",
            "The weights are in an unsafe format",
            f"{folder} has weights only in Python's pickle format (.bin), which can run any program when it is opened.",
            "Use a version of this model with .safetensors files; or, if you trust its source, convert it once with transformers: "
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder), and copy the tokenizer files.",
        )
    if any(folder.glob("*.gguf")):
        return DesktopFtError(
            "model_no_weights",
            "These weights are for running, not for training",
            f"{folder} has GGUF files only.",
            "Choose the original model that the GGUF file was made from (with .safetensors files).",
        )
    return DesktopFtError(
        "model_no_weights",
        "The model has no weights",
        f"{folder} has no {SINGLE_NAME} and no {INDEX_NAME}.",
        "Finish the download, or choose the folder that holds the .safetensors files.",
    )


def read_header(path: Path) -> _Header:
    """What one safetensors file holds; its size must be what its header promises.

    Raises:
        DesktopFtError: ``model_weights_damaged``.

    Source: the safetensors format: 8 bytes little-endian length, that many bytes of JSON, then the tensors.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = int.from_bytes(prefix, "little") if len(prefix) == 8 else -1
            if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
                raise _damaged(path, "its header is cut off")
            value = cast("object", json.loads(file.read(length)))
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(value, dict):
        raise _damaged(path, "its header is no object")
    return _summarise(path, cast("dict[str, object]", value), size - 8 - length)


def _summarise(path: Path, tensors: Mapping[str, object], num_data_bytes: int) -> _Header:
    parameters, end, rows = 0, 0, None
    by_dtype: dict[str, int] = {}
    for name, entry in tensors.items():
        if name == "__metadata__":
            continue
        shape, dtype, start, stop = _entry(path, name, entry)
        parameters += math.prod(shape)
        end = max(end, stop)
        by_dtype[dtype] = by_dtype.get(dtype, 0) + stop - start
        if name.endswith(("embed_tokens.weight", "wte.weight", "embed_in.weight")) and "vision" not in name:
            rows = shape[0]
    if num_data_bytes != end:
        raise _damaged(path, f"it should hold {end:,} bytes of weights and holds {num_data_bytes:,}")
    return _Header(parameters, by_dtype, rows)


def _entry(path: Path, name: str, entry: object) -> tuple[list[int], str, int, int]:
    fields = cast("dict[str, object]", entry) if isinstance(entry, dict) else {}
    shape, offsets = fields.get("shape"), fields.get("data_offsets")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(cast("list[object]", offsets)) != 2:
        raise _damaged(path, f"its entry for {name} is malformed")
    numbers = [*cast("list[object]", shape), *cast("list[object]", offsets)]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise _damaged(path, f"its entry for {name} is malformed")
    whole = cast("list[int]", numbers)
    return whole[:-2], str(fields.get("dtype")), whole[-2], whole[-1]


def _damaged(path: Path, why: str) -> DesktopFtError:
    return DesktopFtError(
        "model_weights_damaged",
        "A weight file is damaged",
        f"{path}: {why}.",
        "Download this file again; the download was probably cut off.",
    )


# --- tokenizer and template ------------------------------------------------------------------------------------------


def check_tokenizer(folder: Path, num_embedding_rows: int) -> None:
    """A tokenizer is there and every token of it has a row in the embedding.

    Raises:
        DesktopFtError: ``tokenizer_missing``, ``tokenizer_unreadable`` or ``tokenizer_mismatch``.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        if any((folder / name).is_file() for name in _SLOW_TOKENIZERS):
            return
        raise DesktopFtError(
            "tokenizer_missing",
            "The model has no tokenizer",
            f"{folder} has no tokenizer.json.",
            "Copy tokenizer.json and tokenizer_config.json of this model into the folder.",
        )
    num_ids = tokenizer_num_ids(path)
    if num_ids > num_embedding_rows > 0:
        raise DesktopFtError(
            "tokenizer_mismatch",
            "The tokenizer belongs to another model",
            f"The tokenizer knows {num_ids:,} tokens; the model's embedding has room for {num_embedding_rows:,}.",
            "Copy the tokenizer files of exactly this model into the folder.",
        )


def tokenizer_num_ids(path: Path) -> int:
    """The highest token id of a tokenizer.json, plus one.

    Raises:
        DesktopFtError: ``tokenizer_unreadable``.
    """
    try:
        value = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise _bad_tokenizer(path, str(error)) from error
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    model = fields.get("model")
    vocabulary = cast("dict[str, object]", model).get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        ids = [number for number in cast("dict[str, object]", vocabulary).values() if isinstance(number, int)]
    elif isinstance(vocabulary, list):
        ids = [len(cast("list[object]", vocabulary)) - 1]
    else:
        raise _bad_tokenizer(path, "it has no vocabulary")
    return max([*ids, *_added_ids(fields), -1]) + 1


def _added_ids(tokenizer: Mapping[str, object]) -> list[int]:
    added = tokenizer.get("added_tokens")
    entries = cast("list[object]", added) if isinstance(added, list) else []
    found = [cast("dict[str, object]", entry).get("id") for entry in entries if isinstance(entry, dict)]
    return [number for number in found if isinstance(number, int)]


def _bad_tokenizer(path: Path, why: str) -> DesktopFtError:
    return DesktopFtError(
        "tokenizer_unreadable", "The tokenizer can't be read", f"{path}: {why}.", "Download tokenizer.json again; the file is damaged."
    )


def has_chat_template(folder: Path) -> bool:
    """Whether the tokenizer says how a conversation is laid out."""
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return False
    try:
        return bool(read_config(path).get("chat_template"))
    except DesktopFtError:
        return False


def read_license(folder: Path) -> str:
    """The licence that the model card states, such as ``apache-2.0``; empty where it states none."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""
    if not text.startswith("---"):
        return ""
    try:
        value = cast("object", yaml.safe_load(text[3:].partition("\n---")[0]))
    except (yaml.YAMLError, RecursionError, ValueError):
        return ""
    if not isinstance(value, dict):
        return ""
    fields = cast("dict[str, object]", value)
    stated = fields.get("license_name") if fields.get("license") == "other" else fields.get("license")
    stated = stated or fields.get("license") or ""
    return ", ".join(str(item) for item in cast("list[object]", stated)) if isinstance(stated, list) else str(stated)
