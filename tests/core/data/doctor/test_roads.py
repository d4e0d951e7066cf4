"""What the doctor finds, mends and leaves out is the same for the report, the preview, the view and the run."""

# ruff: noqa: E501 (sentences)

from __future__ import annotations

import json
from pathlib import Path
from typing import cast, get_args

import pytest

from desktop_ft.core import worker
from desktop_ft.core.config.schema import DataFixName
from desktop_ft.core.data.check import inspect_data
from desktop_ft.core.data.dataset import load_training_data
from desktop_ft.core.data.doctor import cache, scan
from desktop_ft.core.data.doctor.near_duplicates import near_duplicates
from desktop_ft.core.data.fix_names import FIXES_OF, MENDING
from desktop_ft.core.data.fix_preview import preview_fix
from desktop_ft.core.data.fixes import FIXES, REPAIRS
from desktop_ft.core.data.records import Example, Judged, Preference, PromptCompletion
from desktop_ft.core.data.tokenizer import ModelTokenizer, load_tokenizer
from desktop_ft.core.data.view import view_rows
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.worker_client import run_task
from tests.core.data.tiny import make_model_dir

STORY = (
    "The old ferry left the pier at dawn, and nobody waved, for the whole village was asleep behind its shutters and the gulls were quiet."
)
FAULTS = {
    2: ("Where does the ferry go?", "Ask jane.doe@gmail.com, she has the list of all the ferries."),
    4: ("What is the food on it?", "It is cafÃ© food and it is not dear."),
    6: ("Is the deck of the ferry open?", "<p>Yes, but not in winter.</p>"),
    8: ("When does the ferry come back?", "I'm sorry, but I can't assist with that."),
    10: ("Tell me of the ferry.", STORY),
    11: ("Tell me of the ferry.", STORY.replace("old ferry", "old grey ferry")),
    13: (
        "Tell me of the pier and of what it is for.",
        "In the summer the pier of our town is full of people who look at the sea and at the boats.",
    ),
}


@pytest.fixture
def tokenizer(tmp_path: Path) -> ModelTokenizer:
    return load_tokenizer(make_model_dir(tmp_path / "model"))


def _write(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("".join(json.dumps({"question": question, "answer": answer}) + "\n" for question, answer in rows), encoding="utf-8")
    return path


@pytest.fixture
def train(tmp_path: Path) -> Path:
    rows = [(f"What is {index} + 1?", f"It is {index + 1}.") for index in range(16)]
    for index, row in FAULTS.items():
        rows[index] = row
    return _write(tmp_path / "train.jsonl", rows)


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    return _write(tmp_path / "eval.jsonl", [FAULTS[13], ("What is a boat of the sea?", "It is a thing that floats and that people row.")])


def test_every_fault_has_its_row_and_its_fixes(train: Path, held_out: Path) -> None:
    report = inspect_data(train, eval_path=held_out, method="full", objective="sft")
    found = {finding.code: finding.rows for finding in report.findings}
    assert found == {
        "leakage": (13,), "emails": (2,), "mojibake": (4,), "refusals": (8,), "html": (6,), "near_duplicates": (11,), "too_few_rows": (),
    }  # fmt: skip
    assert all(finding.to_dict()["fixes"] for finding in report.findings if finding.rows)
    assert 0 <= report.score < 60
    assert len(report.score_reasons) == len(found)


def test_fixes_are_the_names_that_the_configuration_takes() -> None:
    assert set(get_args(DataFixName)) == set(FIXES)
    assert set(REPAIRS) == MENDING
    assert {fix for fixes in FIXES_OF.values() for fix in fixes} == set(FIXES)


def test_the_run_learns_what_the_report_and_the_view_show(train: Path, held_out: Path, tokenizer: ModelTokenizer) -> None:
    fixes = ("mask_emails", "repair_mojibake", "strip_html", "drop_refusals", "drop_near_duplicates", "drop_leakage")
    report = inspect_data(train, eval_path=held_out, fixes=fixes, tokenizer=tokenizer)
    assert [finding.code for finding in report.findings] == ["too_few_rows"]
    assert (dict(report.dropped), dict(report.changed)) == (
        {"drop_refusals": 1, "drop_near_duplicates": 1, "drop_leakage": 1},
        {"repair_mojibake": 1, "strip_html": 1, "mask_emails": 1},
    )
    views = view_rows(train, tokenizer, 256, 50, fixes=fixes, eval_path=held_out)
    shown = {cast("int", view["row"]): cast("list[dict[str, str]]", view["messages"])[-1]["content"] for view in views}
    assert sorted(shown) == [index for index in range(16) if index not in (8, 11, 13)]
    assert (shown[2], shown[4], shown[6]) == (
        "Ask <EMAIL>, she has the list of all the ferries.",
        "It is café food and it is not dear.",
        "Yes, but not in winter.",
    )
    data = load_training_data(
        train, held_out, fraction=0.0, seed=1, format="auto", columns={}, tokenizer=tokenizer, max_length=256, assistant_only_loss=True, fixes=fixes,
    )  # fmt: skip
    assert [list(example.input_ids) for example in data.train] == [view["input_ids"] for view in views]
    assert len(data.eval) == 2
    assert "1 that had e-mail addresses, which are masked" in " ".join(data.notes)


@pytest.mark.parametrize(
    ("fix", "row", "after"),
    [
        ("mask_emails", 2, "Ask <EMAIL>, she has the list of all the ferries."), ("drop_emails", 2, None), ("strip_html", 6, "Yes, but not in winter."),
        ("drop_near_duplicates", 11, None), ("drop_leakage", 13, None),
    ],
)  # fmt: skip
def test_a_preview_shows_before_and_after(fix: str, row: int, after: str | None, train: Path, held_out: Path) -> None:
    shown = preview_fix(train, fix, eval_path=held_out).to_dict()
    assert (shown["num_dropped"], shown["num_changed"]) == ((1, 0) if after is None else (0, 1))
    (touched,) = cast("list[dict[str, object]]", shown["rows"])
    assert touched["row"] == row
    assert cast("list[dict[str, str]]", touched["before"])[-1]["content"] == FAULTS[row][1]
    assert (touched["after"] and cast("list[dict[str, str]]", touched["after"])[-1]["content"]) == after


def test_previews_of_what_is_too_long_and_of_what_there_is_not(train: Path, tokenizer: ModelTokenizer) -> None:
    shown = preview_fix(train, "drop_over_length", tokenizer=tokenizer, max_length=40, objective="sft")
    assert {row.index for row in shown.rows} >= {10, 11}
    with pytest.raises(DesktopFtError) as caught:
        preview_fix(train, "drop_everything")
    assert caught.value.code == "data_fix_unknown"


def test_a_mended_row_stays_the_same_when_it_is_mended_again() -> None:
    row = PromptCompletion("Who is it?", "<p>Ask jane.doe@gmail.com or +49 30 901820, the cafÃ© &amp; bar.</p>")
    for mend in REPAIRS.values():
        once = mend(row)
        assert mend(once) == once


def test_swapped_pairs_and_other_marks_are_no_near_duplicates() -> None:
    rows: list[tuple[int, Example]] = [
        (0, Preference("Tell me of the ferry.", STORY, STORY.upper() + " And then it sank.")),
        (1, Preference("Tell me of the ferry.", "It sank. " * 12, STORY)),
        (2, Judged("Tell me of the ferry.", STORY, is_good=True)),
        (3, Judged("Tell me of the ferry.", STORY, is_good=False)),
        (4, Judged("Tell me of the ferry.", STORY.lower(), is_good=False)),
    ]
    assert near_duplicates(rows) == [4]


def test_many_processes_find_what_one_finds(train: Path, tokenizer: ModelTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = inspect_data(train, tokenizer=tokenizer, max_length=64)
    monkeypatch.setattr(scan, "_POOL_CHARACTERS", 0)
    monkeypatch.setattr(scan, "_CHUNK_ROWS", 5)
    monkeypatch.setattr(scan, "num_cores", lambda: 2)
    seen: list[tuple[int, int]] = []
    together = inspect_data(train, tokenizer=tokenizer, max_length=64, progress=lambda done, total: seen.append((done, total)))
    assert together == alone
    assert seen == [(5, 16), (10, 16), (15, 16), (16, 16)]


def test_a_report_is_remembered_until_the_file_changes(train: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_WORTH_SECONDS", 0.0)
    payload: dict[str, object] = {"path": str(train), "format": "auto"}
    first = worker.TASKS["inspect"](payload)
    monkeypatch.setattr("desktop_ft.core.data.check.inspect_data", None)
    assert worker.TASKS["inspect"](payload) == json.loads(json.dumps(first))
    with pytest.raises(TypeError):
        worker.TASKS["inspect"]({**payload, "fixes": ["mask_emails"]})
    with train.open("a", encoding="utf-8") as file:
        file.write('{"question": "And?", "answer": "So."}\n')
    with pytest.raises(TypeError):
        worker.TASKS["inspect"](payload)


def test_the_child_tells_how_far_it_is(train: Path) -> None:
    told: list[tuple[int, int]] = []
    shown = run_task("preview_fix", {"path": str(train), "fix": "strip_html"}, 30)
    assert shown["num_changed"] == 1
    report = run_task("inspect", {"path": str(train)}, 30, progress=lambda done, total: told.append((done, total)))
    assert report["num_rows"] == 16
    assert set(told) <= {(16, 16)}
