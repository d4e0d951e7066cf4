"""The report on a file, and its rows as the trainer sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from desktop_ft.core.data.check import DataReport, inspect_data
from desktop_ft.core.data.lengths import measure
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.data.view import view_rows
from desktop_ft.core.errors import DesktopFtError
from tests.core.data.tiny import CHATML, make_model_dir


def _write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _good(count: int) -> list[object]:
    return [{"question": f"What is {index} + 1?", "answer": f"It is {index + 1}."} for index in range(count)]


def _found(report: DataReport) -> dict[str, tuple[int, ...]]:
    return {finding.code: finding.rows for finding in report.findings}


def test_a_good_file_scores_100(tmp_path: Path) -> None:
    report = inspect_data(_write(tmp_path / "a.jsonl", _good(120)))
    assert (report.format, report.num_rows, report.num_usable, report.columns) == ("qa", 120, 120, ("question", "answer"))
    assert (report.score, report.findings, report.lengths) == (100, (), None)
    assert report.score_reasons == ("120 rows, nothing found that would hurt.",)


def test_every_fault_is_found_at_its_row(tmp_path: Path) -> None:
    rows = _good(120)
    rows[3] = rows[1]
    rows[7] = {"question": "Empty?", "answer": " \n"}
    rows[9] = {"question": "Yes?", "answer": "Yes"}
    rows[11] = {"question": "None?", "answer": None}
    rows[13] = {"question": "Long?", "answer": "fox " * 200}
    path = _write(tmp_path / "a.jsonl", rows)
    text = path.read_text(encoding="utf-8").splitlines()
    text[15] = "{broken"
    path.write_text("\n".join(text), encoding="utf-8")
    report = inspect_data(path, tokenizer=load_tokenizer(make_model_dir(tmp_path / "model")), max_length=100)
    assert _found(report) == {
        "malformed_rows": (11, 15),
        "empty_answers": (7,),
        "exact_duplicates": (3,),
        "over_length": (13,),
        "one_word_answers": (9,),
    }
    assert (report.num_rows, report.num_usable) == (120, 118)
    assert "row 12" in report.findings[0].message
    assert 70 <= report.score < 95
    assert len(report.score_reasons) == 4


def test_few_rows_cost_points(tmp_path: Path) -> None:
    report = inspect_data(_write(tmp_path / "a.jsonl", _good(10)))
    assert _found(report) == {"too_few_rows": ()}
    assert report.score == 64


def test_the_documented_shape(tmp_path: Path) -> None:
    rows = [*_good(50), *_good(1)]
    tokenizer = load_tokenizer(make_model_dir(tmp_path / "model"))
    shown = inspect_data(_write(tmp_path / "a.jsonl", rows), tokenizer=tokenizer, max_length=8).to_dict()
    json.dumps(shown, allow_nan=False)
    assert {"format", "num_rows", "num_usable", "columns", "lengths", "score", "findings"} <= shown.keys()
    lengths = cast("dict[str, object]", shown["lengths"])
    histogram = cast("dict[str, list[int]]", lengths["histogram"])
    assert sum(histogram["counts"]) == lengths["num_examples"] == lengths["num_over"] == 51
    assert len(histogram["bin_edges"]) == len(histogram["counts"]) + 1
    finding = cast("list[dict[str, object]]", shown["findings"])[0]
    assert set(finding) == {"code", "title", "message", "severity", "num_rows", "rows", "fix", "fixes"}
    assert (finding["code"], finding["num_rows"], finding["rows"]) == ("exact_duplicates", 1, [50])


def test_rows_that_the_template_refuses_are_findings_in_a_report_and_errors_with_their_number_in_a_view(tmp_path: Path) -> None:
    source = "{% if messages[0]['content'] == 'bad' %}{{ raise_exception('no') }}{% endif %}" + CHATML
    tokenizer = load_tokenizer(make_model_dir(tmp_path / "model", source))
    path = _write(tmp_path / "a.jsonl", [*_good(2), {"question": "bad", "answer": "a"}])
    report = inspect_data(path, tokenizer=tokenizer, max_length=64)
    assert _found(report) == {"malformed_rows": (2,), "too_few_rows": ()}
    assert report.num_usable == 2
    with pytest.raises(DesktopFtError, match="Row 3: The template says: no") as caught:
        view_rows(path, tokenizer, 64, 5)
    assert caught.value.code == "template_refused"


def test_a_view_leaves_malformed_rows_out(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_model_dir(tmp_path / "model"))
    path = _write(tmp_path / "a.jsonl", [*_good(1), {"question": "a", "answer": None}, [], *_good(1)])
    assert [view["row"] for view in view_rows(path, tokenizer, 64, 5)] == [0, 3]


def test_lengths_of_few_and_of_equal_examples() -> None:
    assert measure([], 4) is None
    equal = measure([5, 5, 5], None)
    assert equal is not None
    assert (equal.counts, equal.bin_edges, equal.median, equal.p95) == ((3,), (5, 6), 5, 5)
    spread = measure(range(1, 101), 90)
    assert spread is not None
    assert (spread.median, spread.p95, spread.num_over, sum(spread.counts)) == (50, 95, 10, 100)


def test_rows_as_the_trainer_sees_them(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_model_dir(tmp_path / "model"))
    views = view_rows(_write(tmp_path / "a.jsonl", _good(5)), tokenizer, 40, 2)
    assert len(views) == 2
    view = views[0]
    assert {"input_ids", "labels", "text", "num_supervised", "truncated", "ends_with_eos"} <= view.keys()
    assert view["text"] == "<|im_start|>user\nWhat is 0 + 1?<|im_end|>\n<|im_start|>assistant\nIt is 1.<|im_end|>\n"
    assert "".join(cast("list[str]", view["tokens"])) == view["text"]
    assert (view["truncated"], view["ends_with_eos"]) == (False, True)
    cut = view_rows(tmp_path / "a.jsonl", tokenizer, 5, 1)[0]
    assert (cut["truncated"], cut["num_supervised"], cut["ends_with_eos"]) == (True, 0, False)
