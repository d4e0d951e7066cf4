"""The demo data: counts, form, nothing held out in the training rows, lengths that do not give the preference away."""

from __future__ import annotations

import json
import random
from typing import TypedDict, cast

import pytest

from desktop_ft.core.config import DEMO
from desktop_ft.core.config.objectives import OBJECTIVES, ObjectiveName
from desktop_ft.core.data.dataset import load_training_data
from desktop_ft.core.data.records import Conversation, Judged, PlainText, Preference, Task
from desktop_ft.core.data.signals import SIGNALS, TOKENISED_HERE, WHOLE_ANSWERS
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.demo import (
    HeldOutPrompt,
    demo_model_dir,
    demo_preferences_file,
    demo_prompts_file,
    demo_sft_file,
    demo_text_file,
    held_out_prompts,
    shows_behaviour,
)
from desktop_ft.core.preflight import resolve_data
from desktop_ft.core.resources import resource_path


class Turn(TypedDict):
    role: str
    content: str


class Chat(TypedDict):
    messages: list[Turn]


class Pair(TypedDict):
    prompt: list[Turn]
    chosen: list[Turn]
    rejected: list[Turn]


class Prompt(TypedDict):
    prompt: list[Turn]
    answer: str


@pytest.fixture(scope="module")
def chats() -> list[Chat]:
    return [cast("Chat", json.loads(line)) for line in demo_sft_file().read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return [cast("Pair", json.loads(line)) for line in demo_preferences_file().read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    return [cast("Prompt", json.loads(line)) for line in demo_prompts_file().read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [cast("dict[str, str]", json.loads(line))["text"] for line in demo_text_file().read_text(encoding="utf-8").splitlines()]


@pytest.mark.usefixtures("scripts_on_path")
def test_the_files_are_what_the_script_makes() -> None:
    import make_data

    for name, rows in make_data.files().items():
        assert resource_path("demo", name).read_text(encoding="utf-8") == make_data.content(rows), name


def test_there_are_enough_different_chats(chats: list[Chat]) -> None:
    assert len(chats) == 400
    assert len({chat["messages"][0]["content"].lower() for chat in chats}) == 400


def test_every_chat_alternates_and_ends_with_the_assistant(chats: list[Chat]) -> None:
    for chat in chats:
        roles = [turn["role"] for turn in chat["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert all(turn["content"].strip() == turn["content"] != "" for turn in chat["messages"])


def test_every_answer_of_a_chat_has_the_house_style(chats: list[Chat]) -> None:
    any_subject = HeldOutPrompt(prompt="", subject="", expected="", true_sentences=())
    answers = [turn["content"] for chat in chats for turn in chat["messages"] if turn["role"] == "assistant"]
    assert len(answers) > 400
    assert [answer for answer in answers if not shows_behaviour(any_subject, answer)] == []


def test_no_training_row_is_about_a_held_out_subject(chats: list[Chat], pairs: list[Pair], prompts: list[Prompt], texts: list[str]) -> None:
    turns = [turn for chat in chats for turn in chat["messages"]]
    turns += [turn for pair in pairs for turn in (*pair["prompt"], *pair["chosen"], *pair["rejected"])]
    turns += [turn for row in prompts for turn in row["prompt"]]
    text = "\n".join([*(turn["content"] for turn in turns), *(row["answer"] for row in prompts), *texts])
    held_out = held_out_prompts()
    assert len(held_out) == 10
    for prompt in held_out:
        assert prompt.prompt not in text
        assert [sentence for sentence in prompt.true_sentences if sentence in text] == []


def test_pairs_are_complete_and_never_identical(pairs: list[Pair]) -> None:
    assert len(pairs) == 360
    assert len({json.dumps(pair) for pair in pairs}) == 360
    answers = {(pair["prompt"][0]["content"], pair["chosen"][0]["content"], pair["rejected"][0]["content"]) for pair in pairs}
    for prompt, chosen, rejected in answers:
        assert chosen != rejected
        assert (prompt, rejected, chosen) not in answers


def test_prompts_are_user_turns_only(prompts: list[Prompt]) -> None:
    assert len(prompts) == 240
    assert len({row["prompt"][0]["content"].lower() for row in prompts}) == 240
    assert all([turn["role"] for turn in row["prompt"]] == ["user"] for row in prompts)
    assert all(row["answer"] and "\n" not in row["answer"] and not row["answer"].endswith(".") for row in prompts)


def test_texts_differ_and_have_one_form(texts: list[str]) -> None:
    assert len(set(texts)) == len(texts) == 160
    for text in texts:
        first, second, third = text.split("\n")
        assert first.startswith("Field notes of ")
        assert second.startswith("Seen: ")
        assert third.startswith("To ask next time: ")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_demo_has_data_for_every_objective(objective: ObjectiveName) -> None:
    signal = SIGNALS[objective]
    data = load_training_data(
        resolve_data(DEMO, objective),
        None,
        fraction=0.1,
        seed=1,
        format="auto",
        columns={},
        tokenizer=load_tokenizer(demo_model_dir()),
        max_length=256,
        assistant_only_loss=True,
        signal=signal,
        whole_answers=objective in WHOLE_ANSWERS,
    )
    kind = {"answers": Conversation, "text": PlainText, "pairs": Preference, "judgments": Judged, "prompts": Task}[signal]
    assert {type(example) for example in (*data.train_examples, *data.eval_examples)} == {kind}
    assert (len(data.train), len(data.eval)) == (
        (len(data.train_examples), len(data.eval_examples)) if signal in TOKENISED_HERE else (0, 0)
    )
    assert len(data.train_examples) >= 100
    assert len(data.eval_examples) >= 10
    assert 15 < data.longest <= 256
    assert (data.num_masked, data.num_truncated) == (0, 0)


def shown_in_both_orders(pairs: list[Pair]) -> list[tuple[int, int, bool]]:
    """Rows (length of A, length of B, A is the better one), each pair in both orders."""
    rows: list[tuple[int, int, bool]] = []
    for pair in pairs:
        better, worse = len(pair["chosen"][0]["content"]), len(pair["rejected"][0]["content"])
        rows += [(better, worse, True), (worse, better, False)]
    return rows


def accuracy(rows: list[tuple[int, int, bool]], threshold: int, *, longer_is_better: bool) -> float:
    """Of the rule "A is better if it is longer than B by more than the threshold" (or shorter)."""
    sign = 1 if longer_is_better else -1
    return sum((sign * (a - b) > threshold) == label for a, b, label in rows) / len(rows)


def best_rule(rows: list[tuple[int, int, bool]]) -> tuple[int, bool]:
    rules = [(threshold, longer) for threshold in range(-60, 61) for longer in (True, False)]
    return max(rules, key=lambda rule: accuracy(rows, rule[0], longer_is_better=rule[1]))


def test_no_threshold_on_the_length_difference_tells_the_better_answer(pairs: list[Pair]) -> None:
    rows = shown_in_both_orders(pairs)
    threshold, longer = best_rule(rows)
    assert accuracy(rows, threshold, longer_is_better=longer) <= 0.6


def test_no_threshold_holds_up_on_pairs_that_it_was_not_chosen_on(pairs: list[Pair]) -> None:
    shuffled = random.Random(0).sample(pairs, len(pairs))
    scores: list[float] = []
    for fold in range(5):
        threshold, longer = best_rule(shown_in_both_orders([p for i, p in enumerate(shuffled) if i % 5 != fold]))
        scores.append(accuracy(shown_in_both_orders(shuffled[fold::5]), threshold, longer_is_better=longer))
    assert sum(scores) / 5 <= 0.6


def test_nearest_neighbours_in_both_lengths_do_not_tell_the_better_answer(pairs: list[Pair]) -> None:
    hits = 0
    for index, pair in enumerate(pairs):
        others = shown_in_both_orders([other for i, other in enumerate(pairs) if i != index])
        for a, b, label in shown_in_both_orders([pair]):
            nearest = sorted(others, key=lambda row: (row[0] - a) ** 2 + (row[1] - b) ** 2)[:9]
            hits += (sum(row[2] for row in nearest) > 4) == label
    assert hits / (2 * len(pairs)) <= 0.6


def test_the_length_check_sees_a_preference_for_longer_answers(pairs: list[Pair]) -> None:
    biased = [pair for pair in pairs if len(pair["chosen"][0]["content"]) > len(pair["rejected"][0]["content"])]
    rows = shown_in_both_orders(biased)
    threshold, longer = best_rule(rows)
    assert accuracy(rows, threshold, longer_is_better=longer) == 1.0
