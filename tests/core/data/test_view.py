"""What a row looks like for each objective: the shape that the window and ``data view --json`` show."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest

from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.data.formats import SAMPLED_ROWS
from desktop_ft.core.data.index import indexed
from desktop_ft.core.data.source import START, Item, Mark, RowSource
from desktop_ft.core.data.tokenizer import ModelTokenizer, load_tokenizer
from desktop_ft.core.data.view import view_rows
from desktop_ft.core.errors import DesktopFtError
from tests.core.data.tiny import make_model_dir

LONG = "fox " * 40
PAIRS = [
    {"prompt": "Hi", "chosen": "Hello you", "rejected": "No"},
    {"prompt": "Hi", "chosen": LONG, "rejected": "No"},
    {"prompt": LONG, "chosen": "Yes", "rejected": "No"},
    {"prompt": "Same", "chosen": "No", "rejected": "No"},
]
KTO = [{"prompt": "Hi", "completion": "Hello", "label": True}, {"prompt": "Hi", "completion": "No", "label": False}]
TURN = {"role": "user", "content": "Hi"}
SEQUENCE = {
    "input_ids", "labels", "text", "num_supervised", "truncated", "ends_with_eos", "tokens", "special", "cut_tokens", "messages",
}  # fmt: skip
Shown = Mapping[str, object]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ModelTokenizer:
    return load_tokenizer(make_model_dir(tmp_path_factory.mktemp("model")))


def _views(
    tmp_path: Path, rows: list[dict[str, object]], tokenizer: ModelTokenizer, objective: ObjectiveName | None, fixes: tuple[str, ...] = ()
) -> list[dict[str, object]]:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return view_rows(path, tokenizer, 32, 10, objective=objective, fixes=fixes)


def _learnt(sequence: Shown, tokenizer: ModelTokenizer) -> str:
    return tokenizer.decode([label for label in cast("list[int]", sequence["labels"]) if label != -100])


@pytest.mark.parametrize(("objective", "left_out"), [
    (None, [False, False, True, True]), ("dpo", [False, False, True, True]), ("kto", [False, False, True, True]),
    ("reward", [False, True, True, True]),
])  # fmt: skip
def test_a_pair_shows_both_answers(
    objective: ObjectiveName | None, left_out: list[bool], tmp_path: Path, tokenizer: ModelTokenizer
) -> None:
    views = _views(tmp_path, [dict(row) for row in PAIRS], tokenizer, objective)
    assert [view["kind"] for view in views] == ["pair"] * 4
    assert [view["is_left_out"] for view in views] == left_out
    first = views[0]
    assert set(first) == {"row", "kind", "is_left_out", "messages", "chosen", "rejected"}
    assert first["messages"] == [TURN]
    for side, words in (("chosen", "Hello you"), ("rejected", "No")):
        sequence = cast("Shown", first[side])
        assert set(sequence) == SEQUENCE
        assert _learnt(sequence, tokenizer) == f"{words}<|im_end|>\n"
        assert sequence["messages"] == [TURN, {"role": "assistant", "content": words}]
        assert (sequence["truncated"], sequence["ends_with_eos"]) == (False, True)
    cut = cast("Shown", views[1]["chosen"])
    assert (cut["truncated"], cut["ends_with_eos"], len(cast("list[int]", cut["input_ids"]))) == (True, False, 32)
    assert "".join(cast("list[str]", cut["cut_tokens"])).startswith(("fox", " fox"))


def test_a_pair_under_sft_is_its_chosen_answer(tmp_path: Path, tokenizer: ModelTokenizer) -> None:
    view = _views(tmp_path, [dict(PAIRS[0])], tokenizer, "sft")[0]
    assert set(view) == SEQUENCE | {"row", "kind", "is_left_out"}
    assert (view["kind"], view["is_left_out"]) == ("answer", False)
    assert _learnt(view, tokenizer) == "Hello you<|im_end|>"


def test_judgments_say_which_way(tmp_path: Path, tokenizer: ModelTokenizer) -> None:
    views = _views(tmp_path, [dict(row) for row in KTO], tokenizer, "kto")
    assert [(view["kind"], view["is_good"], _learnt(view, tokenizer)) for view in views] == [
        ("judgment", True, "Hello<|im_end|>\n"),
        ("judgment", False, "No<|im_end|>\n"),
    ]
    under_sft = _views(tmp_path, [dict(row) for row in KTO], tokenizer, "sft")
    assert [(view["row"], view["kind"]) for view in under_sft] == [(0, "answer")]


@pytest.mark.parametrize("objective", ["grpo", None])
def test_a_prompt_is_shown_whole_with_its_answer(objective: ObjectiveName | None, tmp_path: Path, tokenizer: ModelTokenizer) -> None:
    rows: list[dict[str, object]] = [{"prompt": "Hi", "solution": 42}, {"prompt": LONG, "solution": None}]
    short, long = _views(tmp_path, rows, tokenizer, objective)
    assert (short["kind"], short["answer"], short["is_left_out"], short["messages"]) == ("prompt", "42", False, [TURN])
    assert short["text"] == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert "".join(cast("list[str]", short["tokens"])) == short["text"]
    assert (long["answer"], long["is_left_out"]) == (None, True)
    assert len(cast("list[int]", long["input_ids"])) > 32
    assert [view["row"] for view in _views(tmp_path, rows, tokenizer, objective, ("drop_over_length",))] == [0]


def test_the_wrong_file_for_an_objective_is_refused(tmp_path: Path, tokenizer: ModelTokenizer) -> None:
    with pytest.raises(DesktopFtError) as caught:
        _views(tmp_path, [dict(row) for row in KTO], tokenizer, "dpo")
    assert caught.value.code == "data_wrong_for_objective"
    assert "marked good or bad" in caught.value.message


def test_only_what_is_shown_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load_tokenizer(make_model_dir(tmp_path / "model"))
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"prompt": f"Say {index}", "completion": str(index), "label": index % 3 == 0}) for index in range(3000)]
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    read: list[int] = []
    items = RowSource.items

    def counted(self: RowSource, start: Mark = START) -> Iterator[Item]:
        for item in items(self, start):
            read.append(item.number)
            yield item

    monkeypatch.setattr(RowSource, "items", counted)
    first = view_rows(path, tokenizer, 64, 3)
    assert [view["row"] for view in first] == [0, 2, 4]
    assert len(read) <= SAMPLED_ROWS + 1
    good = view_rows(path, tokenizer, 64, 100, objective="sft")
    assert [view["row"] for view in good] == [6 * index for index in range(100)]
    indexed(RowSource(path))
    read.clear()
    found = view_rows(path, tokenizer, 64, 5, only=[5000, 5004])
    assert [view["row"] for view in found] == [5000, 5004]
    assert len(read) < SAMPLED_ROWS + 300
    left = view_rows(path, tokenizer, 64, 5, only=[5000, 5004], fixes=["drop_exact_duplicates"])
    assert left == found


def test_of_scored_answers_the_first_pair_is_shown(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_model_dir(tmp_path / "model"))
    path = tmp_path / "a.jsonl"
    rows = [
        {"prompt": "Hi", "responses": ["No", "Hello", "Hm"], "scores": [1, 3, 2]},
        {"prompt": "Hi", "responses": ["a", "b"], "scores": [1, 1]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (view,) = view_rows(path, tokenizer, 64, 5)
    assert (view["kind"], view["row"]) == ("pair", 0)
    said = [cast("Mapping[str, list[Mapping[str, str]]]", view[side])["messages"][-1]["content"] for side in ("chosen", "rejected")]
    assert said == ["Hello", "Hm"]
    assert [view["kind"] for view in view_rows(path, tokenizer, 64, 5, objective="sft")] == ["answer", "answer"]
    assert [view["kind"] for view in view_rows(path, tokenizer, 64, 5, objective="kto")] == ["pair"]
