"""Examples to the ids and labels that are trained on, equal to TRL's own preparation for `SFTTrainer`.

Source: trl 1.16, ``SFTTrainer._prepare_dataset``; tests/core/data/test_tokenise_equals_trl.py holds the two side by side.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from desktop_ft.core.data.records import Conversation, Example, Message, PlainText, PromptCompletion
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.data.template import ChatTemplate, Rendered, Span
    from desktop_ft.core.data.tokenizer import Encoded, ModelTokenizer

IGNORED = -100
"""The label of a token that is read but not learnt."""

TEMPLATE_ERRORS = frozenset({"template_refused", "template_spans_unknown"})
"""Codes of errors that a template raises at one example, which do not name its row yet."""

ROW_ERRORS = TEMPLATE_ERRORS | {"data_row_malformed"}
"""Codes of errors that come of one example, not of the model or the file."""


class TokenisedExample:
    """One example as the model sees it. Kept small (4 bytes a token), because a run holds all of them.

    Args:
        input_ids: Token ids, [T].
        labels: The id of each token that is learnt, `IGNORED` for the others, [T].
        truncated: Whether tokens were cut off at the end.
        num_supervised: Number of tokens that are learnt.
        ends_with_eos: Whether the last learnt token, white space aside, is one that ends generation.
    """

    __slots__ = ("_ids", "_learnt", "ends_with_eos", "num_supervised", "truncated")

    def __init__(self, input_ids: Sequence[int], labels: Sequence[int], truncated: bool, num_supervised: int, ends_with_eos: bool) -> None:
        self._ids = array("i", input_ids)
        self._learnt = tuple(_runs(labels))
        self.truncated = truncated
        self.num_supervised = num_supervised
        self.ends_with_eos = ends_with_eos

    @property
    def input_ids(self) -> tuple[int, ...]:
        """Token ids, [T]."""
        return tuple(self._ids)

    @property
    def labels(self) -> tuple[int, ...]:
        """The id of each token that is learnt, `IGNORED` for the others, [T]."""
        return tuple(self.compact_labels())

    def __len__(self) -> int:
        return len(self._ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenisedExample) and self._state() == other._state()

    def __hash__(self) -> int:
        return hash((self._ids.tobytes(), self._learnt))

    def __repr__(self) -> str:
        return f"TokenisedExample({self.input_ids}, {self.labels}, {self.truncated}, {self.num_supervised}, {self.ends_with_eos})"

    def compact_ids(self) -> array[int]:
        """The ids as 32-bit numbers; not to be changed."""
        return self._ids

    def compact_labels(self) -> array[int]:
        """The labels as 32-bit numbers."""
        labels = array("i", [IGNORED]) * len(self._ids)
        for start, stop in self._learnt:
            labels[start:stop] = self._ids[start:stop]
        return labels

    def _state(self) -> tuple[object, ...]:
        return (self._ids, self._learnt, self.truncated, self.num_supervised, self.ends_with_eos)


def _runs(labels: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where tokens are learnt: start and end (exclusive) of each stretch."""
    start = None
    for index, label in enumerate(labels):
        if label != IGNORED and start is None:
            start = index
        elif label == IGNORED and start is not None:
            yield start, index
            start = None
    if start is not None:
        yield start, len(labels)


def tokenise(example: Example, tokenizer: ModelTokenizer, *, max_length: int | None, assistant_only_loss: bool) -> TokenisedExample:
    """Tokenise an example.

    Conversations are learnt whole, or with ``assistant_only_loss`` in the assistant's words and end tokens; of prompt and completion
    only the completion is learnt; plain text is learnt whole. ``assistant_only_loss`` says nothing about text without turns.

    Args:
        example: The example.
        tokenizer: The model's tokenizer.
        max_length: Longest sequence in tokens; what is beyond is cut off at the end. None for no limit.
        assistant_only_loss: See above.

    Raises:
        DesktopFtError: ``chat_template_missing``, ``eos_token_missing``, or what the template raises.
    """
    match example:
        case Conversation(messages, tools):
            ids, is_learnt = _conversation(messages, tokenizer, assistant_only_loss, tools)
        case PromptCompletion(str() as prompt, str() as completion):
            ids, is_learnt = _text_pair(prompt, _ended(completion, tokenizer), tokenizer)
        case PromptCompletion(tuple() as prompt, tuple() as completion):
            ids, is_learnt = _message_pair(prompt, completion, tokenizer, assistant_only_loss)
        case PlainText(text):
            ids = tokenizer.encode(_ended(text, tokenizer), add_special_tokens=True).ids
            is_learnt = [True] * len(ids)
        case _:
            raise AssertionError(f"not an example to learn whole, or prompt and completion differ in kind: {example}")
    return finished(ids, is_learnt, tokenizer, max_length)


@contextmanager
def naming_row(number: int) -> Generator[None]:
    """Put the row's number, from 1, into an error that comes of one example."""
    try:
        yield
    except DesktopFtError as error:
        if error.code not in TEMPLATE_ERRORS:
            raise
        raise DesktopFtError(error.code, error.title, f"Row {number}: {error.message}", error.hint) from error


def _conversation(
    messages: tuple[Message, ...], tokenizer: ModelTokenizer, assistant_only: bool, tools: str = ""
) -> tuple[list[int], list[bool]]:
    template = template_of(tokenizer).with_tools(tools)
    if not assistant_only:
        ids = tokenizer.encode(template.render(messages), add_special_tokens=False).ids
        return ids, [True] * len(ids)
    rendered = _render_with_spans(template, messages)
    encoded = tokenizer.encode(rendered.text, add_special_tokens=False)
    return encoded.ids, _in_spans(encoded, rendered.spans)


def _message_pair(
    prompt: tuple[Message, ...], completion: tuple[Message, ...], tokenizer: ModelTokenizer, assistant_only: bool
) -> tuple[list[int], list[bool]]:
    template = _training_template(template_of(tokenizer)) if assistant_only else template_of(tokenizer)
    prompt_ids = tokenizer.encode(template.render(prompt, add_generation_prompt=True), add_special_tokens=False).ids
    ids, is_learnt = _conversation((*prompt, *completion), tokenizer, assistant_only)
    start = _common_prefix_length(prompt_ids, ids)
    return ids, [learnt and index >= start for index, learnt in enumerate(is_learnt)]


def _text_pair(prompt: str, completion: str, tokenizer: ModelTokenizer) -> tuple[list[int], list[bool]]:
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=True).ids
    ids = tokenizer.encode(prompt + completion, add_special_tokens=True).ids
    start = _common_prefix_length(prompt_ids, ids)
    return ids, [index >= start for index in range(len(ids))]


def template_of(tokenizer: ModelTokenizer) -> ChatTemplate:
    """The model's chat template.

    Raises:
        DesktopFtError: ``chat_template_missing``.
    """
    if tokenizer.chat_template is None:
        raise DesktopFtError(
            "chat_template_missing",
            "The model has no chat template",
            "The data are conversations, and the model's folder says nothing about how it wants a conversation written.",
            "Pick the instruct or chat version of the model, or give the data as prompt and completion or as plain text.",
        )
    return tokenizer.chat_template


def _training_template(template: ChatTemplate) -> ChatTemplate:
    """The template that TRL trains with: the model's own if it is marked, else the marked twin that TRL ships, else the model's own."""
    if template.has_generation_markers:
        return template
    return template.training_twin or template


def _render_with_spans(template: ChatTemplate, messages: tuple[Message, ...]) -> Rendered:
    return _training_template(template).render_with_assistant_spans(messages)


def _in_spans(encoded: Encoded, spans: Sequence[Span]) -> list[bool]:
    """Which tokens lie in the spans, by transformers' rule (`apply_chat_template` with ``return_assistant_tokens_mask``)."""
    length = len(encoded.ids)
    inside = [False] * length
    for start, end in spans:
        first = encoded.char_to_token(start)
        if first is None:
            break
        last = encoded.char_to_token(end - 1) if end else None
        stop = last + 1 if last else length
        inside[first:stop] = [True] * max(0, stop - first)
    return inside


def _common_prefix_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How far two sequences agree; tokens may merge across the border of prompt and completion."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length


def _ended(text: str, tokenizer: ModelTokenizer) -> str:
    eos = tokenizer.special.eos
    if eos is None:
        raise DesktopFtError(
            "eos_token_missing",
            "The model has no end-of-text token",
            "The model's tokenizer_config.json names no eos_token, so the model could not learn where a text ends.",
            "Add eos_token to tokenizer_config.json, or pick another copy of the model.",
        )
    return text if text.endswith(eos) else text + eos


def finished(ids: Sequence[int], is_learnt: Sequence[bool], tokenizer: ModelTokenizer, max_length: int | None) -> TokenisedExample:
    """Cut a sequence at the maximum length and count what is learnt of it.

    Args:
        ids: Token ids, [T].
        is_learnt: Which of them are learnt, [T].
        tokenizer: The model's.
        max_length: Longest sequence in tokens, or None.
    """
    kept = ids[:max_length]
    labels = [token if learnt else IGNORED for token, learnt in zip(kept, is_learnt, strict=False)]
    learnt = [label for label in labels if label != IGNORED]
    return TokenisedExample(kept, labels, len(kept) < len(ids), len(learnt), _ends_with_stop(learnt, tokenizer))


def _ends_with_stop(learnt: Sequence[int], tokenizer: ModelTokenizer) -> bool:
    for token in reversed(learnt):
        if token in tokenizer.special.stop_ids:
            return True
        if tokenizer.decode([token]).strip():
            return False
    return False
