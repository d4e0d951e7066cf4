"""What one row of training data means, whatever file and format it came from. Imports nothing of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``, as chat templates spell them.
        content: The turn's text; may be empty where the turn calls tools.
        extra: What else the template gets of the turn (``tool_calls``, ``tool_call_id``, ``name``), as JSON; empty for a plain turn.
    """

    role: str
    content: str
    extra: str = ""

    @property
    def calls_tools(self) -> bool:
        """Whether the turn calls tools."""
        return "tool_calls" in self.fields()

    def fields(self) -> Mapping[str, object]:
        """What is in ``extra``, by name."""
        return cast("Mapping[str, object]", json.loads(self.extra)) if self.extra else {}


@dataclass(frozen=True)
class Conversation:
    """A whole chat with at least one assistant turn.

    Attributes:
        messages: Its turns.
        tools: The tools that the assistant may call, as a JSON list, for the template; empty for none.
    """

    messages: tuple[Message, ...]
    tools: str = ""


@dataclass(frozen=True)
class PromptCompletion:
    """A prompt that is only read and a completion that is learnt; both strings, or both messages."""

    prompt: str | tuple[Message, ...]
    completion: str | tuple[Message, ...]


@dataclass(frozen=True)
class PlainText:
    """Text that is learnt from its first token to its last."""

    text: str


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, the first better than the second; all strings, or all messages.

    A chat's prompt may be empty where the answers are whole conversations that share no beginning.
    """

    prompt: str | tuple[Message, ...]
    chosen: str | tuple[Message, ...]
    rejected: str | tuple[Message, ...]


@dataclass(frozen=True)
class Judged:
    """One answer to a prompt, marked good or bad; both strings, or both messages."""

    prompt: str | tuple[Message, ...]
    completion: str | tuple[Message, ...]
    is_good: bool


@dataclass(frozen=True)
class Task:
    """A prompt to be answered by the model itself, perhaps with the right answer for a rule to compare with."""

    prompt: str | tuple[Message, ...]
    answer: str | None = None


@dataclass(frozen=True)
class Ranked:
    """Several answers to one prompt with a score each; pairs are made of them by score, ties left out.

    Attributes:
        prompt: Text, or messages.
        answers: All of the prompt's kind.
        scores: One an answer, higher is better.
    """

    prompt: str | tuple[Message, ...]
    answers: tuple[str | tuple[Message, ...], ...]
    scores: tuple[float, ...]

    def in_order(self) -> tuple[str | tuple[Message, ...], ...]:
        """The answers, the best first; of equal ones the earlier."""
        order = sorted(range(len(self.answers)), key=lambda index: -self.scores[index])
        return tuple(self.answers[index] for index in order)

    def pairs(self) -> tuple[Preference, ...]:
        """The best answer against each that is worse, the worst last; none where all are equal."""
        best = max(range(len(self.answers)), key=lambda index: (self.scores[index], -index))
        worse = sorted(
            (index for index in range(len(self.answers)) if self.scores[index] < self.scores[best]), key=lambda i: -self.scores[i]
        )
        return tuple(Preference(self.prompt, self.answers[best], self.answers[index]) for index in worse)


Example = Conversation | PromptCompletion | PlainText | Preference | Judged | Task | Ranked


def answers(example: Example) -> tuple[str, ...]:
    """The texts that the model is meant to learn to say: assistant turns, the completion, or the text itself; of a pair the better one."""
    match example:
        case Conversation(messages, _):
            return _assistant_contents(messages)
        case PromptCompletion(_, completion):
            return _texts(completion)
        case PlainText(text):
            return (text,)
        case Preference(_, chosen, _):
            return _texts(chosen)
        case Judged(_, completion, is_good):
            return _texts(completion) if is_good else ()
        case Task():
            return ()
        case Ranked():
            return _texts(example.in_order()[0])


def has_turns(example: Example) -> bool:
    """Whether an example is written as turns, so that the model's chat template renders it."""
    match example:
        case Conversation():
            return True
        case PlainText():
            return False
        case PromptCompletion(prompt, _) | Preference(prompt, _, _) | Judged(prompt, _, _) | Task(prompt, _) | Ranked(prompt, _, _):
            return not isinstance(prompt, str)


def canonical_prompt(example: Example) -> list[object]:
    """A JSON shape that is equal exactly if two examples answer one prompt; the whole example where it has no prompt."""
    match example:
        case PromptCompletion(prompt, _) | Preference(prompt, _, _) | Judged(prompt, _, _) | Task(prompt, _) | Ranked(prompt, _, _) if (
            prompt
        ):
            return ["prompt", _plain(prompt)]
        case _:
            return canonical(example)


def canonical(example: Example) -> list[object]:
    """A JSON shape that is equal exactly if two examples are; the ground of fingerprints and duplicates."""
    match example:
        case Conversation(messages, tools):
            return ["conversation", _pairs(messages), *([tools] if tools else [])]
        case PromptCompletion(prompt, completion):
            return ["prompt_completion", _plain(prompt), _plain(completion)]
        case PlainText(text):
            return ["text", text]
        case Preference(prompt, chosen, rejected):
            return ["preference", _plain(prompt), _plain(chosen), _plain(rejected)]
        case Judged(prompt, completion, is_good):
            return ["judged", _plain(prompt), _plain(completion), is_good]
        case Task(prompt, answer):
            return ["task", _plain(prompt), answer]
        case Ranked(prompt, answers_, scores):
            return ["ranked", _plain(prompt), [_plain(answer) for answer in answers_], list(scores)]


def _texts(answer: str | tuple[Message, ...]) -> tuple[str, ...]:
    return (answer,) if isinstance(answer, str) else _assistant_contents(answer)


def _plain(part: str | tuple[Message, ...]) -> object:
    return part if isinstance(part, str) else _pairs(part)


def _assistant_contents(messages: tuple[Message, ...]) -> tuple[str, ...]:
    return tuple(message.content or message.extra for message in messages if message.role == "assistant")


def _pairs(messages: tuple[Message, ...]) -> list[list[str]]:
    return [[message.role, message.content, *([message.extra] if message.extra else [])] for message in messages]
