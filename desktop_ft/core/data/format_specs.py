"""Every format by what its rows hold, in the order in which a file is compared with them: the more particular first. A table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from desktop_ft.core.data.conversion import (
    alpaca_example,
    is_chat,
    messages_example,
    prompt_completion_example,
    qa_example,
    sharegpt_example,
    text_example,
)
from desktop_ft.core.data.conversion_judged import (
    alpaca_preference_example,
    are_transcripts,
    as_label,
    hh_rlhf_example,
    kto_example,
    lacks_answer,
    preference_example,
    prompts_example,
    sharegpt_preference_example,
)
from desktop_ft.core.data.conversion_ranked import has_scores, number_of, ranked_example, ultrafeedback_example
from desktop_ft.core.data.format_names import FormatName
from desktop_ft.core.data.records import Example
from desktop_ft.core.data.turns import are_alternating, as_turns, holds_from_value, holds_role_content

FORMATS: tuple[FormatName, ...] = get_args(FormatName)


@dataclass(frozen=True)
class Spec:
    """How one format, or a variant of it, is recognised: the roles it needs and may have, with the names files give them.

    Attributes:
        name: The format. Its variants need different roles and share ``convert``; the first lists all roles of the others.
        sentence: What its rows have, behind "n of m rows have".
        needed: By role the names of columns, the most usual first.
        convert: The columns by role, and the row's number, to an example.
        optional: As ``needed``, for roles that may be missing.
        fits: Whether the columns of a row by role, each of ``needed`` there, hold what the format means.
    """

    name: FormatName
    sentence: str
    needed: Mapping[str, Sequence[str]]
    convert: Callable[[Mapping[str, object], int], Example]
    optional: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    fits: Callable[[Mapping[str, object]], bool] = lambda _: True


_CHATS = ("messages", "conversations", "conversation", "chat", "dialogue", "dialog", "turns")
PROMPT_NAMES = ("prompt", "question", "query", "problem", "instruction", *_CHATS)
_ANSWER_LISTS = ("completions", "responses", "answers", "candidates", "generations", "outputs", "options")
_RANKED_LISTS = ("ranked", "ranked_answers", "ranked_responses", "ranked_completions", "ranked_outputs")
_RANKED_MORE = {
    "scores": ("scores", "ratings", "rewards", "overall_scores"),
    "ranks": ("ranks", "ranking", "rankings"),
    "input": ("input",),
    "system": ("system",),
}
_PAIR_SCORES = {
    "chosen_score": ("score_chosen", "chosen_score", "chosen-rating", "chosen_rating", "chosen_avg_rating", "chosen_reward"),
    "rejected_score": ("score_rejected", "rejected_score", "rejected-rating", "rejected_rating", "rejected_avg_rating", "rejected_reward"),
}
_RIGHT_ANSWERS = ("answer", "solution", "ground_truth", "target", "expected_answer", "final_answer", "reward_model")


def _has_ratings(row: Mapping[str, object]) -> bool:
    """Whether the answers are objects as UltraFeedback has them: the text under ``response``."""
    items = as_turns(row.get("answers"))
    return items is not None and has_scores(items, None) and all(isinstance(item, dict) and "response" in item for item in items)


def _asks(row: Mapping[str, object]) -> bool:
    return isinstance(row.get("prompt"), str) or lacks_answer(row.get("prompt"))


SPECS: tuple[Spec, ...] = (
    Spec(
        "sharegpt_preference",
        "turns with from/value, a chosen and a rejected answer",
        {"conversations": ("conversations", "conversation"), "chosen": ("chosen",), "rejected": ("rejected",)},
        sharegpt_preference_example,
        {"system": ("system",)},
        lambda row: holds_from_value(as_turns(row["conversations"])),
    ),
    Spec(
        "hh_rlhf",
        "two transcripts (Human: ... Assistant: ...) that share their question, a chosen and a rejected one",
        {"chosen": ("chosen",), "rejected": ("rejected",)},
        hh_rlhf_example,
        {},
        lambda row: are_transcripts(row["chosen"], row["rejected"]),
    ),
    Spec(
        "ultrafeedback",
        "a prompt and completions with ratings",
        {"prompt": ("prompt", "instruction", "question"), "answers": _ANSWER_LISTS},
        ultrafeedback_example,
        {**_RANKED_MORE, "chosen": ("chosen", "chosen_response"), "rejected": ("rejected", "rejected_response"), **_PAIR_SCORES},
        _has_ratings,
    ),
    Spec(
        "ultrafeedback",
        "a chosen and a rejected answer with a score each",
        {"chosen": ("chosen", "chosen_response"), "rejected": ("rejected", "rejected_response"), **_PAIR_SCORES},
        ultrafeedback_example,
        {"prompt": ("prompt", "instruction", "question"), "input": ("input",), "system": ("system",)},
        lambda row: number_of(row["chosen_score"]) is not None and number_of(row["rejected_score"]) is not None,
    ),
    Spec(
        "ranked",
        "a prompt and several answers with scores or ranks",
        {"prompt": ("prompt", "question", "query", "instruction", *_CHATS), "answers": (*_ANSWER_LISTS, *_RANKED_LISTS)},
        ranked_example,
        _RANKED_MORE,
        lambda row: has_scores(row["answers"], row.get("scores")) or has_scores(row["answers"], row.get("ranks")),
    ),
    Spec(
        "ranked",
        "a prompt and a list of answers, the best first",
        {"prompt": ("prompt", "question", "query", "instruction", *_CHATS), "answers": _RANKED_LISTS},
        ranked_example,
        _RANKED_MORE,
        lambda row: len(as_turns(row["answers"]) or ()) >= 2,
    ),
    Spec(
        "alpaca_preference",
        "an instruction with a chosen and a rejected answer",
        {"instruction": ("instruction",), "chosen": ("chosen",), "rejected": ("rejected",)},
        alpaca_preference_example,
        {"input": ("input", "context"), "output": ("output",), "system": ("system",), "history": ("history",)},
    ),
    Spec(
        "alpaca_preference",
        "an instruction with two answers, the better first",
        {"instruction": ("instruction",), "output": ("output",)},
        alpaca_preference_example,
        {"input": ("input", "context"), "system": ("system",), "history": ("history",)},
        lambda row: len(as_turns(row["output"]) or ()) == 2 and not is_chat(row["output"]),
    ),
    Spec(
        "preference",
        "a prompt, a chosen and a rejected answer",
        {"chosen": ("chosen",), "rejected": ("rejected",)},
        preference_example,
        {"prompt": ("prompt", "question", "instruction", *_CHATS), "input": ("input",), "system": ("system",)},
    ),
    Spec(
        "messages",
        "a list of turns with role and content",
        {"messages": _CHATS},
        messages_example,
        {"tools": ("tools", "functions")},
        lambda row: holds_role_content(as_turns(row["messages"])) and not lacks_answer(row["messages"]),
    ),
    Spec(
        "sharegpt",
        "a list of turns with from and value, or of texts in turn",
        {"conversations": ("conversations", *_CHATS)},
        sharegpt_example,
        {"system": ("system",), "tools": ("tools", "functions")},
        lambda row: (
            (holds_from_value(as_turns(row["conversations"])) and not lacks_answer(row["conversations"]))
            or are_alternating(as_turns(row["conversations"]))
        ),
    ),
    Spec(
        "kto",
        "a prompt, an answer and a mark, good or bad",
        {
            "prompt": ("prompt", "question", "instruction"),
            "completion": ("completion", "response", "output", "answer"),
            "label": ("label", "is_good", "desirable", "thumbs", "feedback", "rating"),
        },
        kto_example,
        {"input": ("input",), "system": ("system",)},
        lambda row: as_label(row["label"]) is not None,
    ),
    Spec(
        "alpaca",
        "an instruction and an output",
        {"instruction": ("instruction",), "output": ("output", "response", "answer", "completion")},
        alpaca_example,
        {"input": ("input", "context"), "system": ("system",), "history": ("history",)},
    ),
    Spec(
        "prompt_completion",
        "a prompt and a completion",
        {"prompt": ("prompt", "input"), "completion": ("completion", "response", "output", "answer", "target")},
        prompt_completion_example,
    ),
    Spec(
        "qa",
        "a question and an answer",
        {"question": ("question", "query"), "answer": ("answer", "response", "answers")},
        qa_example,
        {"system": ("system",)},
    ),
    Spec("text", "a column of text", {"text": ("text", "content", "document")}, text_example),
    Spec(
        "rl",
        "a prompt and the right answer to check with",
        {"prompt": PROMPT_NAMES, "answer": _RIGHT_ANSWERS},
        prompts_example,
        {"input": ("input",), "system": ("system",)},
        _asks,
    ),
    Spec(
        "prompts",
        "a prompt without an answer to learn",
        {"prompt": PROMPT_NAMES},
        prompts_example,
        {"answer": _RIGHT_ANSWERS, "input": ("input",), "system": ("system",)},
        _asks,
    ),
)
