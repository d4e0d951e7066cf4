"""Find what the assistant is to learn in a template that does not mark it. Renders only through `template.ChatTemplate`.

A turn's span starts where the model begins to write (the end of the generation prompt) and ends behind the token that ends its turn.
Both ends are found by rendering and proven on the text itself; what cannot be proven is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence

from desktop_ft.core.data.records import Message
from desktop_ft.core.data.template import ChatTemplate, Rendered, Span
from desktop_ft.core.errors import DesktopFtError

_SENTINEL = "QX7ZSENTINELZ7XQ"
_THINK_END = "</think>"


def derive(template: ChatTemplate, messages: Sequence[Message]) -> Rendered:
    """Render a conversation and derive the assistant's spans.

    Args:
        template: A template without generation markers.
        messages: The conversation.

    Raises:
        DesktopFtError: ``template_spans_unknown`` if a turn's place cannot be proven; ``template_refused`` as in rendering.
    """
    text = template.render(messages)
    spans: list[Span] = []
    for index, message in enumerate(messages):
        if message.role == "assistant":
            earliest = spans[-1][1] if spans else 0
            spans.append(_span_of(template, messages, index, text, earliest))
    return Rendered(text, tuple(spans))


def _span_of(template: ChatTemplate, messages: Sequence[Message], index: int, text: str, earliest: int) -> Span:
    """One turn's span.

    The turn is rendered again with a sentinel in place of its words: what stands before the sentinel is the head, what stands behind
    it is the tail. The tail must end the real text too, which gives the end of the words; the head or the generation prompt must begin
    it, which gives their start.
    """
    head, tail = _around(template, messages, index)
    if not text.endswith(tail):
        raise _unknown(index, "what follows the turn changes with its words")
    words_end = len(text) - len(tail)
    start = _start_of(template, messages, index, text, head)
    if not earliest <= start <= words_end or not _holds_words(text[start:words_end], messages[index]):
        raise _unknown(index, "its words are not where the template's own pattern puts them")
    return start, words_end + len(_turn_end(template, messages, index, tail))


def _around(template: ChatTemplate, messages: Sequence[Message], index: int) -> tuple[str, str]:
    rendered = template.render([*messages[:index], Message("assistant", _SENTINEL), *messages[index + 1 :]])
    if rendered.count(_SENTINEL) != 1:
        raise _unknown(index, f"the template writes its words {rendered.count(_SENTINEL)} times")
    head, _, tail = rendered.partition(_SENTINEL)
    return head, tail


def _start_of(template: ChatTemplate, messages: Sequence[Message], index: int, text: str, head: str) -> int:
    """Where the model begins to write: behind the generation prompt, or behind the head where that does not apply."""
    prompt = _generation_prompt(template, messages[:index])
    if prompt is not None and text.startswith(prompt):
        return len(prompt)
    if text.startswith(head):
        return len(head)
    raise _unknown(index, "what precedes the turn changes with its words")


def _generation_prompt(template: ChatTemplate, before: Sequence[Message]) -> str | None:
    """What the model reads before it writes, or None if the template does not tell.

    A template may ignore ``add_generation_prompt``. If its turns open without a header (Mistral), the prompt ends where the user's turn
    does; if they have one, only the head tells.
    """
    if not before:
        return None
    try:
        prompt = template.render(before, add_generation_prompt=True)
        plain = template.render(before)
        probe = template.render([*before, Message("assistant", _SENTINEL)])
    except DesktopFtError:
        return None
    if prompt != plain:
        return prompt
    head = probe.partition(_SENTINEL)[0]
    return prompt if head.startswith(prompt) and not head[len(prompt) :].strip() else None


def _holds_words(rendered: str, message: Message) -> bool:
    """Whether the rendered turn ends with the words; templates may strip them, or move reasoning out of them. Calls stand behind them."""
    words = message.content.rpartition(_THINK_END)[2].strip()
    return words in rendered if message.calls_tools else rendered.strip().endswith(words)


def _turn_end(template: ChatTemplate, messages: Sequence[Message], index: int, tail: str) -> str:
    """The start of the tail that the model itself has to write: the token that ends its turn."""
    _, last = _around(template, messages[: index + 1], index)
    ending = _first_token(template, last)
    if not ending and last != tail:
        ending = _control_token_at(template, tail)
    return ending if tail.startswith(ending) else _control_token_at(template, tail)


def _first_token(template: ChatTemplate, tail: str) -> str:
    """The first token of a tail with the white space before it: a control token, else everything up to white space."""
    text = tail.lstrip()
    lead = tail[: len(tail) - len(text)]
    if not text:
        return ""
    token = _control_token_at(template, text) or text.split(maxsplit=1)[0]
    return lead + token


def _control_token_at(template: ChatTemplate, text: str) -> str:
    named = (*template.control_tokens, *sorted(template.special_tokens.values(), key=len, reverse=True))
    return next((token for token in named if token and text.startswith(token)), "")


def _unknown(index: int, reason: str) -> DesktopFtError:
    return DesktopFtError(
        "template_spans_unknown",
        "It is not clear what the assistant is to learn",
        f"The chat template has no generation markers, and turn {index + 1} cannot be located: {reason}.",
        "Turn off training on the assistant's turns only, or mark them in the template with {% generation %} ... {% endgeneration %}.",
    )
