"""Fixes leave rows out when reading: the same ones for the report, the preview and the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from desktop_ft.core.data.check import inspect_data
from desktop_ft.core.data.dataset import load_training_data
from desktop_ft.core.data.fixes import FIXES
from desktop_ft.core.data.tokenizer import ModelTokenizer, load_tokenizer
from desktop_ft.core.data.view import view_rows
from desktop_ft.core.errors import DesktopFtError
from tests.core.data.tiny import make_model_dir

PLAIN = ("drop_malformed_rows", "drop_empty_answers", "drop_exact_duplicates", "drop_over_length")
"""The fixes that find something in the file below."""


@pytest.fixture
def tokenizer(tmp_path: Path) -> ModelTokenizer:
    return load_tokenizer(make_model_dir(tmp_path / "model"))


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """12 rows: 8 good; row 2 repeats row 1, row 5 is empty, row 7 is too long, row 9 has no answer at all."""
    rows: list[object] = [{"question": f"What is {index} + 1?", "answer": f"It is {index + 1}."} for index in range(12)]
    rows[2] = rows[1]
    rows[5] = {"question": "Empty?", "answer": " \n"}
    rows[7] = {"question": "Long?", "answer": "fox " * 200}
    rows[9] = {"question": "None?", "answer": None}
    path = tmp_path / "faulty.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_report_is_about_what_is_left(faulty: Path, tokenizer: ModelTokenizer) -> None:
    before = inspect_data(faulty, tokenizer=tokenizer, max_length=100)
    assert {finding.code for finding in before.findings} >= {"malformed_rows", "empty_answers", "exact_duplicates", "over_length"}
    assert (before.num_usable, before.dropped) == (11, {})
    after = inspect_data(faulty, tokenizer=tokenizer, max_length=100, fixes=FIXES)
    assert {finding.code for finding in after.findings} == {"too_few_rows"}
    assert (after.num_rows, after.num_usable, after.dropped) == (12, 8, dict.fromkeys(PLAIN, 1))
    assert after.lengths is not None
    assert (after.lengths.num_examples, after.lengths.num_over) == (8, 0)


def test_the_preview_leaves_out_the_same_rows(faulty: Path, tokenizer: ModelTokenizer) -> None:
    unfixed = [view["row"] for view in view_rows(faulty, tokenizer, 100, 50)]
    assert unfixed == [index for index in range(12) if index != 9]
    views = view_rows(faulty, tokenizer, 100, 50, fixes=FIXES)
    assert [view["row"] for view in views] == [0, 1, 3, 4, 6, 8, 10, 11]
    assert views[2]["messages"] == [{"role": "user", "content": "What is 3 + 1?"}, {"role": "assistant", "content": "It is 4."}]
    shown = view_rows(faulty, tokenizer, 100, 50, only={5, 7})
    assert [(view["row"], view["truncated"]) for view in shown] == [(5, False), (7, True)]
    assert len(str(shown[1]["cut_tokens"])) > 10
    tokens, special = cast("list[str]", views[0]["tokens"]), cast("list[bool]", views[0]["special"])
    assert [text for text, is_special in zip(tokens, special, strict=True) if is_special] == ["<|im_start|>", "<|im_end|>"] * 2


def test_training_leaves_out_the_same_rows_and_says_so(faulty: Path, tokenizer: ModelTokenizer) -> None:
    def load(*fixes: str, max_length: int = 100) -> tuple[int, str]:
        data = load_training_data(
            faulty, None, fraction=0.0, seed=1, format="auto", columns={}, tokenizer=tokenizer, max_length=max_length,
            assistant_only_loss=True, fixes=fixes,
        )  # fmt: skip
        return len(data.train), " ".join(data.notes)

    with pytest.raises(DesktopFtError) as caught:
        load("drop_exact_duplicates")
    assert caught.value.code == "data_row_malformed"
    assert "10" in caught.value.message
    num_train, notes = load(*FIXES)
    assert num_train == 8
    assert "1 that cannot be read" in notes
    assert "1 that are longer" in notes
    with pytest.raises(DesktopFtError) as caught:
        load(*FIXES, max_length=8)
    assert caught.value.code == "data_all_dropped"
