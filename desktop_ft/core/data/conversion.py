"""One function per format: the columns of a row, by role, to an example. Each names the row in its errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from desktop_ft.core.data.read import malformed_row
from desktop_ft.core.data.records import Conversation, Example, Message, PlainText, PromptCompletion
from desktop_ft.core.data.turns import (
    are_alternating,
    as_turns,
    holds_from_value,
    holds_role_content,
    require_answer,
    to_messages,
    to_text,
    tools_of,
    with_system,
)

Columns = Mapping[str, object]


def messages_example(columns: Columns, number: int) -> Example:
    """OpenAI's shape: turns with role and content, perhaps tools; the order of the turns is the template's business."""
    messages = require_answer(to_messages(columns.get("messages"), number, "messages"), number)
    return Conversation(messages, tools_of(columns.get("tools"), number))


def sharegpt_example(columns: Columns, number: int) -> Example:
    """ShareGPT's shape: turns with from and value, or bare texts of user and assistant in turn; perhaps a system and a tools column.

    Such files are gathered from pages and their turns are often torn: turns of one speaker that follow each other are joined by a blank
    line; an assistant that nobody asked and a system message behind the start are refused.
    """
    turns = as_turns(columns.get("conversations"))
    if are_alternating(turns):
        turns = [{"from": ("human", "gpt")[index % 2], "value": text} for index, text in enumerate(turns or ())]
    messages = in_turn(to_messages(turns, number, "conversations"), number)
    return Conversation(
        require_answer(with_system(messages, columns.get("system"), number), number), tools_of(columns.get("tools"), number)
    )


def in_turn(messages: tuple[Message, ...], number: int) -> tuple[Message, ...]:
    """Turns with the torn ones joined.

    Raises:
        DesktopFtError: ``data_row_malformed`` where the order makes no sense.
    """
    joined: list[Message] = []
    for index, message in enumerate(messages, start=1):
        last = joined[-1] if joined else None
        if message.role == "system" and last is not None and last.role != "system":
            raise malformed_row(number, f"turn {index} is a system message in the middle; it belongs at the start.")
        if message.role == "assistant" and (last is None or last.role == "system"):
            raise malformed_row(number, f"turn {index} is the assistant's, and nobody has asked before it.")
        if last is not None and last.role == message.role != "tool" and not last.extra and not message.extra:
            joined[-1] = Message(last.role, "\n\n".join(filter(None, (last.content, message.content))))
        else:
            joined.append(message)
    return tuple(joined)


def alpaca_example(columns: Columns, number: int) -> Example:
    """Alpaca's shape as a chat: the input follows the instruction after a blank line; history is earlier pairs."""
    instruction = to_text(columns.get("instruction"), number, "instruction")
    question = question_text(instruction, columns.get("input"), number)
    answer = to_text(columns.get("output"), number, "output")
    messages = (*history_turns(columns.get("history"), number), Message("user", question), Message("assistant", answer))
    return Conversation(with_system(messages, columns.get("system"), number))


def prompt_completion_example(columns: Columns, number: int) -> Example:
    """A prompt and a completion: both text, or both turns; text after turns is what the assistant says."""
    prompt, completion = columns.get("prompt"), columns.get("completion")
    if not is_chat(prompt):
        if is_chat(completion):
            raise malformed_row(number, "one of prompt and completion is text and the other a list of turns.")
        return PromptCompletion(to_text(prompt, number, "prompt"), to_text(completion, number, "completion"))
    before = to_messages(prompt, number, "prompt")
    if not is_chat(completion):
        return PromptCompletion(before, (Message("assistant", to_text(completion, number, "completion")),))
    return PromptCompletion(before, require_answer(to_messages(completion, number, "completion"), number))


def qa_example(columns: Columns, number: int) -> Example:
    """A question and an answer, as a chat of two turns."""
    question = to_text(columns.get("question"), number, "question")
    answer = to_text(columns.get("answer"), number, "answer")
    return Conversation(with_system((Message("user", question), Message("assistant", answer)), columns.get("system"), number))


def text_example(columns: Columns, number: int) -> Example:
    """Plain text."""
    return PlainText(to_text(columns.get("text"), number, "text"))


def question_text(instruction: str, extra: object, number: int) -> str:
    """An instruction, and what it is about after a blank line."""
    context = "" if extra is None else to_text(extra, number, "input")
    return f"{instruction}\n\n{context}" if context.strip() else instruction


def is_chat(value: object) -> bool:
    """Whether a column holds turns."""
    turns = as_turns(value)
    return holds_role_content(turns) or holds_from_value(turns)


def history_turns(value: object, number: int) -> tuple[Message, ...]:
    """Earlier turns out of a list of [question, answer] pairs.

    Raises:
        DesktopFtError: ``data_row_malformed``.
    """
    if value in (None, "", []):
        return ()
    pairs = as_turns(value)
    if pairs is None:
        raise malformed_row(number, "history should be a list of [question, answer] pairs.")
    messages: list[Message] = []
    for pair in pairs:
        if not isinstance(pair, list) or len(cast("list[object]", pair)) != 2:
            raise malformed_row(number, "history should be a list of [question, answer] pairs.")
        question, answer = cast("list[object]", pair)
        messages.append(Message("user", to_text(question, number, "history")))
        messages.append(Message("assistant", to_text(answer, number, "history")))
    return tuple(messages)
