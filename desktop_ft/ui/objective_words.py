"""Objectives in words: their titles, when to use each, and the six families that the wizard offers. No widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from PySide6.QtCore import QCoreApplication

from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.data.signals import SIGNALS


@dataclass(frozen=True)
class Family:
    """Objectives that one card stands for.

    Attributes:
        title: A few words with a mnemonic.
        sentence: When to use it.
        icon_name: Its picture.
        members: Objectives, the usual one first.
    """

    title: str
    sentence: str
    icon_name: str
    members: tuple[ObjectiveName, ...]


def _tr(text: str) -> str:
    return QCoreApplication.translate("objective_words", text)


@cache
def families() -> tuple[Family, ...]:
    """The cards in the order of what is tried first."""
    return (
        Family(
            _tr("&Supervised (SFT)"),
            _tr("The answers that you want can be written down: a new format, tone, task or skill. Start here."),
            "message-square",
            ("sft",),
        ),
        Family(
            _tr("&Preferences (DPO)"),
            _tr("The answers are right in form, and you can tell the better of two, or good from bad."),
            "gauge",
            ("dpo", "orpo", "kto"),
        ),
        Family(
            _tr("RL&HF"),
            _tr("What is “better” is itself uncertain and is learnt from many pairs: a reward model, then PPO against it, as one run."),
            "activity",
            ("rlhf",),
        ),
        Family(
            _tr("Re&ward model"),
            _tr("Only the scorer is wanted: it learns from pairs to tell better answers from worse."),
            "circle-dot",
            ("reward",),
        ),
        Family(
            _tr("Rein&forcement"),
            _tr(
                "An answer can be checked by a rule, or scored by a reward model that you have: the model tries, and what scores well wins."
            ),
            "chart-line",
            ("grpo", "rloo", "ppo"),
        ),
        Family(
            _tr("Continued p&retraining"),
            _tr("The words and turns of phrase of a field are to be learnt from plain text, without questions and answers."),
            "file-text",
            ("pretrain",),
        ),
    )


def family_of(objective: ObjectiveName) -> Family:
    """The card that an objective belongs to."""
    return next(family for family in families() if objective in family.members)


@cache
def _variants() -> Mapping[ObjectiveName, str]:
    return {
        "sft": "",
        "pretrain": "",
        "reward": "",
        "dpo": _tr("DPO compares the two answers of each pair with the model where it started. The usual choice for pairs."),
        "orpo": _tr("ORPO learns the chosen answers and the preference at once, without a reference: for a model that had no SFT yet."),
        "kto": _tr("KTO needs no pairs: single answers, each marked good or bad."),
        "grpo": _tr("GRPO compares several answers to each prompt with each other. The usual choice for rules."),
        "rloo": _tr("RLOO is the plainer form of GRPO, and pays for every step away from the start: it stays closer to it."),
        "ppo": _tr("PPO trains a value model beside the policy, which tells which part of a long answer earned the reward."),
        "rlhf": _tr("First a reward model learns from the pairs, then the policy is trained against it; the program hands it on."),
    }


def variant_sentence(objective: ObjectiveName) -> str:
    """What tells an objective from its relatives; empty where it has none."""
    return _variants()[objective]


def objective_title(objective: ObjectiveName) -> str:
    """An objective by its name, as in tables."""
    names: Mapping[ObjectiveName, str] = {
        "sft": _tr("Supervised (SFT)"),
        "pretrain": _tr("Continued pretraining"),
        "reward": _tr("Reward model"),
    }
    return names.get(objective, objective.upper())


def objective_short(objective: str) -> str:
    """An objective in one word, for a narrow column."""
    return {"pretrain": _tr("Pretraining"), "reward": _tr("Reward")}.get(objective, objective.upper())


def learns_from(objective: ObjectiveName) -> str:
    """What the rows of its data must be, and what of them is learnt, in a sentence."""
    if objective in {"reward", "rlhf"}:
        return _tr("Learns from pairs: a prompt, a better and a worse answer. What is learnt is which of them is better.")
    return {
        "answers": _tr("Learns from conversations, prompts with answers, or text. Of pairs and judged answers it takes the good ones."),
        "text": _tr("Learns from plain text, every word of it."),
        "pairs": _tr("Learns from pairs: a prompt, a better (chosen) and a worse (rejected) answer."),
        "judgments": _tr("Learns from single answers marked good or bad; a pair counts as one of each."),
        "prompts": _tr("Learns from prompts alone: the model answers them itself. A known answer serves rules that compare with it."),
    }[SIGNALS[objective]]
