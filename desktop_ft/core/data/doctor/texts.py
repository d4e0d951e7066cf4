"""What a row says, by who says it, and the same row with its texts rewritten. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, cast

from desktop_ft.core.data.records import Conversation, Example, Judged, Message, PlainText, Preference, PromptCompletion, Ranked, Task

Part = str | tuple[Message, ...]
Rewrite = Callable[[str], str]

_EDGE: Final = 200_000
"""Characters of a text that the checks of wording look at; what is wrong with a text shows in as many."""


@dataclass(frozen=True)
class Seen:
    """One row as the checks see it.

    Attributes:
        asked: What is only read: system and user turns, tools' answers, the prompt.
        said: What the model learns to say; of a pair the better answer.
        rejected: The worse answer of a pair, or one that is marked bad.
        exchanges: Each answer of ``said`` with the request right before it; empty where there is none.
        calls: Tool calls that stand beside the text of a turn of the assistant, as their record has them.
        is_text: Whether the row is text without a prompt.
    """

    asked: tuple[str, ...]
    said: tuple[str, ...]
    rejected: tuple[str, ...]
    exchanges: tuple[tuple[str, str], ...]
    calls: tuple[object, ...] = ()
    is_text: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything that the row says."""
        return (*self.asked, *self.said, *self.rejected)

    @property
    def request(self) -> str:
        """All that is asked, as one text."""
        return "\n".join(text[:_EDGE] for text in self.asked)


def seen(example: Example) -> Seen:
    """A row by who says what."""
    match example:
        case PlainText(text):
            return Seen((), (text,), (), (("", text),), is_text=True)
        case Conversation(messages):
            return _of_parts(messages, ())
        case PromptCompletion(prompt, completion):
            return _of_parts(prompt, completion)
        case Preference(prompt, chosen, rejected):
            better, worse = _of_parts(prompt, chosen), _of_parts(prompt, rejected)
            others = worse.said[len(better.said) - len(_said(chosen)) :]
            return replace(better, rejected=others)
        case Judged(prompt, completion, is_good):
            one = _of_parts(prompt, completion)
            return one if is_good else replace(one, said=(), rejected=one.said, exchanges=())
        case Task(prompt, answer):
            task = _of_parts(prompt, ())
            return replace(task, asked=(*task.asked, answer) if answer else task.asked)
        case Ranked() as ranked:
            best, *others = ranked.in_order()
            one = _of_parts(ranked.prompt, best)
            return replace(one, rejected=tuple(text for other in others for text in _said(other)))


def rewritten(example: Example, rewrite: Rewrite) -> Example:
    """The example with every text rewritten; the very same one where that changes nothing."""
    match example:
        case PlainText(text):
            made: Example = PlainText(rewrite(text))
        case Conversation(messages):
            made = Conversation(_messages(messages, rewrite))
        case PromptCompletion(prompt, completion):
            made = PromptCompletion(_part(prompt, rewrite), _part(completion, rewrite))
        case Preference(prompt, chosen, rejected):
            made = Preference(_part(prompt, rewrite), _part(chosen, rewrite), _part(rejected, rewrite))
        case Judged(prompt, completion, is_good):
            made = Judged(_part(prompt, rewrite), _part(completion, rewrite), is_good)
        case Task(prompt, answer):
            made = Task(_part(prompt, rewrite), None if answer is None else rewrite(answer))
        case Ranked(prompt, answers, scores):
            made = Ranked(_part(prompt, rewrite), tuple(_part(answer, rewrite) for answer in answers), scores)
    return example if made == example else made


def turns_of(example: Example) -> list[tuple[str, str]]:
    """Role and text of every turn, for people: text without turns is ``text``, ``prompt``, ``completion``, ``chosen`` or ``rejected``."""
    match example:
        case PlainText(text):
            return [("text", text)]
        case Conversation(messages):
            return _named("", messages)
        case PromptCompletion(prompt, completion):
            return [*_named("prompt", prompt), *_named("completion", completion)]
        case Preference(prompt, chosen, rejected):
            return [*_named("prompt", prompt), *_named("chosen", chosen, by_side=True), *_named("rejected", rejected, by_side=True)]
        case Judged(prompt, completion, is_good):
            return [*_named("prompt", prompt), *_named("good" if is_good else "bad", completion, by_side=True)]
        case Task(prompt, answer):
            return [*_named("prompt", prompt), *([("answer", answer)] if answer is not None else [])]
        case Ranked() as ranked:
            best, *others = ranked.in_order()
            worse = [turn for other in others for turn in _named("rejected", other, by_side=True)]
            return [*_named("prompt", ranked.prompt), *_named("chosen", best, by_side=True), *worse]


def calls_of(message: Message) -> tuple[object, ...]:
    """Tool calls that a turn carries beside its text."""
    found = getattr(message, "tool_calls", None)
    return tuple(cast("tuple[object, ...] | list[object]", found)) if isinstance(found, tuple | list) else ()


def _of_parts(prompt: Part, answer: Part) -> Seen:
    """A prompt and its answer; turns of the assistant count as said wherever they stand."""
    asked: list[str] = []
    said: list[str] = []
    exchanges: list[tuple[str, str]] = []
    calls: list[object] = []
    last = ""
    for role, message in (*_roles("user", prompt), *_roles("assistant", answer)):
        if role == "assistant":
            calls.extend(calls_of(message))
            said.append(message.content)
            exchanges.append((last, message.content))
        else:
            asked.append(message.content)
            last = message.content if role == "user" else last
    return Seen(tuple(asked), tuple(said), (), tuple(exchanges), tuple(calls))


def _roles(role: str, part: Part) -> list[tuple[str, Message]]:
    if isinstance(part, str):
        return [(role, Message(role, part))] if part or role == "assistant" else []
    return [(message.role, message) for message in part]


def _said(part: Part) -> tuple[str, ...]:
    return (part,) if isinstance(part, str) else tuple(message.content for message in part if message.role == "assistant")


def _messages(messages: tuple[Message, ...], rewrite: Rewrite) -> tuple[Message, ...]:
    return tuple(replace(message, content=rewrite(message.content)) for message in messages)


def _part(part: Part, rewrite: Rewrite) -> Part:
    return rewrite(part) if isinstance(part, str) else _messages(part, rewrite)


def _named(name: str, part: Part, *, by_side: bool = False) -> list[tuple[str, str]]:
    if isinstance(part, str):
        return [(name, part)] if part or name != "prompt" else []
    return [(name if by_side else message.role, message.content) for message in part]
