"""What is wrong with rules, found before the start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from desktop_ft.core.config.objectives import RewardRule
from desktop_ft.core.errors import Problem
from desktop_ft.core.rewards.patterns import Pattern
from desktop_ft.core.rewards.schemas import Schema

RULES_PATH: Final = "objective.rewards.rules"


def rule_problems(rules: Sequence[RewardRule]) -> Iterator[Problem]:
    """Every problem, at ``objective.rewards.rules.NUMBER.FIELD``, numbers from 0."""
    for number, rule in enumerate(rules):
        for field, message, hint in _problems(rule):
            yield Problem(f"{RULES_PATH}.{number}.{field}", f"rule {number + 1} ({rule.kind}): {message}", hint)


def _problems(rule: RewardRule) -> Iterator[tuple[str, str, str]]:
    match rule.kind:
        case "regex":
            if not rule.pattern:
                yield "pattern", "there is no pattern; an empty one is found in every answer.", "Write what a good answer contains."
            yield from _pattern_problems(rule.pattern)
        case "exact_answer":
            yield from _pattern_problems(rule.pattern, needs_group=True)
        case "json_schema":
            try:
                Schema(rule.schema_source)
            except ValueError as error:
                yield "schema_source", f"{error}.", "Name a file with a JSON schema, write the schema, or leave it empty for any JSON."
        case "length":
            if rule.min_tokens > rule.max_tokens:
                message = f"min_tokens ({rule.min_tokens}) is above max_tokens ({rule.max_tokens})."
                yield "min_tokens", message, f"Set min_tokens to at most {rule.max_tokens}."


def _pattern_problems(text: str, *, needs_group: bool = False) -> Iterator[tuple[str, str, str]]:
    if not text:
        return
    try:
        pattern = Pattern(text)
    except ValueError as error:
        yield "pattern", f"'{text[:80]}' is no regular expression: {error}.", r"Put a backslash before a sign that is meant as itself: \("
        return
    if needs_group and pattern.num_groups == 0:
        yield "pattern", f"'{text[:80]}' has no group to compare.", r"Put round brackets around the answer, such as: Answer: (.+)"
