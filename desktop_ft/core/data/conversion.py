"""One function per format: the columns of a row, by role, to an example. Each names the row in its errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from desktop_ft.core.data.read import malformed_row
from desktop_ft.core.data.records import Conversation, Example, Message, PlainText, PromptCompletion
from desktop_ft.core.data.turns import as_turns, holds_from_value, holds_role_content, require_answer, to_messages, to_text, with_system

Columns = Mapping[str, object]


def messages_example(columns: Columns, number: int) -> Example:
    """OpenAI's shape: turns with role and content."""
    return Conversation(require_answer(to_messages(columns.get("messages"), number, "messages"), number))


def sharegpt_example(columns: Columns, number: int) -> Example:
    """ShareGPT's shape: turns with from and value, perhaps a system column."""
    messages = to_messages(columns.get("conversations"), number, "conversations")
    return Conversation(require_answer(with_system(messages, columns.get("system"), number), number))


def alpaca_example(columns: Columns, number: int) -> Example:
    """Alpaca's shape as a chat: the input follows the instruction after a blank line; history is earlier pairs."""
    instruction = to_text(columns.get("instruction"), number, "instruction")
    question = question_text(instruction, columns.get("input"), number)
    answer = to_text(columns.get("output"), number, "output")
    messages = (*_history(columns.get("history"), number), Message("user", question), Message("assistant", answer))
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


def _history(value: object, number: int) -> tuple[Message, ...]:
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
