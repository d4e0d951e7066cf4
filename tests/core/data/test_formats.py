"""Formats: named rightly without a word from the person, and rows refused by number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desktop_ft.core.data.formats import FORMATS, detect_format, resolve_format, to_example
from desktop_ft.core.data.read import read_rows
from desktop_ft.core.data.records import Conversation, Example, Judged, Message, PlainText, Preference, PromptCompletion, Ranked, Task
from desktop_ft.core.data.signals import adapt
from desktop_ft.core.errors import DesktopFtError

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
HI = (Message("user", "Hi"), Message("assistant", "Hello"))
OPENAI = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
SHAREGPT = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
SYSTEM = Message("system", "Be brief.")

SYSTEM_TURN = {"role": "system", "content": "Be brief."}
NO = {"role": "assistant", "content": "No"}
PAIR = Preference(HI[:1], HI[1:], (Message("assistant", "No"),))
WITH_SYSTEM = Preference((SYSTEM, HI[0]), PAIR.chosen, PAIR.rejected)
HH = "\n\nHuman: Hi\n\nAssistant:"

CASES: list[tuple[str, Mapping[str, object], Example]] = [
    ("messages", {"messages": OPENAI, "id": 1}, Conversation(HI)),
    ("messages", {"conversations": OPENAI}, Conversation(HI)),
    ("messages", {"messages": json.dumps(OPENAI)}, Conversation(HI)),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, OPENAI[1]]}, Conversation(HI)),
    ("sharegpt", {"conversations": SHAREGPT, "system": "Be brief."}, Conversation((SYSTEM, *HI))),
    ("sharegpt", {"conversations": SHAREGPT, "system": ""}, Conversation(HI)),
    ("alpaca", {"instruction": "Hi", "input": "", "output": "Hello"}, Conversation(HI)),
    (
        "alpaca",
        {"instruction": "Add", "input": "1 2", "output": "3", "history": [["Hi", "Hello"]], "system": "Be brief."},
        Conversation((SYSTEM, *HI, Message("user", "Add\n\n1 2"), Message("assistant", "3"))),
    ),
    ("prompt_completion", {"prompt": "Hi", "completion": "Hello"}, PromptCompletion("Hi", "Hello")),
    ("prompt_completion", {"Prompt": "Hi", "response": "Hello"}, PromptCompletion("Hi", "Hello")),
    ("prompt_completion", {"prompt": OPENAI[:1], "completion": OPENAI[1:]}, PromptCompletion(HI[:1], HI[1:])),
    ("qa", {"question": "Hi", "answer": "Hello"}, Conversation(HI)),
    ("text", {"text": "Hi"}, PlainText("Hi")),
    ("text", {"anything": "Hi"}, PlainText("Hi")),
    ("preference", {"prompt": "Hi", "chosen": "Hello", "rejected": "No"}, Preference("Hi", "Hello", "No")),
    ("preference", {"chosen": OPENAI, "rejected": [OPENAI[0], NO]}, PAIR),
    ("preference", {"chosen": OPENAI, "rejected": OPENAI}, Preference(HI[:1], HI[1:], HI[1:])),
    ("preference", {"conversations": OPENAI[:1], "chosen": OPENAI[1], "rejected": NO}, PAIR),
    ("preference", {"prompt": "Hi", "chosen": [SYSTEM_TURN, *OPENAI], "rejected": [SYSTEM_TURN, OPENAI[0], NO]}, WITH_SYSTEM),
    ("preference", {"prompt": "Hi", "system": "Be brief.", "chosen": "Hello", "rejected": "No"}, WITH_SYSTEM),
    (
        "alpaca_preference",
        {"instruction": "Add", "input": "1 2", "chosen": "3", "rejected": "4"},
        Preference("Add\n\n1 2", "3", "4"),
    ),
    ("hh_rlhf", {"chosen": f"{HH} Hello", "rejected": f"{HH} No"}, Preference(HH, " Hello", " No")),
    ("preference", {"chosen": "One thing", "rejected": "One word"}, Preference("", "One thing", "One word")),
    (
        "alpaca_preference",
        {"instruction": "Hi", "input": "", "output": ["Hello", "No"], "system": "Be brief.", "history": [["a", "b"]]},
        Preference((SYSTEM, Message("user", "a"), Message("assistant", "b"), HI[0]), PAIR.chosen, PAIR.rejected),
    ),
    (
        "ultrafeedback",
        {
            "instruction": "Hi",
            "models": ["a", "b"],
            "completions": [{"response": "No", "overall_score": 2.0}, {"response": "Hello", "overall_score": 8.5}],
        },
        Ranked("Hi", ("No", "Hello"), (2.0, 8.5)),
    ),
    (
        "ultrafeedback",
        {
            "instruction": "Hi",
            "completions": [
                {"response": "Hello", "annotations": {"honesty": {"Rating": "5"}, "help": [{"Rating": "4"}]}},
                {"response": "No", "annotations": {"honesty": {"Rating": "1"}, "help": [{"Rating": "N/A"}]}},
            ],
        },
        Ranked("Hi", ("Hello", "No"), (4.5, 1.0)),
    ),
    (
        "ultrafeedback",
        {"prompt": "Hi", "chosen": OPENAI, "rejected": [OPENAI[0], NO], "score_chosen": 8.0, "score_rejected": 8.0, "messages": OPENAI},
        Ranked(HI[:1], (PAIR.chosen, PAIR.rejected), (8.0, 8.0)),
    ),
    (
        "ultrafeedback",
        {"instruction": "Hi", "chosen_response": "Hello", "rejected_response": "No", "chosen_avg_rating": 4.5, "rejected_avg_rating": 2},
        Ranked("Hi", ("Hello", "No"), (4.5, 2.0)),
    ),
    ("ranked", {"prompt": "Hi", "responses": ["a", "b", "c"], "scores": [1, 3, 2]}, Ranked("Hi", ("a", "b", "c"), (1, 3, 2))),
    ("ranked", {"prompt": "Hi", "responses": ["a", "b"], "ranks": [2, 1]}, Ranked("Hi", ("a", "b"), (-2, -1))),
    ("ranked", {"prompt": "Hi", "answers": [{"answer": "a", "rank": 1}, {"answer": "b", "rank": 2}]}, Ranked("Hi", ("a", "b"), (-1, -2))),
    ("ranked", {"question": "Hi", "ranked_answers": ["a", "b"]}, Ranked("Hi", ("a", "b"), (0, -1))),
    (
        "ranked",
        {"prompt": OPENAI[:1], "candidates": [{"text": "a", "score": 1}, {"text": "b", "score": 2}]},
        Ranked(HI[:1], ((Message("assistant", "a"),), (Message("assistant", "b"),)), (1, 2)),
    ),
    ("rl", {"prompt": OPENAI[:1], "reward_model": {"style": "rule", "ground_truth": 4}}, Task(HI[:1], "4")),
    ("sharegpt", {"conversations": [{"speaker": "user", "text": "Hi"}, {"speaker": "bot", "text": "Hello"}]}, Conversation(HI)),
    ("sharegpt", {"dialog": ["Hi", "Hello"]}, Conversation(HI)),
    (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "human", "value": "there"}, SHAREGPT[1]]},
        Conversation((Message("user", "Hi\n\nthere"), HI[1])),
    ),
    ("messages", {"messages": [{"role": "developer", "content": "Be brief."}, *OPENAI]}, Conversation((SYSTEM, *HI))),
    ("kto", {"prompt": "Hi", "completion": "Hello", "label": True}, Judged("Hi", "Hello", is_good=True)),
    ("kto", {"question": "Hi", "answer": "Hello", "thumbs": "Thumbs_Down"}, Judged("Hi", "Hello", is_good=False)),
    ("kto", {"prompt": OPENAI[:1], "completion": OPENAI[1:], "label": 0.0}, Judged(HI[:1], HI[1:], is_good=False)),
    ("kto", {"prompt": "Hi", "completion": OPENAI, "label": "good"}, Judged(HI[:1], HI[1:], is_good=True)),
    ("prompts", {"prompt": "Hi"}, Task("Hi")),
    ("prompts", {"Question": "Hi", "id": 3}, Task("Hi")),
    ("rl", {"problem": "6 * 7", "solution": 42}, Task("6 * 7", "42")),
    ("rl", {"messages": OPENAI[:1], "ground_truth": "Hello"}, Task(HI[:1], "Hello")),
    ("prompts", {"conversations": SHAREGPT[:1], "system": "Be brief."}, Task((SYSTEM, HI[0]))),
    ("prompt_completion", {"input": "Hi", "output": "Hello"}, PromptCompletion("Hi", "Hello")),
    ("prompt_completion", {"prompt": "Hi", "completion": "Hello", "label": "greeting"}, PromptCompletion("Hi", "Hello")),
    ("prompt_completion", {"prompt": OPENAI[:1], "answer": "Hello"}, PromptCompletion(HI[:1], HI[1:])),
    ("prompt_completion", {"prompt": "Hi", "answer": "Hello"}, PromptCompletion("Hi", "Hello")),
    ("messages", {"messages": OPENAI, "prompt": "Hi"}, Conversation(HI)),
    ("text", {"text": "Hi", "prompt": "Ho"}, PlainText("Hi")),
    ("preference", {"prompt": "Hi", "chosen": OPENAI, "rejected": [OPENAI[0], NO]}, PAIR),
    (
        "sharegpt_preference",
        {"conversations": SHAREGPT[:1], "chosen": SHAREGPT[1], "rejected": {"from": "gpt", "value": "No"}},
        PAIR,
    ),
]


@pytest.mark.parametrize(("name", "row", "example"), CASES)
def test_detected_and_converted(name: str, row: Mapping[str, object], example: Example) -> None:
    detection = detect_format([row, row])
    assert detection.format == name
    assert detection.reason.startswith("2 of 2 rows")
    assert to_example(row, 1, detection.format, detection.columns) == example


def test_every_format_has_a_case() -> None:
    assert {name for name, _, _ in CASES} == set(FORMATS)


@pytest.mark.parametrize(
    ("name", "row", "code", "words"),
    [
        ("messages", {"messages": None}, "data_row_malformed", "list of turns"),
        ("messages", {"messages": []}, "data_row_malformed", "list of turns"),
        ("messages", {}, "data_row_malformed", "list of turns"),
        ("messages", {"messages": "Hi"}, "data_row_malformed", "list of turns"),
        ("messages", {"messages": [1]}, "data_row_malformed", "turn 1 is int"),
        ("messages", {"messages": [{"role": "wizard", "content": "a"}]}, "data_row_malformed", "'wizard'"),
        ("messages", {"messages": [OPENAI[0], {"role": "assistant", "content": None}]}, "data_row_malformed", "turn 2"),
        ("messages", {"messages": [OPENAI[0], {"role": "assistant", "tool_calls": [1]}]}, "data_row_malformed", "calls tools"),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "data_row_malformed", "image_url"),
        ("messages", {"messages": OPENAI[:1]}, "data_no_assistant_turn", "1 turns"),
        ("sharegpt", {"conversations": SHAREGPT[:1]}, "data_no_assistant_turn", "none of them"),
        ("sharegpt", {"conversations": SHAREGPT[1:]}, "data_row_malformed", "nobody has asked"),
        ("sharegpt", {"conversations": [*SHAREGPT, {"from": "system", "value": "a"}]}, "data_row_malformed", "in the middle"),
        ("sharegpt", {"conversations": [SHAREGPT[0], {"from": "function_call", "value": "{"}]}, "data_row_malformed", "not whole JSON"),
        ("messages", {"messages": OPENAI, "tools": "{"}, "data_row_malformed", "tools is text"),
        ("messages", {"messages": OPENAI, "tools": 3}, "data_row_malformed", "tools should be a list"),
        ("ranked", {"prompt": "a", "answers": ["a"]}, "data_row_malformed", "at least two"),
        ("ranked", {"prompt": "a", "answers": ["a", "b"], "scores": [1]}, "data_row_malformed", "2 numbers"),
        ("ranked", {"prompt": "a", "answers": [{"text": "a", "score": 1}, {"text": "b"}]}, "data_row_malformed", "answer 2 has no score"),
        ("alpaca_preference", {"instruction": "a", "output": ["a"]}, "data_row_malformed", "two answers"),
        ("hh_rlhf", {"chosen": "a", "rejected": None}, "data_row_malformed", "rejected is missing"),
        ("ultrafeedback", {"prompt": "a", "chosen": "a", "rejected": "b"}, "data_row_malformed", "scores of chosen"),
        ("rl", {"prompt": None, "answer": 1}, "data_row_malformed", "prompt is missing"),
        ("alpaca", {"instruction": "Hi", "output": None}, "data_row_malformed", "output"),
        ("alpaca", {"instruction": 3, "output": "a"}, "data_row_malformed", "int"),
        ("alpaca", {"instruction": "a", "output": "a", "history": [["a"]]}, "data_row_malformed", "pairs"),
        ("prompt_completion", {"prompt": "a", "completion": OPENAI}, "data_row_malformed", "one of prompt"),
        ("text", {"text": "\ud800"}, "data_row_malformed", "Unicode"),
        ("preference", {"prompt": "a", "chosen": "a", "rejected": None}, "data_row_malformed", "rejected is missing"),
        ("preference", {"chosen": "a", "rejected": OPENAI}, "data_row_malformed", "one of chosen"),
        ("kto", {"prompt": "a", "completion": "a", "label": "perhaps"}, "data_row_malformed", "'perhaps'"),
        ("kto", {"prompt": "a", "completion": "a", "label": 3}, "data_row_malformed", "label is 3"),
        ("kto", {"prompt": "a", "completion": None, "label": True}, "data_row_malformed", "completion is missing"),
        ("prompts", {"prompt": OPENAI[1:]}, "data_row_malformed", "nothing to answer"),
        ("prompts", {"prompt": None}, "data_row_malformed", "prompt is missing"),
    ],
)
def test_a_bad_row_is_named(name: str, row: Mapping[str, object], code: str, words: str) -> None:
    with pytest.raises(DesktopFtError, match="Row 17") as caught:
        to_example(row, 17, name, {})
    assert caught.value.code == code
    assert words in caught.value.message


def test_columns_mapped_by_hand_go_before_the_usual_names() -> None:
    rows = [{"text": "t", "frage": "Hi", "antwort": "Hello"}]
    detection = resolve_format(rows, "auto", {"question": "frage", "answer": "antwort"})
    assert detection.format == "qa"
    assert to_example(rows[0], 1, detection.format, detection.columns) == Conversation(HI)


@pytest.mark.parametrize(
    ("name", "columns", "code"),
    [
        ("auto", {}, "data_format_undetected"),
        ("alpaca", {}, "data_columns_missing"),
        ("nonsense", {}, "data_format_name_unknown"),
        ("qa", {"question": "c"}, "data_columns_unknown"),
        ("qa", {"asked": "a"}, "data_columns_unknown"),
    ],
)
def test_what_cannot_be_resolved(name: str, columns: Mapping[str, str], code: str) -> None:
    with pytest.raises(DesktopFtError) as caught:
        resolve_format([{"a": 1, "b": 2}], name, columns)
    assert caught.value.code == code


_NAMES = st.sampled_from(
    [
        "messages",
        "conversations",
        "prompt",
        "completion",
        "chosen",
        "rejected",
        "text",
        "instruction",
        "output",
        "x",
        "tools",
        "answers",
        "scores",
    ]
)
_KEYS = st.sampled_from(["role", "content", "from", "value", "type", "text", "tool_calls", "score", "rank", "response", "annotations"])
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["user", "gpt", "[{}]", "[", "", "\ud800", "Hi"])
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=12)


@settings(max_examples=200, deadline=None)
@given(row=st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=4), name=st.sampled_from(FORMATS))
def test_any_row_gives_an_example_or_a_named_error(row: dict[str, object], name: str) -> None:
    codes: list[str] = []
    try:
        detection = detect_format([row])
        to_example(row, 1, detection.format, detection.columns)
    except DesktopFtError as error:
        codes.append(error.code)
    try:
        to_example(row, 1, name, {})
    except DesktopFtError as error:
        codes.append(error.code)
    assert set(codes) <= {"data_format_undetected", "data_row_malformed", "data_no_assistant_turn"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared data are not here")
@pytest.mark.parametrize(("name", "format_name"), [("alpaca_en_demo.json", "alpaca"), ("dpo_en_demo.json", "sharegpt_preference")])
def test_shared_files_have_the_right_format(name: str, format_name: str) -> None:
    rows = read_rows(SHARED / name)
    detection = detect_format(rows.rows)
    assert detection.format == format_name
    examples = [to_example(row, number, format_name, detection.columns) for row, number in zip(rows.rows, rows.numbers, strict=True)]
    learnt = [adapt(example, 1, "answers", as_chat=True)[0] for example in examples]
    assert all(isinstance(example, Conversation) and example.messages[-1].role == "assistant" for example in learnt)


@pytest.mark.parametrize(("label", "is_assumed"), [(1, True), (0.0, True), (True, False), ("good", False)])
def test_a_number_as_a_mark_is_said_to_be_assumed(label: object, is_assumed: bool) -> None:
    """It could be the class of something else: then the answers marked 0 would be lost."""
    detection = detect_format([{"prompt": "Hi", "completion": "Hello", "label": label}] * 4)
    assert detection.format == "kto"
    assert ("It is assumed that 1 in label means a good answer" in detection.reason) is is_assumed
    assert ("prompt_completion" in detection.reason) is is_assumed


def test_numbers_that_are_no_marks_are_left_aside() -> None:
    rows = [{"prompt": "Hi", "completion": "Hello", "label": label} for label in (0, 1, 2, 3, 4)]
    assert detect_format(rows).format == "prompt_completion"
