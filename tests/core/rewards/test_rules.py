"""What rules score, and that no answer of a model makes them hang or fail."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from desktop_ft.core.config import config_from_values
from desktop_ft.core.config.objectives import RewardRule
from desktop_ft.core.rewards.check import rule_problems
from desktop_ft.core.rewards.patterns import SECONDS_PER_SEARCH
from desktop_ft.core.rewards.rules import make_rules, score_rules

PERSON = json.dumps(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)


def score(rule: RewardRule, text: str, num_tokens: int = 10, expected: str | None = None) -> float | None:
    (scored,) = score_rules(make_rules([rule]), text, num_tokens, expected)
    return scored[1]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("yes", "Oh yes.", 1.0),
        ("^yes$", "Oh yes.", 0.0),
        (r"(?s)^<think>.*</think>\s*<answer>.*</answer>$", "<think>one\ntwo</think>\n<answer>3</answer>", 1.0),
        (r"(?i)^(?!.*http).*end$", "No link. END", 1.0),
        (r"(?i)^(?!.*http).*end$", "http://x END", 0.0),
    ],
)
def test_regex(pattern: str, text: str, expected: float) -> None:
    assert score(RewardRule(kind="regex", pattern=pattern), text) == expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 60 + "b"),
        ("(a|aa)+$", "a" * 60 + "b"),
        ("(.*?,){25}P", "1,2,3,4,5,6,7,8,9,0," * 30),
    ],
)
def test_a_pattern_that_would_search_for_ever_counts_as_not_found(pattern: str, text: str) -> None:
    began = time.process_time()
    assert score(RewardRule(kind="regex", pattern=pattern), text) == 0.0
    assert time.process_time() - began < SECONDS_PER_SEARCH + 1.0


def test_searches_that_took_too_long_are_counted() -> None:
    (rule,) = make_rules([RewardRule(kind="regex", pattern="(a|aa)+$")])
    assert [scored for _, scored in score_rules([rule], "a" * 60 + "b", 60)] == [0.0]
    assert rule.num_timeouts == 1
    assert score_rules([rule], "aaa", 3) == [("regex", 1.0)]
    assert rule.num_timeouts == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name": "Ada", "age": 36}', 1.0),
        ('  {"name": "Ada", "age": 36}\n', 1.0),
        ('{"name": "Ada", "age": -1}', 0.0),
        ('{"name": "Ada"}', 0.0),
        ('{"name": "Ada", "age": 36, "more": 1}', 0.0),
        ('Here: {"name": "Ada", "age": 36}', 0.0),
        ("", 0.0),
    ],
)
def test_json_schema(text: str, expected: float, tmp_path: Path) -> None:
    file = tmp_path / "person.json"
    file.write_text(PERSON, encoding="utf-8")
    assert score(RewardRule(kind="json_schema", schema_source=PERSON), text) == expected
    assert score(RewardRule(kind="json_schema", schema_source=str(file)), text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("[1, 2]", 1.0), ('"a"', 1.0), ("null", 1.0), ("NaN", 0.0), ("{1: 2}", 0.0), ("[1,]", 0.0), ("", 0.0)]
)
def test_without_a_schema_any_json_is_good(text: str, expected: float) -> None:
    assert score(RewardRule(kind="json_schema"), text) == expected


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"name": "x", "age": 1, "\\ud800": 1}', '{"name": "x", "age": ' + "9" * 5000 + "}", '{"name": "x", "age": 1e999}'],
)
def test_json_that_readers_choke_on_scores_nothing(text: str) -> None:
    assert score(RewardRule(kind="json_schema", schema_source=PERSON), text) == 0.0


def test_a_schemas_own_pattern_cannot_hang() -> None:
    rule = RewardRule(kind="json_schema", schema_source=json.dumps({"type": "string", "pattern": r"^(?:(a|aa)+\1)+$"}))
    began = time.process_time()
    assert score(rule, json.dumps("a" * 60 + "b")) == 0.0
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    ("num_tokens", "expected"), [(0, 0.0), (5, 0.5), (10, 1.0), (15, 1.0), (20, 1.0), (25, 0.75), (30, 0.5), (40, 0.0), (400, 0.0)]
)
def test_length_is_one_within_and_falls_to_nothing_outside(num_tokens: int, expected: float) -> None:
    assert score(RewardRule(kind="length", min_tokens=10, max_tokens=20), "text", num_tokens) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("pattern", "text", "wanted", "expected"),
    [
        ("", " Forty\n TWO ", "forty two", 1.0),
        ("", "forty three", "forty two", 0.0),
        ("", "anything", None, None),
        (r"#### (.+)", "It is so.\n#### 42", "42", 1.0),
        (r"#### (.+)", "It is so.\n#### 42", "6 x 7\n#### 42", 1.0),
        (r"#### (.+)", "42", "42", 0.0),
        (r"#### (.+)|none", "none", "42", 0.0),
        ("", "\uff14\uff12", "42", 1.0),
    ],
)
def test_exact_answer(pattern: str, text: str, wanted: str | None, expected: float | None) -> None:
    assert score(RewardRule(kind="exact_answer", pattern=pattern), text, expected=wanted) == expected


def test_rules_of_one_kind_have_names_of_their_own() -> None:
    rules = make_rules(
        [RewardRule(kind="regex", pattern="a"), RewardRule(kind="length", weight=0.5), RewardRule(kind="regex", pattern="b", weight=-2.0)]
    )
    assert [(rule.name, rule.weight) for rule in rules] == [("regex_1", 1.0), ("length", 0.5), ("regex_2", -2.0)]


def test_every_problem_is_found_before_the_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    foreign = json.dumps({"$ref": broken.as_uri()})
    rules = [
        RewardRule(kind="regex", pattern="fine"),
        RewardRule(kind="regex"),
        RewardRule(kind="regex", pattern="("),
        RewardRule(kind="exact_answer", pattern="no group"),
        RewardRule(kind="exact_answer"),
        RewardRule(kind="json_schema", schema_source='{"type": "objct"}'),
        RewardRule(kind="json_schema", schema_source=str(tmp_path / "nowhere.json")),
        RewardRule(kind="json_schema", schema_source=str(broken)),
        RewardRule(kind="json_schema", schema_source=foreign),
        RewardRule(kind="length", min_tokens=30, max_tokens=20),
    ]
    problems = list(rule_problems(rules))
    assert [problem.path for problem in problems] == [
        "objective.rewards.rules.1.pattern",
        "objective.rewards.rules.2.pattern",
        "objective.rewards.rules.3.pattern",
        "objective.rewards.rules.5.schema_source",
        "objective.rewards.rules.6.schema_source",
        "objective.rewards.rules.7.schema_source",
        "objective.rewards.rules.8.schema_source",
        "objective.rewards.rules.9.min_tokens",
    ]
    assert problems[1].message == "rule 3 (regex): '(' is no regular expression: missing ) at position 1."
    assert "the schema is no schema" in problems[3].message
    assert problems[3].message.endswith("(at type).")
    assert "nowhere.json cannot be read" in problems[4].message
    assert "Retrieval is disabled" in problems[6].message
    assert problems[7].message == "rule 10 (length): min_tokens (30) is above max_tokens (20)."


def test_a_schemas_file_counts_from_the_configurations_folder(tmp_path: Path) -> None:
    written = [{"kind": "json_schema", "schema_source": source} for source in ("person.json", PERSON)]
    objective = {"kind": "grpo", "rewards": {"rules": written}}
    values: dict[str, object] = {"model": {"source": "demo"}, "data": {"train": "demo"}, "objective": objective}
    (tmp_path / "person.json").write_text(PERSON, encoding="utf-8")
    rules = config_from_values(values, tmp_path, "run").objective.rewards.rules
    assert [rule.schema_source for rule in rules] == [str(tmp_path / "person.json"), PERSON]
