"""What one row of training data means, whatever file and format it came from. Imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``, as chat templates spell them.
        content: The turn's text.
    """

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """A whole chat with at least one assistant turn."""

    messages: tuple[Message, ...]


@dataclass(frozen=True)
class PromptCompletion:
    """A prompt that is only read and a completion that is learnt; both strings, or both messages."""

    prompt: str | tuple[Message, ...]
    completion: str | tuple[Message, ...]


@dataclass(frozen=True)
class PlainText:
    """Text that is learnt from its first token to its last."""

    text: str


Example = Conversation | PromptCompletion | PlainText


def answers(example: Example) -> tuple[str, ...]:
    """The texts that the model is meant to learn to say: assistant turns, the completion, or the text itself."""
    match example:
        case Conversation(messages):
            return _assistant_contents(messages)
        case PromptCompletion(_, completion):
            return (completion,) if isinstance(completion, str) else _assistant_contents(completion)
        case PlainText(text):
            return (text,)


def canonical(example: Example) -> list[object]:
    """A JSON shape that is equal exactly if two examples are; the ground of fingerprints and duplicates."""
    match example:
        case Conversation(messages):
            return ["conversation", _pairs(messages)]
        case PromptCompletion(prompt, completion):
            return ["prompt_completion", *(part if isinstance(part, str) else _pairs(part) for part in (prompt, completion))]
        case PlainText(text):
            return ["text", text]


def _assistant_contents(messages: tuple[Message, ...]) -> tuple[str, ...]:
    return tuple(message.content for message in messages if message.role == "assistant")


def _pairs(messages: tuple[Message, ...]) -> list[list[str]]:
    return [[message.role, message.content] for message in messages]
