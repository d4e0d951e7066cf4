"""Examples as rows of the formats that files can be converted to. Pure.

A target's text columns stay text where every example is a plain question and answer; where one has more turns, all are turns, so that
a column is of one kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from desktop_ft.core.data.read import malformed_row
from desktop_ft.core.data.records import Conversation, Example, Judged, Message, PlainText, Preference, PromptCompletion, Task
from desktop_ft.core.data.signals import Signal, adapt

TargetName = Literal["messages", "prompt_completion", "text", "preference", "kto", "prompts", "rl"]
TARGETS: Final[tuple[TargetName, ...]] = get_args(TargetName)
SIGNAL_OF: Final[Mapping[TargetName, Signal]] = {
    "messages": "answers",
    "prompt_completion": "answers",
    "text": "answers",
    "preference": "pairs",
    "kto": "judgments",
    "prompts": "prompts",
    "rl": "prompts",
}
"""What is drawn from the source's records for each target."""

Part = str | tuple[Message, ...]
Render = Callable[[Conversation], str]


@dataclass(frozen=True)
class TargetRow:
    """One row to be written.

    Attributes:
        columns: By name: text, turns, a mark (bool), or None.
    """

    columns: Mapping[str, Part | bool | None]

    @property
    def is_flat(self) -> bool:
        """Whether every column of turns can be text."""
        return all(isinstance(value, str | bool | None) or _flat(value) is not None for value in self.columns.values())

    @property
    def has_extra(self) -> bool:
        """Whether a turn has more than role and content."""
        turns = (turn for value in self.columns.values() if isinstance(value, tuple) for turn in value)
        return any(turn.extra for turn in turns)


def target_rows(example: Example, number: int, target: TargetName, render: Render | None) -> list[TargetRow]:
    """What an example becomes; nothing for an answer that is marked bad where only good ones are wanted.

    Args:
        example: As `formats.to_example` gives.
        number: Its row's number, for errors.
        target: Where to.
        render: Writes a conversation as the text that a model reads; without it conversations do not become text.

    Raises:
        DesktopFtError: ``data_row_malformed`` or ``data_wrong_for_objective`` where it does not become that.
    """
    learnt = adapt(example, number, SIGNAL_OF[target], as_chat=True)
    return [TargetRow(_columns(one, number, target, render)) for one in learnt]


def plain_value(value: Part | bool | None, *, flat: bool) -> object:
    """A column's value as JSON has it."""
    if isinstance(value, tuple):
        return _flat(value) if flat else [{"role": turn.role, "content": turn.content, **turn.fields()} for turn in value]
    return value


def as_turns_column(name: str, value: Part | bool | None) -> Part | bool | None:
    """Text as turns, for a column that is of turns elsewhere."""
    if not isinstance(value, str) or name in ("answer", "text", "tools"):
        return value
    return (Message("user" if name == "prompt" else "assistant", value),) if value else ()


def _columns(example: Example, number: int, target: TargetName, render: Render | None) -> Mapping[str, Part | bool | None]:
    match target:
        case "messages":
            chat = _conversation(example, number)
            return {"messages": chat.messages, **({"tools": chat.tools} if chat.tools else {})}
        case "prompt_completion":
            return _prompt_and_answer(example, number)
        case "text":
            return {"text": _text_of(example, number, render)}
        case _:
            return _judged_columns(example, number, target)


def _judged_columns(example: Example, number: int, target: TargetName) -> Mapping[str, Part | bool | None]:
    match example:
        case Preference(prompt, chosen, rejected):
            return {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        case Judged(prompt, completion, is_good):
            return {"prompt": prompt, "completion": completion, "label": is_good}
        case Task(prompt, answer):
            if target == "rl" and answer is None:
                raise malformed_row(number, "it states no right answer.")
            return {"prompt": prompt, **({"answer": answer} if target == "rl" else {})}
        case _:
            raise AssertionError(example)


def _prompt_and_answer(example: Example, number: int) -> Mapping[str, Part]:
    match example:
        case PromptCompletion(prompt, completion):
            return {"prompt": prompt, "completion": completion}
        case Conversation():
            return _last_answer(example, number)
        case _:
            raise malformed_row(number, "it is plain text, which has no prompt and no answer.")


def _text_of(example: Example, number: int, render: Render | None) -> str:
    match example:
        case PlainText(text):
            return text
        case PromptCompletion(str() as prompt, str() as completion):
            return prompt + completion
        case _ if render is not None:
            return render(_conversation(example, number))
        case _:
            raise malformed_row(number, "a conversation becomes text only through a model's chat template; name a model.")


def _conversation(example: Example, number: int) -> Conversation:
    match example:
        case Conversation():
            return example
        case PromptCompletion(prompt, completion):
            before = (Message("user", prompt),) if isinstance(prompt, str) else prompt
            return Conversation((*before, *((Message("assistant", completion),) if isinstance(completion, str) else completion)))
        case _:
            raise malformed_row(number, "it is plain text, which has no turns.")


def _last_answer(chat: Conversation, number: int) -> Mapping[str, Part]:
    last = max(index for index, turn in enumerate(chat.messages) if turn.role == "assistant")
    if chat.tools or any(turn.extra for turn in chat.messages):
        raise malformed_row(number, "it holds tool calls, which only messages can hold.")
    if last == 0:
        raise malformed_row(number, "there is no prompt before the answer.")
    return {"prompt": chat.messages[:last], "completion": chat.messages[last : last + 1]}


def _flat(turns: tuple[Message, ...]) -> str | None:
    """The words of a single plain turn that is no system message; None for anything else."""
    return turns[0].content if len(turns) == 1 and not turns[0].extra and turns[0].role in ("user", "assistant") else None
