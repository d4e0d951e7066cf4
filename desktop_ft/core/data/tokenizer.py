"""A model's own tokenizer from its folder, without transformers. `tokenizers` is imported here and nowhere else.

Follows what ``AutoTokenizer.from_pretrained`` of transformers 5 does with a folder that has a tokenizer.json. Two of its habits matter:
``add_bos_token`` and ``add_eos_token`` of tokenizer_config.json count for nothing beside a tokenizer.json (its post-processor decides),
and some tokenizer classes rebuild their splitting rules and ignore those of tokenizer.json (`class_rules`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from tokenizers import AddedToken, Tokenizer

from desktop_ft.core.data.class_rules import apply_class_rules
from desktop_ft.core.data.model_files import TokenizerFiles, read_tokenizer_files, special_token_text
from desktop_ft.core.data.template import ChatTemplate
from desktop_ft.core.errors import DesktopFtError


class _Encoding(Protocol):
    @property
    def ids(self) -> list[int]: ...
    @property
    def offsets(self) -> list[tuple[int, int]]: ...
    def char_to_token(self, char_pos: int) -> int | None: ...


class Encoded:
    """Token ids of a text and where each token lies in it."""

    def __init__(self, encoding: _Encoding) -> None:
        self._encoding = encoding
        self.ids: list[int] = encoding.ids

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Start and end (exclusive) of each token, in characters; (0, 0) for tokens that the post-processor added."""
        return self._encoding.offsets

    def char_to_token(self, position: int) -> int | None:
        """Index of the token that holds the character, or None if none does."""
        return self._encoding.char_to_token(position)


@dataclass(frozen=True)
class SpecialTokens:
    """The tokens that a run needs by name.

    Attributes:
        bos: Text of the token that begins a text, if the model has one.
        eos: Text of the token that ends a text, if the model has one.
        pad: Text of the padding token; the end token where the model names none, as TRL has it.
        bos_id: Its id.
        eos_id: Its id.
        pad_id: Its id.
        stop_ids: Every token that ends generation: ``eos_id`` and those of config.json and generation_config.json.
    """

    bos: str | None
    eos: str | None
    pad: str | None
    bos_id: int | None
    eos_id: int | None
    pad_id: int | None
    stop_ids: frozenset[int]


class ModelTokenizer:
    """A tokenizer with its special tokens and chat template.

    Attributes:
        special: The special tokens.
        chat_template: The model's default template, or None.
        sha256: Hash of everything that decides the ids: tokenizer.json and the special tokens.
        template_sha256: Hash of the chat template, or None.
        exact: Whether the ids are known to equal AutoTokenizer's; if not, the engine has to compare before it trains on them.
        inexact_reason: Why not, or None.
    """

    def __init__(
        self, backend: Tokenizer, files: TokenizerFiles, inexact_reason: str | None, model_dir: Path, added_tokens: Sequence[str] = ()
    ) -> None:
        self._backend = backend
        self._source = (model_dir, tuple(added_tokens))
        self.special = _special_tokens(backend, files)
        added = cast("Mapping[int, AddedToken]", backend.get_added_tokens_decoder())
        self._special_ids = frozenset(index for index, token in added.items() if token.special)
        source = files.chat_template
        named = {name: text for name, text in files.special_tokens.items() if text}
        control = [str(token.content) for token in added.values()]
        self.chat_template = None if source is None else ChatTemplate(source, named, control)
        self.template_sha256 = None if self.chat_template is None else self.chat_template.sha256
        self.sha256 = _digest(files, added_tokens)
        self.inexact_reason = inexact_reason
        self.exact = inexact_reason is None

    def __reduce__(self) -> tuple[Callable[..., ModelTokenizer], tuple[Path, tuple[str, ...]]]:
        """Another process loads it anew from its folder."""
        return load_tokenizer, self._source

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens, the added ones included."""
        return self._backend.get_vocab_size()

    def is_special(self, token_id: int) -> bool:
        """Whether a token is a special one, which no ordinary text gives."""
        return token_id in self._special_ids

    def encode(self, text: str, add_special_tokens: bool) -> Encoded:
        """Tokenise a text.

        Args:
            text: Valid Unicode.
            add_special_tokens: Let the post-processor add what it adds (often a begin token). Rendered chats have theirs already.
        """
        return Encoded(cast("_Encoding", self._backend.encode(text, add_special_tokens=add_special_tokens)))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones included."""
        return self._backend.decode(list(ids), skip_special_tokens=False)


def load_tokenizer(model_dir: Path, added_tokens: Sequence[str] = ()) -> ModelTokenizer:
    """Load the tokenizer of a model folder.

    Args:
        model_dir: The model.
        added_tokens: Special tokens of the run besides (``model.added_tokens``).

    Raises:
        DesktopFtError: ``tokenizer_missing``, ``tokenizer_invalid``.
    """
    files = read_tokenizer_files(model_dir)
    definition, inexact_reason = apply_class_rules(files)
    try:
        backend = Tokenizer.from_str(json.dumps(definition))
    except Exception as error:  # the Rust library raises bare Exception for every malformed file
        raise DesktopFtError(
            "tokenizer_invalid",
            "The model's tokenizer cannot be loaded",
            f"{model_dir.name}/tokenizer.json: {error}",
            "Download the model again, or pick another copy of it.",
        ) from error
    backend.no_truncation()
    backend.no_padding()
    _add_missing_tokens(backend, files)
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in added_tokens])
    return ModelTokenizer(backend, files, inexact_reason, model_dir, added_tokens)


def _add_missing_tokens(backend: Tokenizer, files: TokenizerFiles) -> None:
    """Add what tokenizer_config.json names and tokenizer.json lacks, in the order of transformers."""
    known = {str(token.content) for token in cast("Mapping[int, AddedToken]", backend.get_added_tokens_decoder()).values()}
    for token in files.added_tokens:
        if token["content"] not in known:
            backend.add_tokens([_added_token(token)])
    by_text = {str(token["content"]): token for token in files.added_tokens}
    for text in (*files.special_tokens.values(), *files.extra_special_tokens):
        token = by_text.get(text)
        backend.add_special_tokens([_added_token(token) if token else AddedToken(text, special=True, normalized=False)])


def _added_token(fields: Mapping[str, object]) -> AddedToken:
    flags = {name: bool(fields[name]) for name in ("single_word", "lstrip", "rstrip", "normalized", "special") if name in fields}
    return AddedToken(special_token_text(fields) or "", **flags)


def _special_tokens(backend: Tokenizer, files: TokenizerFiles) -> SpecialTokens:
    bos, eos = files.special_tokens.get("bos_token"), files.special_tokens.get("eos_token")
    pad = files.special_tokens.get("pad_token") or eos

    def id_of(text: str | None) -> int | None:
        return None if text is None else backend.token_to_id(text)

    eos_id = id_of(eos)
    stop_ids = files.stop_ids | ({eos_id} if eos_id is not None else set())
    return SpecialTokens(bos, eos, pad, id_of(bos), eos_id, id_of(pad), frozenset(stop_ids))


def _digest(files: TokenizerFiles, added_tokens: Sequence[str]) -> str:
    more = [list(added_tokens)] if added_tokens else []
    rest = json.dumps([dict(files.special_tokens), files.tokenizer_class, list(files.added_tokens), *more], sort_keys=True)
    return hashlib.sha256(files.tokenizer_bytes + rest.encode("utf-8")).hexdigest()
