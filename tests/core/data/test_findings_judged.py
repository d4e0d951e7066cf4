"""What is found in pairs, marked answers and prompts, and what the same file says to another objective."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.data.check import DataReport, inspect_data
from desktop_ft.core.data.tokenizer import load_tokenizer
from tests.core.data.tiny import make_model_dir


def _inspect(tmp_path: Path, rows: Sequence[object], objective: ObjectiveName | None = None, max_length: int | None = None) -> DataReport:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tokenizer = None if max_length is None else load_tokenizer(make_model_dir(tmp_path / "model"))
    return inspect_data(path, objective=objective, tokenizer=tokenizer, max_length=max_length)


def _found(report: DataReport) -> dict[str, tuple[int, ...]]:
    return {finding.code: finding.rows for finding in report.findings}


def _pair(number: int, chosen: str, rejected: str) -> dict[str, str]:
    return {"prompt": f"Question {number}?", "chosen": chosen, "rejected": rejected}


def _balanced(count: int) -> list[object]:
    return [_pair(i, *(("a long answer", "a short") if i % 2 else ("a short", "a long answer"))) for i in range(count)]


def _judged(num_good: int, num_bad: int) -> list[object]:
    return [{"prompt": f"Question {i}?", "completion": f"Answer {i}.", "label": i < num_good} for i in range(num_good + num_bad)]


def test_good_pairs_have_no_findings(tmp_path: Path) -> None:
    report = _inspect(tmp_path, _balanced(200))
    assert (report.format, report.num_usable, report.score, report.findings) == ("preference", 200, 100, ())


def test_pairs_that_teach_nothing_or_contradict_are_found(tmp_path: Path) -> None:
    rows = [
        *_balanced(200),
        _pair(500, "Yes, it is.", "Yes, it is."),
        _pair(501, "So it is.", "Not so."),
        _pair(501, "Not so.", "So it is."),
    ]
    assert _found(_inspect(tmp_path, rows)) == {"swapped_pairs": (201, 202), "identical_pairs": (200,)}
    assert _found(_inspect(tmp_path, rows, "kto")) == {"swapped_pairs": (201, 202), "identical_pairs": (200,)}
    assert _found(_inspect(tmp_path, rows, "sft")) == {}


@pytest.mark.parametrize(("num_longer", "word"), [(151, "longer"), (150, None), (50, None), (49, "shorter")])
def test_length_that_gives_the_better_answer_away(num_longer: int, word: str | None, tmp_path: Path) -> None:
    rows = [_pair(i, *(("a long answer", "a short") if i < num_longer else ("a short", "a long answer"))) for i in range(200)]
    report = _inspect(tmp_path, rows)
    assert [finding.code for finding in report.findings] == (["length_bias"] if word else [])
    if word:
        assert f"the {word} one" in report.findings[0].message
        assert report.score == 85


@pytest.mark.parametrize(
    ("num_good", "num_bad", "fix"),
    [
        (100, 100, None),
        (50, 150, None),
        (40, 160, "objective.kto.desirable_weight to about 4.0"),
        (160, 40, "objective.kto.undesirable_weight to about 3.0"),
        (200, 0, "Add answers of the other kind."),
    ],
)
def test_marks_out_of_balance(num_good: int, num_bad: int, fix: str | None, tmp_path: Path) -> None:
    found = _inspect(tmp_path, _judged(num_good, num_bad)).findings
    assert [finding.code for finding in found] == (["class_imbalance"] if fix else [])
    assert fix is None or fix in found[0].fix


def test_an_answer_marked_both_ways_is_found(tmp_path: Path) -> None:
    rows = [*_judged(100, 100), {"prompt": "Question 3?", "completion": "Answer 3.", "label": False}]
    assert _found(_inspect(tmp_path, rows)) == {"label_conflicts": (3, 200)}


@pytest.mark.parametrize(
    ("objective", "count", "num_few"), [("sft", 99, 100), ("dpo", 199, 200), ("kto", 199, 200), ("grpo", 49, 50), (None, 199, 200)]
)
def test_few_rows_are_few_for_an_objective(objective: ObjectiveName | None, count: int, num_few: int, tmp_path: Path) -> None:
    report = _inspect(tmp_path, _balanced(count), objective)
    assert _found(report) == {"too_few_rows": ()}
    assert f"Below {num_few} " in report.findings[0].message
    assert _found(_inspect(tmp_path, _balanced(num_few), objective)) == {}


def test_the_wrong_file_for_an_objective_is_a_finding_with_those_that_it_suits(tmp_path: Path) -> None:
    report = _inspect(tmp_path, _judged(100, 100), "dpo", 64)
    assert (report.format, report.num_usable, report.score, report.lengths) == ("kto", 0, 0, None)
    assert _found(report) == {"wrong_for_objective": ()}
    assert report.findings[0].severity == "error"
    assert "(sft, kto, grpo, rloo, ppo)" in report.findings[0].fix


@pytest.mark.parametrize(
    ("objective", "words"), [("dpo", "are cut off"), ("reward", "leaves these pairs out"), ("grpo", "leaves these prompts out")]
)
def test_what_becomes_of_rows_that_are_too_long_depends_on_the_objective(objective: ObjectiveName, words: str, tmp_path: Path) -> None:
    long = "fox " * 60
    report = _inspect(tmp_path, [*_balanced(200), {"prompt": long, "chosen": "Yes, it is.", "rejected": "a short"}], objective, 48)
    assert _found(report)["over_length"] == (200,)
    finding = next(finding for finding in report.findings if finding.code == "over_length")
    assert words in finding.message
    assert report.lengths is not None
    assert (report.lengths.num_examples, report.lengths.num_over) == (201, 1)


def test_a_pair_without_a_question_is_a_malformed_row(tmp_path: Path) -> None:
    odd = {"chosen": [{"role": "assistant", "content": "Yes"}], "rejected": [{"role": "assistant", "content": "No"}]}
    report = _inspect(tmp_path, [*_balanced(200), odd])
    assert (_found(report), report.num_usable) == ({"malformed_rows": (200,)}, 200)
