"""The charts of what an objective tells besides its loss: which metrics stand together, and their words. No widgets here.

Names are TRL's (and those of our PPO). A metric that no chart knows gets a chart under its own name, so that nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from PySide6.QtCore import QCoreApplication

from desktop_ft.core.config.objectives import ObjectiveName

MOST_SERIES: Final = 3
"""Lines of one chart that can be labelled at their ends."""
_RULE_REWARD: Final = re.compile(r"^rewards/(?P<name>.+)/mean$")
_QUIET: Final = re.compile(r"^(rewards/.+/std|sampling/.+|completions/(min|max|mean_terminated)_.*|.+_(min|max)|clip_ratio/.+|tools/.+)$")
"""Spreads and extremes: in the log for who wants them, no chart of their own."""
REWARDED: Final[frozenset[ObjectiveName]] = frozenset({"grpo", "rloo", "ppo", "rlhf"})
"""Objectives that raise a reward; their loss says nothing about how well it goes."""


@dataclass(frozen=True)
class ChartWords:
    """One chart.

    Attributes:
        key: Its name in code.
        title: A few words, with the unit.
        meaning: One sentence for its tooltip.
        series: Metric and its label in the chart, in order.
        decimals: Digits of its values.
        starts_at_zero: Whether the axis starts at 0.
    """

    key: str
    title: str
    meaning: str
    series: tuple[tuple[str, str], ...]
    decimals: int = 3
    starts_at_zero: bool = False


def _tr(text: str) -> str:
    return QCoreApplication.translate("run_page.metrics", text)


@cache
def _known() -> tuple[ChartWords, ...]:
    return (*_preferences(), *_scorer(), *_rewarded(), *_values(), *_language())


def _preferences() -> tuple[ChartWords, ...]:
    return (
        ChartWords(
            "preference_rewards",
            _tr("Rewards"),
            _tr("How much likelier than at the start each kind of answer is (times beta): chosen should rise above rejected."),
            (("rewards/chosen", _tr("chosen")), ("rewards/rejected", _tr("rejected"))),
        ),
        ChartWords(
            "margins",
            _tr("Reward margin"),
            _tr("Chosen minus rejected: how clearly the model tells the better answer from the worse."),
            (("rewards/margins", _tr("margin")),),
        ),
        ChartWords(
            "accuracies",
            _tr("Accuracy, share of pairs"),
            _tr("In how many pairs the chosen answer has the higher reward; a half is chance."),
            (("rewards/accuracies", _tr("accuracy")),),
        ),
        ChartWords(
            "logps",
            _tr("Log-probability of an answer, nats"),
            _tr("Both may fall a little; if chosen falls as fast as rejected, the model forgets good answers too."),
            (("logps/chosen", _tr("chosen")), ("logps/rejected", _tr("rejected"))),
            1,
        ),
        ChartWords(
            "odds",
            _tr("Odds ratio, log"),
            _tr("ORPO's preference part: the log odds of chosen against rejected, which should rise."),
            (("log_odds_chosen", _tr("log odds")), ("log_odds_ratio", _tr("log sigmoid"))),
        ),
        ChartWords(
            "nll",
            _tr("Loss on chosen answers, nats"),
            _tr("ORPO's supervised part: how surprising the chosen answers still are to the model."),
            (("nll_loss", _tr("chosen")),),
        ),
        ChartWords(
            "logits",
            _tr("Logits, mean"),
            _tr("The mean raw score of all words; it matters only when it drifts far."),
            (("logits/chosen", _tr("chosen")), ("logits/rejected", _tr("rejected"))),
        ),
    )


def _scorer() -> tuple[ChartWords, ...]:
    return (
        ChartWords(
            "accuracy",
            _tr("Accuracy, share of pairs"),
            _tr("In how many pairs the reward model scores the chosen answer higher; a half is chance."),
            (("accuracy", _tr("accuracy")),),
        ),
        ChartWords(
            "margin",
            _tr("Score margin"),
            _tr("Score of chosen minus score of rejected."),
            (("margin", _tr("margin")),),
        ),
        ChartWords(
            "scores",
            _tr("Scores"),
            _tr("Highest, mean and lowest score that the reward model gives; a mean that drifts far is harmless but hard to read."),
            (("max_reward", _tr("highest")), ("mean_reward", _tr("mean")), ("min_reward", _tr("lowest"))),
            2,
        ),
    )


def _rewarded() -> tuple[ChartWords, ...]:
    return (
        ChartWords(
            "reward",
            _tr("Reward, mean of an answer"),
            _tr("What the training raises. Read the samples too: a reward can rise by a trick."),
            (("reward", _tr("reward")),),
        ),
        ChartWords(
            "kl",
            _tr("KL from the start, nats"),
            _tr("How far the model has moved from where it began; far is where tricks begin."),
            (("kl", _tr("KL")),),
        ),
        ChartWords(
            "entropy",
            _tr("Entropy, nats per token"),
            _tr("How varied the model's words are; near zero it always says the same."),
            (("entropy", _tr("entropy")),),
        ),
        ChartWords(
            "length",
            _tr("Answer length, tokens"),
            _tr("A reward that rises together with the length may only pay for long answers."),
            (("completions/mean_length", _tr("mean")),),
            0,
            starts_at_zero=True,
        ),
        ChartWords(
            "cut",
            _tr("Answers cut at the limit, share"),
            _tr("Answers that did not end by themselves; many mean that the longest answer is set too short."),
            (("completions/clipped_ratio", _tr("cut")),),
            2,
            starts_at_zero=True,
        ),
        ChartWords(
            "finished",
            _tr("Answers that end by themselves, share"),
            _tr("The others were cut at the limit; if many are, the longest answer is set too short."),
            (("completions/share_finished", _tr("finished")),),
            2,
            starts_at_zero=True,
        ),
        ChartWords(
            "clip",
            _tr("Clip fraction"),
            _tr("Share of tokens whose change was held back; above about 0.3 the steps are too large."),
            (("clip_ratio/region_mean", _tr("clipped")), ("clip_fraction", _tr("clipped"))),
            starts_at_zero=True,
        ),
        ChartWords(
            "spread",
            _tr("Spread of the rewards"),
            _tr("Within the answers to one prompt; without a spread there is nothing to learn from."),
            (("reward_std", _tr("spread")),),
            starts_at_zero=True,
        ),
        ChartWords(
            "no_spread",
            _tr("Prompts without a spread, share"),
            _tr("Prompts whose answers all scored the same: they teach nothing in that step."),
            (("frac_reward_zero_std", _tr("no spread")),),
            2,
            starts_at_zero=True,
        ),
    )


def _values() -> tuple[ChartWords, ...]:
    return (
        ChartWords(
            "value_loss",
            _tr("Value loss"),
            _tr("How wrong the value model is about the reward to come; it should fall."),
            (("value_loss", _tr("value loss")),),
        ),
        ChartWords(
            "explained",
            _tr("Explained variance"),
            _tr("How much of the returns the value model foresees: 1 is all, 0 no better than their mean."),
            (("explained_variance", _tr("explained")),),
            2,
        ),
        ChartWords(
            "policy_loss",
            _tr("Policy loss"),
            _tr("The clipped objective of the last pass; its size says little."),
            (("policy_loss", _tr("policy loss")),),
        ),
        ChartWords(
            "scores_after",
            _tr("Score and reward with penalties"),
            _tr("The score after the penalty for answers that do not end, and what is left of it after the divergence is paid for."),
            (("score", _tr("score")), ("rlhf_reward", _tr("after KL"))),
        ),
        ChartWords(
            "approx_kl",
            _tr("KL of one update, nats per token"),
            _tr("How far the policy moves within the passes over one batch of answers."),
            (("approx_kl", _tr("moved")),),
        ),
        ChartWords(
            "advantages",
            _tr("Spread of the advantages"),
            _tr("Before they are scaled; near zero there is nothing to learn from."),
            (("advantages/std", _tr("spread")),),
        ),
        ChartWords(
            "kl_coef",
            _tr("KL coefficient"),
            _tr("Weight of the divergence from the start; it moves where it adapts."),
            (("kl_coef", _tr("coefficient")),),
        ),
    )


def _language() -> tuple[ChartWords, ...]:
    return (
        ChartWords(
            "token_accuracy",
            _tr("Right next token, share"),
            _tr("How often the likeliest token is the one in the example."),
            (("mean_token_accuracy", _tr("right")),),
        ),
        ChartWords(
            "aux",
            _tr("Balance of the experts"),
            _tr("The loss that keeps the experts of a mixture equally busy."),
            (("aux_loss", _tr("balance")),),
        ),
    )


_ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "rewarded": ("reward", "kl", "entropy", "length", "clip", "finished", "cut", "value_loss", "explained"),
    "pairs": ("preference_rewards", "margins", "accuracies", "logps"),
}


def charts_for(objective: ObjectiveName, metrics: Iterable[str]) -> list[ChartWords]:
    """The charts of metrics that have values, the ones that matter most for the objective first."""
    present = set(metrics)
    found = [_with_present(words, present) for words in _known()]
    charts = [words for words in found if words is not None]
    first = _ORDER["rewarded" if objective in REWARDED else "pairs"]
    charts.sort(key=lambda words: first.index(words.key) if words.key in first else len(first))
    place = 1 if charts and charts[0].key == "reward" else 0
    charts[place:place] = _rules_charts(present)
    told = {name for words in charts for name, _ in words.series}
    others = sorted(name for name in present - told if not _QUIET.match(name) and not _RULE_REWARD.match(name))
    return charts + [ChartWords(name, name, _tr("A number of the trainer, under its own name."), ((name, name),)) for name in others]


def _with_present(words: ChartWords, present: set[str]) -> ChartWords | None:
    series = tuple((name, label) for name, label in words.series if name in present)
    return ChartWords(words.key, words.title, words.meaning, series, words.decimals, words.starts_at_zero) if series else None


def _rules_charts(present: set[str]) -> list[ChartWords]:
    """One line for each reward where several are added up, so many to a chart as can be labelled."""
    named = [(name, match["name"]) for name in sorted(present) if (match := _RULE_REWARD.match(name)) is not None]
    if len(named) < 2:
        return []
    meaning = _tr("Each reward by itself, before its weight.")
    parts = [tuple(named[at : at + MOST_SERIES]) for at in range(0, len(named), MOST_SERIES)]
    return [ChartWords(f"rules_{at}", _tr("Rewards, one by one"), meaning, part, 2) for at, part in enumerate(parts)]


def headline(objective: ObjectiveName, metrics: Sequence[str]) -> list[tuple[str, str]]:
    """The two numbers that say most about a run of this objective, as name and metric; fewer where they are not told."""
    wanted: Mapping[ObjectiveName, tuple[tuple[str, str], ...]] = {
        "dpo": ((_tr("Accuracy"), "rewards/accuracies"), (_tr("Margin"), "rewards/margins")),
        "orpo": ((_tr("Accuracy"), "rewards/accuracies"), (_tr("Margin"), "rewards/margins")),
        "kto": ((_tr("Margin"), "rewards/margins"), (_tr("KL"), "kl")),
        "reward": ((_tr("Accuracy"), "accuracy"), (_tr("Margin"), "margin")),
    }
    pair = wanted.get(objective, ((_tr("Reward"), "reward"), (_tr("KL"), "kl"), (_tr("Accuracy"), "accuracy")))
    return [(name, metric) for name, metric in pair if metric in metrics][:2]
