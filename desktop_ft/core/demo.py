"""The built-in demo: where its model and data lie, and what its fine-tuning is meant to change. Must not import Qt or torch.

The base model answers in one plain sentence. The demo's chats teach a house style of three lines, each with its label::

    Short answer: Mice.
    Good to know: An owl lives in a tree.
    Ask next: What sound does an owl make?
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict, cast

from desktop_ft.core.config import DEMO, SETTINGS, Draft, RunConfig
from desktop_ft.core.config.defaults import RATES, default_rate, method_of, objective_of
from desktop_ft.core.data.signals import Signal
from desktop_ft.core.resources import resource_path

DEMO_SETTINGS: Final[Mapping[str, object]] = {
    "training.num_train_epochs": 2.0,
    "training.learning_rate": 2e-3,
    "data.max_length": 256,
}
"""What makes the demo finish in about a minute on two cores; the demo model is tiny, so its rate is high."""
DEMO_RATE_FACTOR: Final = 10
"""The demo model's rate over that of an adapter of a usual model, whatever the objective: narrow models want and bear higher rates."""
DEMO_NAME: Final = "my-first-run"
NUM_DEMO_PROMPTS: Final = 4
"""Of the held-out prompts, how many a run in the window answers as it goes."""
DEMO_MIN_SHOWN: Final = 8
"""Of the ten held-out prompts, how many show the behaviour after a training that went well."""
_ANSWER_TOKENS: Final = 80
"""The longest answer in the house style has about 60 tokens."""
_EVAL_STEPS: Final = 16
"""Of about 48: each evaluation answers every held-out prompt too."""

_LABELS = ("Short answer:", "Good to know:", "Ask next:")
# The longest right short answer in the demo's world has 8 words; a whole paragraph there is not the style.
_MAX_SHORT_ANSWER_WORDS = 10


class _HeldOutRow(TypedDict):
    prompt: str
    subject: str
    expected: str
    true_sentences: list[str]


@dataclass(frozen=True)
class HeldOutPrompt:
    """A question whose subject occurs in no training row.

    Attributes:
        prompt: The user's turn.
        subject: What it asks about, such as ``owl``.
        expected: What a right short answer contains, such as ``mice``.
        true_sentences: Every sentence about the subject that the demo's world holds to be true.
    """

    prompt: str
    subject: str
    expected: str
    true_sentences: tuple[str, ...]


def demo_draft() -> Draft:
    """The demo model with the demo data: what the wizard starts from."""
    chosen = Draft().with_values({"name": DEMO_NAME, "model.source": DEMO, "data.train": DEMO})
    return chosen.with_values(demo_values(chosen))


def demo_values(draft: Draft) -> Mapping[str, object]:
    """What the settings that the demo touches should be for a draft: the demo's own with the demo, else the declared defaults."""
    with_model = draft.get("model.source") == DEMO
    with_data = draft.get("data.train") == DEMO
    objective = objective_of(draft)
    rate = DEMO_RATE_FACTOR * RATES[objective].adapter if with_model else default_rate(method_of(draft), objective)
    settings = DEMO_SETTINGS if with_model else {path: SETTINGS[path].default for path in DEMO_SETTINGS}
    answers = with_data and objective != "reward"
    prompts = tuple(prompt.prompt for prompt in held_out_prompts()[:NUM_DEMO_PROMPTS]) if answers else ()
    return {**settings, "training.learning_rate": rate, "evaluation.sample_prompts": prompts}


def demo_config() -> RunConfig:
    """The run of ``desktop-ft demo``: as the wizard has it, with the held-out prompts answered before, while and after."""
    prompts = [prompt.prompt for prompt in held_out_prompts()]
    changes: dict[str, object] = {
        "name": DEMO,
        "evaluation.sample_prompts": prompts,
        "evaluation.sample_max_new_tokens": _ANSWER_TOKENS,
        "evaluation.eval_steps": _EVAL_STEPS,
    }
    return demo_draft().with_values(changes).validated()


def demo_model_dir() -> Path:
    """The folder of the demo model. Raises ``resources_missing``."""
    return resource_path("demo", "model")


def demo_sft_file() -> Path:
    """Chats that teach the house style. Raises ``resources_missing``."""
    return resource_path("demo", "sft.jsonl")


def demo_preferences_file() -> Path:
    """Pairs of a better and a worse answer. Raises ``resources_missing``."""
    return resource_path("demo", "preferences.jsonl")


def demo_prompts_file() -> Path:
    """Prompts, each with its right short answer. Raises ``resources_missing``."""
    return resource_path("demo", "prompts.jsonl")


def demo_text_file() -> Path:
    """Plain text in a style of its own. Raises ``resources_missing``."""
    return resource_path("demo", "text.jsonl")


def demo_data_file(signal: Signal) -> Path:
    """The demo's data for what an objective learns from. Raises ``resources_missing``."""
    match signal:
        case "answers":
            return demo_sft_file()
        case "text":
            return demo_text_file()
        case "pairs" | "judgments":
            return demo_preferences_file()
        case "prompts":
            return demo_prompts_file()


def held_out_prompts() -> tuple[HeldOutPrompt, ...]:
    """The prompts on which the demo shows what fine-tuning changed, in their order. Raises ``resources_missing``."""
    text = resource_path("demo", "held_out_prompts.jsonl").read_text(encoding="utf-8")
    rows = [cast("_HeldOutRow", json.loads(line)) for line in text.splitlines()]
    return tuple(HeldOutPrompt(row["prompt"], row["subject"], row["expected"], tuple(row["true_sentences"])) for row in rows)


def shows_behaviour(prompt: HeldOutPrompt, answer: str) -> bool:
    """Whether the answer has the house style, and keeps to its subject.

    Args:
        prompt: What was asked.
        answer: The model's turn, without special tokens.

    Returns:
        True for three lines with their labels in order, a short answer of a few words, the subject named in the other two, and a
        question at the end. Says nothing about truth: see ``is_right``.
    """
    parts = _split(answer)
    if parts is None:
        return False
    short, good_to_know, ask_next = parts
    few_words = 0 < len(short.split()) <= _MAX_SHORT_ANSWER_WORDS
    return few_words and _names(good_to_know, prompt.subject) and _names(ask_next, prompt.subject) and ask_next.endswith("?")


def is_right(prompt: HeldOutPrompt, answer: str) -> bool:
    """Whether an answer in the house style is true in both of its statements.

    Args:
        prompt: What was asked.
        answer: The model's turn, without special tokens.

    Returns:
        True if the short answer contains what is expected and the second line is a true sentence about the subject.
    """
    parts = _split(answer)
    return parts is not None and _names(parts[0], prompt.expected) and parts[1] in prompt.true_sentences


def _split(answer: str) -> tuple[str, str, str] | None:
    """The three lines without their labels; None where the form is another one."""
    lines = answer.strip().split("\n")
    if len(lines) != len(_LABELS) or not all(line.startswith(label) for line, label in zip(lines, _LABELS, strict=True)):
        return None
    short, good_to_know, ask_next = (line.removeprefix(label).strip() for line, label in zip(lines, _LABELS, strict=True))
    return short, good_to_know, ask_next


def _names(text: str, words: str) -> bool:
    """Whether the words occur in the text as whole words, in upper or lower case."""
    return re.search(rf"\b{re.escape(words)}\b", text, re.IGNORECASE) is not None
