"""The files of a model folder that decide its tokenizer: read, checked, nothing interpreted beyond what transformers reads from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from desktop_ft.core.errors import DesktopFtError

JsonObject = dict[str, object]
_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_CLASS_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "GPT2Tokenizer": {"unk_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
    "Qwen2Tokenizer": {"unk_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
}
"""Tokens that a class of transformers has if the configuration does not mention them."""


@dataclass(frozen=True)
class TokenizerFiles:
    """What a model folder says about its tokenizer.

    Attributes:
        definition: The content of tokenizer.json.
        tokenizer_bytes: The same, as it lies on disk.
        tokenizer_class: The class that transformers would load, without ``Fast``; None if no file names one.
        model_type: As config.json has it, or None.
        config: The content of tokenizer_config.json.
        special_tokens: Text of each named token (``eos_token`` ...), without those that are not set.
        extra_special_tokens: Further special tokens.
        added_tokens: The entries of ``added_tokens_decoder``, in order of their ids.
        chat_template: Source of the default chat template, or None.
        stop_ids: Ids that end generation by config.json and generation_config.json.
    """

    definition: JsonObject
    tokenizer_bytes: bytes
    tokenizer_class: str | None
    model_type: str | None
    config: JsonObject
    special_tokens: Mapping[str, str]
    extra_special_tokens: tuple[str, ...]
    added_tokens: tuple[JsonObject, ...]
    chat_template: str | None
    stop_ids: frozenset[int]


def read_tokenizer_files(model_dir: Path) -> TokenizerFiles:
    """Read a folder.

    Raises:
        DesktopFtError: ``tokenizer_missing``, ``tokenizer_invalid``.
    """
    path = model_dir / "tokenizer.json"
    if not path.is_file():
        raise DesktopFtError(
            "tokenizer_missing",
            "The model has no tokenizer",
            f"There is no tokenizer.json in {model_dir}.",
            "Pick a folder that holds a whole model (config.json, tokenizer.json, *.safetensors), or download it again.",
        )
    definition = _read_object(path)
    config = _read_object(model_dir / "tokenizer_config.json")
    model = _read_object(model_dir / "config.json")
    tokenizer_class = _text(config.get("tokenizer_class")) or _text(model.get("tokenizer_class"))
    tokenizer_class = tokenizer_class.removesuffix("Fast") if tokenizer_class else None
    if not isinstance(config.get("added_tokens_decoder"), dict):
        config = {**config, **_read_object(model_dir / "special_tokens_map.json")}
    return TokenizerFiles(
        definition=definition,
        tokenizer_bytes=path.read_bytes(),
        tokenizer_class=tokenizer_class,
        model_type=_text(model.get("model_type")),
        config=config,
        special_tokens=_special_tokens(config, tokenizer_class),
        extra_special_tokens=_extra_tokens(config),
        added_tokens=_added_tokens(config),
        chat_template=_chat_template(model_dir, config),
        stop_ids=_ids(model.get("eos_token_id")) | _ids(_read_object(model_dir / "generation_config.json").get("eos_token_id")),
    )


def special_token_text(value: object) -> str | None:
    """Text of a special token, which files write as a string or as an object with ``content``."""
    if isinstance(value, dict):
        value = cast("JsonObject", value).get("content")
    return _text(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _read_object(path: Path) -> JsonObject:
    """A JSON object; empty if there is no such file."""
    try:
        content = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _invalid(path, str(error)) from error
    if not isinstance(content, dict):
        raise _invalid(path, f"it holds {type(content).__name__}, not an object")
    return cast("JsonObject", content)


def _invalid(path: Path, reason: str) -> DesktopFtError:
    return DesktopFtError(
        "tokenizer_invalid",
        "The model's tokenizer cannot be loaded",
        f"{path.parent.name}/{path.name}: {reason}.",
        "Download the model again, or pick another copy of it.",
    )


def _special_tokens(config: JsonObject, tokenizer_class: str | None) -> dict[str, str]:
    named = dict(_CLASS_DEFAULTS.get(tokenizer_class or "", {}))
    for name in _NAMED_TOKENS:
        if name in config:
            named.pop(name, None)
            text = special_token_text(config[name])
            if text is not None:
                named[name] = text
    own = {name: special_token_text(value) for name, value in config.items() if name.endswith("_token") and name not in _NAMED_TOKENS}
    return {**{name: named[name] for name in _NAMED_TOKENS if name in named}, **{name: text for name, text in own.items() if text}}


def _extra_tokens(config: JsonObject) -> tuple[str, ...]:
    value = config.get("extra_special_tokens") or config.get("additional_special_tokens")
    values = list(cast("JsonObject", value).values()) if isinstance(value, dict) else value
    if not isinstance(values, list):
        return ()
    texts = (special_token_text(item) for item in cast("list[object]", values))
    return tuple(text for text in texts if text is not None)


def _added_tokens(config: JsonObject) -> tuple[JsonObject, ...]:
    value = config.get("added_tokens_decoder")
    if not isinstance(value, dict):
        return ()
    entries = [(int(index), entry) for index, entry in cast("JsonObject", value).items() if index.isdecimal()]
    return tuple(cast("JsonObject", entry) for _, entry in sorted(entries, key=lambda item: item[0]) if special_token_text(entry))


def _chat_template(model_dir: Path, config: JsonObject) -> str | None:
    """The default template: its own file goes before the configuration's entry, which may be a list of named ones."""
    path = model_dir / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _invalid(path, str(error)) from error
    value = config.get("chat_template")
    if isinstance(value, list):
        named = [cast("JsonObject", item) for item in cast("list[object]", value) if isinstance(item, dict)]
        value = next((item.get("template") for item in named if item.get("name") == "default"), None)
    elif isinstance(value, dict):
        value = cast("JsonObject", value).get("default")
    return _text(value)


def _ids(value: object) -> frozenset[int]:
    values = cast("list[object]", value) if isinstance(value, list) else [value]
    return frozenset(item for item in values if isinstance(item, int) and not isinstance(item, bool))
