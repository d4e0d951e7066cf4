"""Rows that judge answers, and rows that only ask: the columns by role to a pair, a marked answer or a task. Errors name the row.

Text stays text here; `signals.adapt` writes it as turns where the model has a chat template.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, cast

from desktop_ft.core.data.conversion import Columns, history_turns, is_chat, question_text
from desktop_ft.core.data.read import malformed_row
from desktop_ft.core.data.records import Example, Judged, Message, Preference, Task
from desktop_ft.core.data.transcript import shared_prompt_length
from desktop_ft.core.data.turns import as_turns, require_answer, speakers, to_messages, to_text, with_system

Turns = tuple[Message, ...]

_LABELS: Final[Mapping[str, bool]] = {
    "true": True, "good": True, "yes": True, "1": True, "1.0": True, "up": True, "thumbs up": True, "👍": True, "like": True,
    "desirable": True, "positive": True, "chosen": True,
    "false": False, "bad": False, "no": False, "0": False, "0.0": False, "down": False, "thumbs down": False, "👎": False,
    "dislike": False, "undesirable": False, "negative": False, "rejected": False,
}  # fmt: skip


def preference_example(columns: Columns, number: int) -> Example:
    """A better and a worse answer to one prompt, which stands apart or is what both begin with."""
    if columns.get("prompt") is None:
        return _pair_without_prompt(columns, number)
    prompt = prompt_of(columns, number)
    return _pair(prompt, columns, number)


def sharegpt_preference_example(columns: Columns, number: int) -> Example:
    """A better and a worse answer after ShareGPT turns."""
    before = with_system(to_messages(columns.get("conversations"), number, "conversations"), columns.get("system"), number)
    return _pair(before, columns, number)


def alpaca_preference_example(columns: Columns, number: int) -> Example:
    """An instruction with a better and a worse answer: in columns of their own, or as a list of two, the better first."""
    by_role = {**columns, "prompt": columns.get("instruction")}
    if columns.get("chosen") is None and columns.get("rejected") is None:
        output = as_turns(columns.get("output"))
        if output is None or len(output) != 2:
            raise malformed_row(number, "output should be a list of two answers, the better one first.")
        by_role = {**by_role, "chosen": output[0], "rejected": output[1]}
    before = history_turns(columns.get("history"), number)
    if not before:
        return preference_example(by_role, number)
    asked = prompt_of(by_role, number)
    turns = asked if not isinstance(asked, str) else (Message("user", asked),)
    system = tuple(turn for turn in turns if turn.role == "system")
    return preference_example({**by_role, "input": None, "system": None, "prompt": _plain((*system, *before, turns[-1]))}, number)


def hh_rlhf_example(columns: Columns, number: int) -> Example:
    """Anthropic's shape: two transcripts (Human: ... Assistant: ...) that share all but the last answer."""
    return _pair_without_prompt({"chosen": columns.get("chosen"), "rejected": columns.get("rejected")}, number)


def are_transcripts(chosen: object, rejected: object) -> bool:
    """Whether both are transcripts that share a question."""
    return isinstance(chosen, str) and isinstance(rejected, str) and shared_prompt_length(chosen, rejected) is not None


def kto_example(columns: Columns, number: int) -> Example:
    """One answer marked good or bad."""
    is_good = as_label(columns.get("label"))
    if is_good is None:
        raise malformed_row(number, f"label is {columns.get('label')!r}; it should say good or bad (true or false, 1 or 0, up or down).")
    prompt, completion = prompt_of(columns, number), columns.get("completion")
    if isinstance(prompt, str) and not is_chat(completion):
        return Judged(prompt, to_text(completion, number, "completion"), is_good)
    before = _as_turns(prompt)
    return Judged(before, _answer_after(before, completion, number, "completion"), is_good)


def prompts_example(columns: Columns, number: int) -> Example:
    """A prompt to be answered by the model, perhaps with the right answer; turns behind the last question are not part of it."""
    prompt, stated = prompt_of(columns, number), _stated_answer(columns.get("answer"), number)
    return Task(prompt, stated) if isinstance(prompt, str) else task_of(prompt, number, stated)


def task_of(messages: Turns, number: int, answer: str | None = None) -> Task:
    """The task that a conversation sets: everything up to the last question, and what the assistant said to it.

    Args:
        messages: The conversation.
        number: Its row's number, for errors.
        answer: The right answer, if it is stated apart.

    Raises:
        DesktopFtError: ``data_row_malformed`` if nobody asks anything.
    """
    asked = [index for index, message in enumerate(messages) if message.role == "user"]
    if not asked:
        raise malformed_row(number, "no turn is the user's, so there is nothing to answer.")
    said = [message.content for message in messages[asked[-1] + 1 :] if message.role == "assistant"]
    if answer is None and said:
        answer = said[-1]
    return Task(messages[: asked[-1] + 1], answer)


def as_label(value: object) -> bool | None:
    """Whether a mark says good (True) or bad (False); None if it says neither."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return {0: False, 1: True}.get(int(value)) if math.isfinite(value) and value == int(value) else None
    return _LABELS.get(value.strip().lower().replace("_", " ").replace("-", " ")) if isinstance(value, str) else None


def lacks_answer(value: object) -> bool:
    """Whether a column holds turns of which none is the assistant's."""
    turns = as_turns(value)
    return is_chat(value) and turns is not None and speakers(turns) <= {"system", "user"}


def prompt_of(columns: Columns, number: int) -> str | Turns:
    """The prompt as text or turns, with the input behind it and the system text before it."""
    prompt, system = columns.get("prompt"), columns.get("system")
    if is_chat(prompt):
        return with_system(to_messages(prompt, number, "prompt"), system, number)
    text = question_text(to_text(prompt, number, "prompt"), columns.get("input"), number)
    return text if system in (None, "") else with_system(_as_turns(text), system, number)


def _pair(prompt: str | Turns, columns: Columns, number: int) -> Example:
    """A pair whose prompt stands apart. Answers that are whole conversations bring the prompt themselves."""
    chosen, rejected = columns.get("chosen"), columns.get("rejected")
    if isinstance(prompt, str) and not is_chat(chosen) and not is_chat(rejected):
        return Preference(prompt, to_text(chosen, number, "chosen"), to_text(rejected, number, "rejected"))
    before = _as_turns(prompt)
    better, worse = (_answer_after(before, answer, number, role) for answer, role in ((chosen, "chosen"), (rejected, "rejected")))
    if before and before[-1].role == "user" and better[0].role != "assistant" and worse[0].role != "assistant":
        return _split_off(better, worse)
    return Preference(before, better, worse)


def _pair_without_prompt(columns: Columns, number: int) -> Example:
    chosen, rejected, system = columns.get("chosen"), columns.get("rejected"), columns.get("system")
    if is_chat(chosen) != is_chat(rejected):
        raise malformed_row(number, "one of chosen and rejected is text and the other a list of turns.")
    if not is_chat(chosen):
        better, worse = to_text(chosen, number, "chosen"), to_text(rejected, number, "rejected")
        length = shared_prompt_length(better, worse) or 0
        return Preference(better[:length], better[length:], worse[length:])
    both = (require_answer(to_messages(answer, number, role), number) for answer, role in ((chosen, "chosen"), (rejected, "rejected")))
    return _split_off(*(with_system(messages, system, number) for messages in both))


def _split_off(chosen: Turns, rejected: Turns) -> Preference:
    """Take off the turns that both conversations begin with, leaving each at least one.

    Source: trl 1.16, ``extract_prompt``.
    """
    length = 0
    while length < min(len(chosen), len(rejected)) - 1 and chosen[length] == rejected[length]:
        length += 1
    return Preference(chosen[:length], chosen[length:], rejected[length:])


def _answer_after(before: Turns, answer: object, number: int, role: str) -> Turns:
    """The turns that an answer adds; a list often repeats the prompt's turns."""
    if not is_chat(answer):
        return (Message("assistant", to_text(answer, number, role)),)
    messages = require_answer(to_messages(answer, number, role), number)
    return messages[len(before) :] if messages[: len(before)] == before and len(messages) > len(before) else messages


def _plain(turns: Turns) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _as_turns(prompt: str | Turns) -> Turns:
    return (Message("user", prompt),) if isinstance(prompt, str) else prompt


def _stated_answer(value: object, number: int) -> str | None:
    """The right answer as text; files often give a number."""
    if isinstance(value, dict):
        value = cast("Mapping[str, object]", value).get("ground_truth")
    if isinstance(value, list) and len(cast("list[object]", value)) == 1:
        value = cast("list[object]", value)[0]
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else to_text(value, number, "answer")
