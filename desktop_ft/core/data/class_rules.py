"""Where transformers' tokenizer classes differ from tokenizer.json. Pure; works on the JSON definition.

transformers 5 builds some classes anew from vocabulary and merges and ignores the splitting rules in the file. For the common ones the
same is done here; for others the definition is taken as it is and the caller is told that it may differ.
"""

from __future__ import annotations

import json
from typing import cast

from desktop_ft.core.data.model_files import JsonObject, TokenizerFiles

_PLAIN_CLASSES = frozenset({"PreTrainedTokenizer", "TokenizersBackend", "PythonBackend"})
_PLAIN_MODEL_TYPES = frozenset({"phi3", "mistral", "olmo2", "granite"})
"""Model types that transformers registers with the plain class, whatever tokenizer_config.json names."""
_UNREGISTERED_MODEL_TYPES = frozenset({None, "llama", "smollm3"})
"""Model types without a class of their own: what tokenizer_config.json names counts, else the plain class."""
_LLAMA_CLASS = "LlamaTokenizer"
_QWEN2_PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def apply_class_rules(files: TokenizerFiles) -> tuple[JsonObject, str | None]:
    """The definition as the model's tokenizer class has it.

    Returns:
        The definition to load, and why it may differ from AutoTokenizer's, or None if it does not.
    """
    definition = files.definition
    name = "Qwen2Tokenizer" if files.model_type == "qwen2" else files.tokenizer_class
    if "auto_map" in files.config:
        return definition, "the model brings its own tokenizer code"
    if files.model_type in _PLAIN_MODEL_TYPES or (name is None and files.model_type in _UNREGISTERED_MODEL_TYPES):
        return definition, None
    if name in _PLAIN_CLASSES or (name == _LLAMA_CLASS and '"ByteLevel"' in json.dumps(definition)):
        return definition, None
    if name == "GPT2Tokenizer":
        return _rebuilt(definition, None, _byte_level(files.config, use_regex=True)), None
    if name == "Qwen2Tokenizer":
        split = {"type": "Split", "pattern": {"Regex": _QWEN2_PATTERN}, "behavior": "Isolated", "invert": False}
        steps: JsonObject = {"type": "Sequence", "pretokenizers": [split, _byte_level(files.config, use_regex=False)]}
        return _rebuilt(definition, {"type": "NFC"}, steps), None
    return definition, f"transformers loads it through {name or files.model_type}, which may split text by other rules than tokenizer.json"


def _byte_level(config: JsonObject, use_regex: bool) -> JsonObject:
    return {
        "type": "ByteLevel",
        "add_prefix_space": bool(config.get("add_prefix_space")),
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _rebuilt(definition: JsonObject, normalizer: JsonObject | None, pre_tokenizer: JsonObject) -> JsonObject:
    old = definition.get("model")
    model: JsonObject = {
        **(cast("JsonObject", old) if isinstance(old, dict) else {}),
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
    }
    return {**definition, "model": model, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer}
