"""From a file to pairs, judgments and tasks: split by prompt, counted, cut or left out, refused by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from desktop_ft.core.data.dataset import TrainingData, load_training_data
from desktop_ft.core.data.records import Example, Judged, Message, Preference, Task
from desktop_ft.core.data.signals import Signal
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.errors import DesktopFtError
from tests.core.data.tiny import CHATML, make_model_dir

LONG = "fox " * 60
MAX_LENGTH = 48


def _load(
    tmp_path: Path,
    rows: Sequence[object],
    signal: Signal,
    *,
    fraction: float = 0.0,
    eval_rows: Sequence[object] | None = None,
    whole_answers: bool = False,
    fixes: tuple[str, ...] = (),
    template: str | None = CHATML,
) -> TrainingData:
    paths: list[Path] = []
    for name, content in (("train.jsonl", rows), ("eval.jsonl", eval_rows or ())):
        paths.append(tmp_path / name)
        paths[-1].write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return load_training_data(
        paths[0],
        paths[1] if eval_rows else None,
        fraction=fraction,
        seed=1,
        format="auto",
        columns={},
        tokenizer=load_tokenizer(make_model_dir(tmp_path / "model", template)),
        max_length=MAX_LENGTH,
        assistant_only_loss=True,
        fixes=fixes,
        signal=signal,
        whole_answers=whole_answers,
    )


def _pairs(num_prompts: int, each: int = 1) -> list[object]:
    return [{"prompt": f"Question {i}?", "chosen": f"Yes {j}.", "rejected": f"No {j}."} for i in range(num_prompts) for j in range(each)]


def _prompts(examples: Sequence[Example]) -> set[object]:
    return {example.prompt for example in examples if isinstance(example, Preference | Judged | Task)}


@pytest.mark.parametrize(("signal", "num_examples"), [("pairs", 180), ("judgments", 360), ("prompts", 180)])
def test_all_that_answers_one_prompt_lands_on_one_side(signal: Signal, num_examples: int, tmp_path: Path) -> None:
    data = _load(tmp_path, _pairs(60, each=3), signal, fraction=0.3)
    assert (data.train, data.eval, data.num_rows, data.num_masked) == ([], [], num_examples, 0)
    assert len(data.train_examples) + len(data.eval_examples) == num_examples
    learnt, held_out = _prompts(data.train_examples), _prompts(data.eval_examples)
    assert len(learnt) + len(held_out) == 60
    assert not learnt & held_out
    assert 8 <= len(held_out) <= 28


def test_good_answers_come_before_bad_ones_so_that_neighbours_answer_different_prompts(tmp_path: Path) -> None:
    data = _load(tmp_path, _pairs(3), "judgments")
    said = [(one.completion[0], one.is_good) for one in data.train_examples if isinstance(one, Judged)]
    yes, no = Message("assistant", "Yes 0."), Message("assistant", "No 0.")
    assert said == [(yes, True)] * 3 + [(no, False)] * 3
    assert "one good and the rejected one bad" in data.notes[0]


def test_a_pair_with_one_answer_twice_is_left_out_and_said(tmp_path: Path) -> None:
    same = {"prompt": "Hi", "chosen": "Hello", "rejected": "Hello"}
    data = _load(tmp_path, [*_pairs(4), same], "pairs")
    assert (len(data.train_examples), data.notes) == (
        4, ("1 pair is left out: both answers are the same, so there is nothing to prefer.",),
    )  # fmt: skip
    with pytest.raises(DesktopFtError, match="None of its 2 rows") as caught:
        _load(tmp_path, [same, same], "pairs")
    assert caught.value.code == "data_nothing_to_learn"


def test_long_pairs_are_cut_for_a_policy_and_left_out_for_a_reward_model(tmp_path: Path) -> None:
    rows = [*_pairs(6), {"prompt": "Hi", "chosen": LONG, "rejected": "No"}, {"prompt": LONG, "chosen": "Yes", "rejected": "No"}]
    cut = _load(tmp_path, rows, "pairs")
    assert (len(cut.train_examples), cut.num_truncated, cut.num_masked, cut.longest) == (7, 1, 1, MAX_LENGTH)
    assert cut.notes == (
        "1 example is left out: no token of it is learnt (the prompt alone fills the maximum length).",
        "1 of 7 pairs has an answer that is, with its prompt, longer than the maximum length; it is cut off at the end.",
    )
    whole = _load(tmp_path, rows, "pairs", whole_answers=True)
    assert (len(whole.train_examples), whole.num_truncated, whole.num_masked) == (6, 0, 0)
    assert 12 < whole.longest < MAX_LENGTH
    assert whole.notes[0].startswith("2 pairs are left out: a reward model scores whole answers")
    as_asked = _load(tmp_path, rows, "pairs", fixes=("drop_over_length",))
    assert (len(as_asked.train_examples), as_asked.notes) == (6, ("Left out as asked: rows, 2 that are longer than the maximum length.",))
    with pytest.raises(DesktopFtError, match="1 pair is longer") as caught:
        _load(tmp_path, rows[6:7], "pairs", whole_answers=True)
    assert caught.value.code == "data_all_masked"


def test_long_prompts_are_left_out_never_cut(tmp_path: Path) -> None:
    data = _load(tmp_path, [{"prompt": "Hi", "answer": "Hello"}, {"prompt": LONG, "answer": "Hello"}], "prompts")
    assert data.train_examples == [Task((Message("user", "Hi"),), "Hello")]
    assert (data.num_masked, data.num_truncated) == (1, 0)
    assert data.notes == ("1 prompt is left out: it is longer than the maximum length.",)
    with pytest.raises(DesktopFtError, match="All 1 prompts") as caught:
        _load(tmp_path, [{"prompt": LONG}], "prompts")
    assert caught.value.code == "data_all_masked"


def test_a_pair_without_a_question_is_named_or_left_out(tmp_path: Path) -> None:
    odd = {"chosen": [{"role": "assistant", "content": "Yes"}], "rejected": [{"role": "assistant", "content": "No"}]}
    with pytest.raises(DesktopFtError, match="Row 3: the answers share no question") as caught:
        _load(tmp_path, [*_pairs(2), odd], "pairs")
    assert caught.value.code == "data_row_malformed"
    data = _load(tmp_path, [*_pairs(2), odd], "pairs", fixes=("drop_malformed_rows",))
    assert (len(data.train_examples), data.notes) == (2, ("Left out as asked: rows, 1 that cannot be read.",))


def test_chats_beside_text_are_refused_where_the_trainer_would_mistake_one_for_the_other(tmp_path: Path) -> None:
    chat = {"prompt": [{"role": "user", "content": "Hi"}], "chosen": "Yes", "rejected": "No"}
    text = {"prompt": None, "chosen": "Yes", "rejected": "No"}
    with pytest.raises(DesktopFtError, match="Row 1 is written as turns, row 2 as text") as caught:
        _load(tmp_path, [chat, text], "pairs")
    assert caught.value.code == "data_rows_mixed"


def test_text_stays_text_for_a_model_without_a_chat_template(tmp_path: Path) -> None:
    pairs = _load(tmp_path, _pairs(2), "pairs", template=None)
    assert pairs.train_examples[0] == Preference("Question 0?", "Yes 0.", "No 0.")
    answers = _load(tmp_path, _pairs(2), "answers", template=None)
    assert [example.ends_with_eos for example in answers.train] == [True, True]


def test_the_evaluation_file_has_to_suit_too(tmp_path: Path) -> None:
    held_out = _load(tmp_path, _pairs(3), "pairs", eval_rows=_pairs(2))
    assert (len(held_out.train_examples), len(held_out.eval_examples)) == (3, 2)
    with pytest.raises(DesktopFtError, match="holds conversations") as caught:
        _load(tmp_path, _pairs(3), "pairs", eval_rows=[{"question": "Hi", "answer": "Hello"}])
    assert caught.value.code == "data_wrong_for_objective"


def test_supervised_learning_takes_the_good_ones_of_marked_answers(tmp_path: Path) -> None:
    marked = [{"prompt": "Hi", "completion": f"Hello {i}", "label": i < 2} for i in range(5)]
    data = _load(tmp_path, marked, "answers")
    assert (len(data.train), data.num_rows) == (2, 2)
    assert "leaves the bad ones out" in data.notes[0]
    with pytest.raises(DesktopFtError, match="every answer is marked bad"):
        _load(tmp_path, marked[2:], "answers")
