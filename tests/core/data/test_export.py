"""Conversion: what comes out is read again as the target, in every kind of file, and what could not be converted is said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from desktop_ft.core.data.export import OUT_SUFFIXES, convert_file
from desktop_ft.core.data.formats import resolve_format, to_example
from desktop_ft.core.data.read import read_rows
from desktop_ft.core.data.records import Conversation, Example, Judged, Message, PlainText, Preference, PromptCompletion, Task
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.errors import DesktopFtError
from tests.core.data.tiny import make_model_dir

HI, HELLO, NO = Message("user", "Hi"), Message("assistant", "Hello"), Message("assistant", "No")
SYSTEM = Message("system", "Be brief.")
PAIR = {"prompt": "Hi", "chosen": "Hello", "rejected": "No"}
LONG_PAIR = {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], "chosen": "Hello", "rejected": "No"}


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _examples(path: Path, format_name: str) -> list[Example]:
    rows = read_rows(path)
    detection = resolve_format(rows.rows, "auto", {})
    assert detection.format == format_name
    return [to_example(row, number, detection.format, detection.columns) for row, number in zip(rows.rows, rows.numbers, strict=True)]


@pytest.mark.parametrize("suffix", OUT_SUFFIXES)
@pytest.mark.parametrize(
    ("target", "format_name", "short", "long"),
    [
        ("messages", "messages", [Conversation((HI, HELLO))], [Conversation((SYSTEM, HI, HELLO))]),
        ("prompt_completion", "prompt_completion", [PromptCompletion("Hi", "Hello")], [PromptCompletion((SYSTEM, HI), (HELLO,))]),
        ("preference", "preference", [Preference("Hi", "Hello", "No")], [Preference((SYSTEM, HI), (HELLO,), (NO,))]),
        (
            "kto", "kto",
            [Judged("Hi", "Hello", is_good=True), Judged("Hi", "No", is_good=False)],
            [Judged((SYSTEM, HI), (HELLO,), is_good=True), Judged((SYSTEM, HI), (NO,), is_good=False)],
        ),
        ("prompts", "prompts", [Task("Hi")], [Task((SYSTEM, HI))]),
        ("rl", "prompt_completion", [PromptCompletion("Hi", "Hello")], None),
    ],
)  # fmt: skip
def test_pairs_become_any_target_in_any_kind_of_file(
    target: str, format_name: str, short: list[Example], long: list[Example] | None, suffix: str, tmp_path: Path
) -> None:
    out = tmp_path / f"out{suffix}"
    done = convert_file(_write(tmp_path / "short.jsonl", [PAIR]), out, target)
    assert (done.format, done.num_rows, done.num_written, done.num_left_out) == ("preference", 1, len(short), 0)
    assert _examples(out, format_name) == short
    if long is not None:
        convert_file(_write(tmp_path / "long.jsonl", [LONG_PAIR]), out, target, overwrite=True)
        assert _examples(out, format_name) == long


def test_one_long_row_makes_every_row_turns(tmp_path: Path) -> None:
    convert_file(_write(tmp_path / "a.jsonl", [PAIR, LONG_PAIR]), tmp_path / "b.jsonl", "preference")
    assert _examples(tmp_path / "b.jsonl", "preference")[0] == Preference((HI,), (HELLO,), (NO,))


@pytest.mark.parametrize("suffix", OUT_SUFFIXES)
def test_tool_calls_come_along(suffix: str, tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    source = _write(tmp_path / "a.jsonl", [{"messages": turns, "tools": [{"type": "function", "function": {"name": "f"}}]}])
    convert_file(source, tmp_path / f"out{suffix}", "messages")
    assert _examples(tmp_path / f"out{suffix}", "messages") == _examples(source, "messages")


def test_scores_become_pairs_and_ties_are_counted(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Hi", "responses": ["a", "b", "c"], "scores": [1, 3, 2]},
        {"prompt": "Ho", "responses": ["a", "b"], "scores": [2, 2]},
    ]
    done = convert_file(_write(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl", "preference")
    assert (done.num_written, done.num_unwanted, done.num_left_out) == (2, 1, 0)
    assert _examples(tmp_path / "b.jsonl", "preference") == [Preference("Hi", "b", "c"), Preference("Hi", "b", "a")]


def test_what_cannot_be_converted_is_said_with_its_row(tmp_path: Path) -> None:
    rows: list[Mapping[str, object]] = [{"problem": "6 * 7", "solution": 42}, {"problem": "?", "solution": None}, {"problem": None}]
    done = convert_file(_write(tmp_path / "a.jsonl", [*rows, rows[0], rows[0]]), tmp_path / "b.csv", "rl")
    assert done.to_dict() == {
        "path": str(tmp_path / "b.csv"),
        "format": "rl",
        "format_reason": "3 of 5 rows have a prompt and the right answer to check with (problem, solution).",
        "to": "rl",
        "num_rows": 5,
        "num_written": 3,
        "num_left_out": 2,
        "num_unwanted": 0,
        "problems": [
            {"row": 1, "reason": "it states no right answer."},
            {"row": 2, "reason": "prompt is missing or null."},
        ],
        "notes": [],
    }
    assert (tmp_path / "b.csv").read_text(encoding="utf-8").splitlines() == ["prompt,answer", *["6 * 7,42"] * 3]


def test_columns_are_mapped_and_text_takes_a_template(tmp_path: Path) -> None:
    source = _write(tmp_path / "a.jsonl", [{"q": "Hi", "good": "Hello", "bad": "No"}])
    by_hand = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    convert_file(source, tmp_path / "b.jsonl", "preference", columns=by_hand)
    assert _examples(tmp_path / "b.jsonl", "preference") == [Preference("Hi", "Hello", "No")]
    tokenizer = load_tokenizer(make_model_dir(tmp_path / "model"))
    convert_file(source, tmp_path / "c.jsonl", "text", columns=by_hand, tokenizer=tokenizer)
    words = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
    assert _examples(tmp_path / "c.jsonl", "text") == [PlainText(words)]


def test_the_output_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    source = _write(tmp_path / "a.jsonl", [{"text": "a"}])
    (tmp_path / "old.jsonl").write_text("old", encoding="utf-8")
    cases = [
        (source, "old.jsonl", "text", "data_output_unusable"),
        (source, "a.jsonl", "text", "data_output_unusable"),
        (source, "b.docx", "text", "data_output_unusable"),
        (source, "b.jsonl", "alpaca", "data_target_unknown"),
        (source, "b.jsonl", "messages", "data_nothing_converted"),
        (source, "b.jsonl", "preference", "data_nothing_converted"),
    ]
    for path, out, target, code in cases:
        with pytest.raises(DesktopFtError) as caught:
            convert_file(path, tmp_path / out, target)
        assert caught.value.code == code
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.jsonl", "old.jsonl"]
    assert (tmp_path / "old.jsonl").read_text(encoding="utf-8") == "old"
    convert_file(source, tmp_path / "old.jsonl", "text", overwrite=True)
    assert _examples(tmp_path / "old.jsonl", "text") == [PlainText("a")]
