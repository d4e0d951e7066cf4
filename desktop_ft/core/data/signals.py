"""What each objective learns from, and how a file's records become that.

A file of one kind often serves several objectives: pairs teach SFT through their chosen answers, KTO as two marked answers, and a
policy through their prompts alone. What does not fit is refused with the objectives that would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from desktop_ft.core.config.objectives import OBJECTIVES, ObjectiveName
from desktop_ft.core.data.conversion_judged import task_of
from desktop_ft.core.data.read import malformed_row
from desktop_ft.core.data.records import Conversation, Example, Judged, Message, PlainText, Preference, PromptCompletion, Ranked, Task
from desktop_ft.core.data.transcript import answer_turns, is_transcript, prompt_turns
from desktop_ft.core.errors import DesktopFtError

Signal = Literal["answers", "text", "pairs", "judgments", "prompts"]
"""``answers``: conversations, prompt and completion, or text. ``text``: plain text. ``pairs``: `Preference`. ``judgments``: `Judged`.
``prompts``: `Task`."""

SIGNALS: Final[Mapping[ObjectiveName, Signal]] = {
    "sft": "answers",
    "pretrain": "text",
    "dpo": "pairs",
    "orpo": "pairs",
    "reward": "pairs",
    "rlhf": "pairs",
    "kto": "judgments",
    "grpo": "prompts",
    "rloo": "prompts",
    "ppo": "prompts",
}

TOKENISED_HERE: Final[frozenset[Signal]] = frozenset({"answers", "text"})
"""The signals whose ids core makes; TRL's trainers tokenise the records of the others themselves."""

WHOLE_ANSWERS: Final[frozenset[ObjectiveName]] = frozenset({"reward", "rlhf"})
"""The objectives that leave out what is longer than the maximum length: half an answer has no score. Source: trl's ``RewardTrainer``."""

Part = str | tuple[Message, ...]

_ALL_BUT_TEXT: Final[tuple[Signal, ...]] = ("answers", "pairs", "judgments", "prompts")
_KINDS: Final[Mapping[type[Example], tuple[str, tuple[Signal, ...]]]] = {
    Conversation: ("conversations", ("answers", "prompts")),
    PromptCompletion: ("prompts with an answer each", ("answers", "prompts")),
    PlainText: ("plain text", ("answers", "text")),
    Preference: ("preference pairs", _ALL_BUT_TEXT),
    Judged: ("answers marked good or bad", ("answers", "judgments", "prompts")),
    Ranked: ("answers with scores", _ALL_BUT_TEXT),
    Task: ("prompts without an answer to learn", ("prompts",)),
}
"""What a file of such records holds, in words, and the signals that can be drawn from it."""

_WANTED: Final[Mapping[Signal, str]] = {
    "answers": "answers to learn: conversations, prompt and completion, or text",
    "text": "plain text, one column named text",
    "pairs": "preference pairs: a prompt, a chosen and a rejected answer",
    "judgments": "answers marked good or bad (prompt, completion, label), or preference pairs",
    "prompts": "prompts",
}


def natural_signal(example: Example) -> Signal:
    """The signal that a record is meant for where no objective says otherwise."""
    match example:
        case Preference() | Ranked():
            return "pairs"
        case Judged():
            return "judgments"
        case Task():
            return "prompts"
        case Conversation() | PromptCompletion() | PlainText():
            return "answers"


def objectives_for(example: Example) -> tuple[ObjectiveName, ...]:
    """The objectives that can learn from such records."""
    _, signals = _KINDS[type(example)]
    return tuple(objective for objective in OBJECTIVES if SIGNALS[objective] in signals)


def adapt(example: Example, number: int, signal: Signal, *, as_chat: bool) -> tuple[Example, ...]:
    """What an objective learns from a record.

    Pairs, marked answers and prompts that are text become turns where the model has a chat template, because that is how the model
    will be asked; without one they stay text. Prompt and completion under ``answers`` are learnt as they stand, as TRL has it.

    Args:
        example: As `formats.to_example` gives.
        number: Its row's number, for errors.
        signal: What the objective learns from.
        as_chat: Whether the model has a chat template.

    Returns:
        None, one or more examples: of a marked answer that is bad ``answers`` learns nothing; a pair is two judgments, the good one
        first. Answers with scores are pairs of the best with each that is worse; ``answers`` and ``prompts`` take the best answer,
        ``judgments`` the best as good and the worst as bad. Where all scores are equal only ``answers`` and ``prompts`` learn.

    Raises:
        DesktopFtError: ``data_wrong_for_objective``; ``data_row_malformed`` where this row lacks a prompt.
    """
    kind = _KINDS[type(example)]
    if signal not in kind[1]:
        raise _wrong(kind[0], signal, objectives_for(example))
    if signal not in TOKENISED_HERE:
        _check_plain(example, number)
    match signal, example:
        case _, Ranked():
            return _ranked(example, number, signal, as_chat=as_chat)
        case "answers", Preference(prompt, chosen, _):
            return (_supervised(prompt, chosen, as_chat=as_chat),)
        case "answers", Judged(prompt, completion, is_good):
            return (_supervised(prompt, completion, as_chat=as_chat),) if is_good else ()
        case "pairs", Preference():
            return (_pair(example, number, as_chat=as_chat),)
        case "judgments", Preference():
            pair = _pair(example, number, as_chat=as_chat)
            return Judged(pair.prompt, pair.chosen, is_good=True), Judged(pair.prompt, pair.rejected, is_good=False)
        case "judgments", Judged(prompt, completion, is_good):
            return (Judged(_asked(prompt, number, as_chat), _answered(prompt, completion, as_chat), is_good),)
        case "prompts", _:
            return (_task(example, number, as_chat=as_chat),)
        case _:
            return (example,)


def _ranked(example: Ranked, number: int, signal: Signal, *, as_chat: bool) -> tuple[Example, ...]:
    """What is learnt of answers with scores: by way of their pairs, or of the best of them."""
    pairs = example.pairs()
    if signal == "pairs":
        return tuple(one for pair in pairs for one in adapt(pair, number, signal, as_chat=as_chat))
    if signal == "judgments":
        return adapt(pairs[-1], number, signal, as_chat=as_chat) if pairs else ()
    best = example.in_order()[0]
    return adapt(Preference(example.prompt, best, best), number, signal, as_chat=as_chat)


def _check_plain(example: Example, number: int) -> None:
    """Refuse tool calls where TRL tokenises: its tables of rows would mix up the arguments of different calls."""
    match example:
        case Conversation(messages, tools):
            parts: tuple[Part, ...] = (messages,)
        case PlainText():
            return
        case Ranked(prompt, answers, _):
            parts, tools = (prompt, *answers), ""
        case Preference(prompt, chosen, rejected):
            parts, tools = (prompt, chosen, rejected), ""
        case PromptCompletion(prompt, completion) | Judged(prompt, completion, _):
            parts, tools = (prompt, completion), ""
        case Task(prompt, _):
            parts, tools = (prompt,), ""
    if tools or any(message.extra for part in parts if not isinstance(part, str) for message in part):
        raise malformed_row(number, "it holds tool calls, which only supervised fine-tuning (sft) learns.")


def _supervised(prompt: Part, answer: Part, *, as_chat: bool) -> Example:
    """The answer as supervised fine-tuning learns it; text without a prompt is learnt as text."""
    turns, reply = _chat(prompt, as_chat), _answered(prompt, answer, as_chat)
    if isinstance(reply, str):
        return PromptCompletion(prompt, reply) if prompt else PlainText(reply)
    return Conversation((*turns, *reply)) if not isinstance(turns, str) else PromptCompletion(turns, reply)


def _pair(pair: Preference, number: int, *, as_chat: bool) -> Preference:
    prompt = pair.prompt
    return Preference(_asked(prompt, number, as_chat), _answered(prompt, pair.chosen, as_chat), _answered(prompt, pair.rejected, as_chat))


def _task(example: Example, number: int, *, as_chat: bool) -> Task:
    match example:
        case Conversation(messages, _):
            return task_of(messages, number)
        case PromptCompletion(tuple() as prompt, tuple() as answer):
            return task_of((*prompt, *answer), number)
        case Preference(prompt, answer, _) | PromptCompletion(prompt, answer) | Judged(prompt, answer, True):
            reply = _answered(prompt, answer, as_chat)
            stated = reply if isinstance(reply, str) else next((turn.content for turn in reversed(reply) if turn.role == "assistant"), None)
        case Judged(prompt, _, _):
            stated = None
        case Task(prompt, stated):
            pass
        case PlainText() | Ranked():
            raise AssertionError(example)
    asked = _asked(prompt, number, as_chat)
    if not asked:
        raise malformed_row(number, "there is no prompt to answer.")
    return Task(asked, stated)


def _asked(prompt: Part, number: int, as_chat: bool) -> Part:
    """The prompt as it is asked.

    Raises:
        DesktopFtError: ``data_row_malformed`` for turns in which nobody asks.
    """
    turns = _chat(prompt, as_chat)
    if not isinstance(turns, str) and not any(message.role == "user" for message in turns):
        raise malformed_row(number, "the answers share no question: they need one prompt, in a column of its own or at the start of both.")
    return turns


def _chat(prompt: Part, as_chat: bool) -> Part:
    if not isinstance(prompt, str) or not as_chat or not prompt:
        return prompt
    return prompt_turns(prompt) if is_transcript(prompt) else (Message("user", prompt),)


def _answered(prompt: Part, answer: Part, as_chat: bool) -> Part:
    if not isinstance(answer, str) or not as_chat or not prompt:
        return answer
    is_part_of_transcript = isinstance(prompt, str) and is_transcript(prompt)
    return answer_turns(answer) if is_part_of_transcript else (Message("assistant", answer),)


def _wrong(held: str, signal: Signal, suited: tuple[ObjectiveName, ...]) -> DesktopFtError:
    wanting = [objective for objective in OBJECTIVES if SIGNALS[objective] == signal]
    learn = f"{', '.join(wanting)} {'learns' if len(wanting) == 1 else 'learn'}"
    return DesktopFtError(
        "data_wrong_for_objective",
        "These data do not suit the objective",
        f"The file holds {held}; {learn} from {_WANTED[signal]}.",
        f"Choose an objective that learns from such data ({', '.join(suited)}), choose another file, or say which column holds what.",
    )
