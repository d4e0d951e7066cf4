"""The rules of ``objective.rewards.rules``, compiled once and asked many times."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from desktop_ft.core.config.objectives import RewardRule
from desktop_ft.core.rewards.patterns import Pattern
from desktop_ft.core.rewards.schemas import Schema


@dataclass(frozen=True)
class Answer:
    """What a rule looks at.

    Attributes:
        text: As the model wrote it, without special tokens.
        num_tokens: Its length with the token that ended it, as ``completions/mean_length`` counts.
        expected: The row's right answer, where the data has one.
    """

    text: str
    num_tokens: int
    expected: str | None = None


class Rule:
    """One rule, ready to score.

    Args:
        name: Unique among the rules of a run; metrics are called after it.
        weight: Multiplies the score where rules are summed.
        score: From an answer to 0 .. 1; None where the rule has nothing to compare with.
    """

    def __init__(self, name: str, weight: float, score: Callable[[Answer], float | None]) -> None:
        self.name = name
        self.weight = weight
        self.num_timeouts = 0
        self._score = score

    def score(self, answer: Answer) -> float | None:
        """How good the answer is, 0 to 1, before the weight; a search that takes too long counts as not found, and is counted."""
        try:
            return self._score(answer)
        except TimeoutError:
            self.num_timeouts += 1
            return 0.0


def make_rules(rules: Sequence[RewardRule]) -> tuple[Rule, ...]:
    """The rules, compiled.

    Raises:
        ValueError: A pattern or schema is wrong; `rule_problems` says so before.
    """
    return tuple(Rule(name, rule.weight, _scorer(rule)) for name, rule in zip(_names(rules), rules, strict=True))


def score_rules(rules: Sequence[Rule], text: str, num_tokens: int, expected: str | None = None) -> list[tuple[str, float | None]]:
    """Each rule's name with its score of one answer, 0 to 1, before the weight; None where the rule has nothing to compare with.

    Args:
        rules: As `make_rules` gives them.
        text: The answer, without special tokens.
        num_tokens: Its length with the token that ended it.
        expected: The row's right answer, where there is one.
    """
    answer = Answer(text, num_tokens, expected)
    return [(rule.name, rule.score(answer)) for rule in rules]


def _names(rules: Sequence[RewardRule]) -> list[str]:
    """The kinds; where there are several of one kind, numbered."""
    kinds = [str(rule.kind) for rule in rules]
    return [kind if kinds.count(kind) == 1 else f"{kind}_{kinds[: place + 1].count(kind)}" for place, kind in enumerate(kinds)]


def _scorer(rule: RewardRule) -> Callable[[Answer], float | None]:
    match rule.kind:
        case "regex":
            pattern = Pattern(rule.pattern)
            return lambda answer: float(pattern.is_in(answer.text))
        case "json_schema":
            schema = Schema(rule.schema_source)
            return lambda answer: float(schema.accepts(answer.text))
        case "length":
            return lambda answer: _length_score(answer.num_tokens, rule.min_tokens, rule.max_tokens)
        case "exact_answer":
            place = Pattern(rule.pattern) if rule.pattern else None
            return lambda answer: _exact_score(answer, place)


def _length_score(num_tokens: int, shortest: int, longest: int) -> float:
    """1 between the bounds; below falling to 0 at no token, above at twice the upper bound."""
    if num_tokens < shortest:
        return num_tokens / shortest
    return max(0.0, 1.0 - max(0, num_tokens - longest) / longest)


def _exact_score(answer: Answer, place: Pattern | None) -> float | None:
    """Whether the answer, or what stands in the pattern's group, is what was expected.

    An expected text that itself has the pattern, such as a worked solution ending in ``#### 42``, is read through it as well.
    """
    if answer.expected is None:
        return None
    given, expected = answer.text, answer.expected
    if place is not None:
        found = place.first_group(given)
        if found is None:
            return 0.0
        within = place.first_group(expected)
        given, expected = found, expected if within is None else within
    return float(_plain(given) == _plain(expected))


def _plain(text: str) -> str:
    """Without differences of case, spaces and Unicode form."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
