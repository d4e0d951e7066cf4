"""From a file to what is trained on: split, tokenised, counted, refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from desktop_ft.core.data.dataset import TrainingData, load_training_data
from desktop_ft.core.data.records import Conversation, Message, PlainText
from desktop_ft.core.data.tokenise import TokenisedExample, tokenise
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.errors import DesktopFtError
from tests.core.data.tiny import CHATML, PHI, make_model_dir


def _write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _chats(count: int) -> list[object]:
    return [{"instruction": f"What is {index} + 1?", "output": f"It is {index + 1}."} for index in range(count)]


def _load(
    train: Path,
    model: Path,
    *,
    eval_path: Path | None = None,
    fraction: float = 0.2,
    max_length: int | None = 64,
    assistant_only_loss: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingData:
    return load_training_data(
        train,
        eval_path,
        fraction=fraction,
        seed=1,
        format="auto",
        columns={},
        tokenizer=load_tokenizer(model),
        max_length=max_length,
        assistant_only_loss=assistant_only_loss,
        progress=progress,
    )


def test_split_tokenised_and_counted(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    seen: list[tuple[int, int]] = []
    data = _load(_write(tmp_path / "a.jsonl", _chats(150)), model, progress=lambda done, total: seen.append((done, total)))
    assert (data.format, data.num_rows, data.num_masked, data.num_truncated, data.notes) == ("alpaca", 150, 0, 0, ())
    assert len(data.train) + len(data.eval) == 150
    assert 15 <= len(data.eval) <= 45
    assert seen[-1] == (150, 150)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    tokenizer = load_tokenizer(model)
    first = data.train[0]
    learnt = [label for label in first.labels if label != -100]
    example = data.train_examples[0]
    assert isinstance(example, Conversation)
    assert tokenizer.decode(learnt) == example.messages[-1].content + "<|im_end|>"
    assert first.ends_with_eos
    assert first.num_supervised == len(learnt)
    assert set(data.fingerprints) == {"train"}


def test_an_evaluation_file_is_used_whole_and_nothing_is_held_out(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    train, held_out = _write(tmp_path / "a.jsonl", _chats(9)), _write(tmp_path / "b.jsonl", _chats(4))
    data = _load(train, model, eval_path=held_out)
    assert (len(data.train), len(data.eval), data.num_rows) == (9, 4, 13)
    assert data.fingerprints["eval"].size_bytes == held_out.stat().st_size


def test_rows_whose_answer_is_cut_away_are_left_out_and_said(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    rows = [*_chats(5), {"instruction": "user " * 100, "output": "Paris."}, {"instruction": "Hi", "output": "fox " * 100}]
    data = _load(_write(tmp_path / "a.jsonl", rows), model, fraction=0.0)
    assert (len(data.train), data.num_masked, data.num_truncated) == (6, 1, 1)
    assert [note.split()[0] for note in data.notes] == ["1", "1"]


def test_all_masked_is_refused(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    with pytest.raises(DesktopFtError, match="All 3 examples") as caught:
        _load(_write(tmp_path / "a.jsonl", _chats(3)), model, fraction=0.0, max_length=4)
    assert caught.value.code == "data_all_masked"


def test_a_malformed_row_in_the_middle_refuses_the_run_by_number(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    rows = [*_chats(3), {"instruction": "Hi", "output": None}, *_chats(3)]
    with pytest.raises(DesktopFtError, match="Row 4") as caught:
        _load(_write(tmp_path / "a.jsonl", rows), model)
    assert caught.value.code == "data_row_malformed"


def test_text_under_assistant_only_is_learnt_whole_and_said(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model", None)
    data = _load(_write(tmp_path / "a.jsonl", [{"text": "one"}, {"text": "two"}]), model, fraction=0.0)
    assert [example.num_supervised == len(example.input_ids) for example in data.train] == [True, True]
    assert "no turns" in data.notes[0]


def test_one_distinct_row_cannot_be_held_out_and_that_is_said(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    data = _load(_write(tmp_path / "a.jsonl", _chats(1) * 3), model)
    assert (len(data.train), len(data.eval)) == (3, 0)
    assert "one distinct example" in data.notes[0]


def test_what_a_model_lacks_is_named(tmp_path: Path) -> None:
    chat = Conversation((Message("user", "a"), Message("assistant", "b")))
    bare = load_tokenizer(make_model_dir(tmp_path / "bare", None, eos=None))
    for example, code in ((chat, "chat_template_missing"), (PlainText("a"), "eos_token_missing")):
        with pytest.raises(DesktopFtError) as caught:
            tokenise(example, bare, max_length=None, assistant_only_loss=True)
        assert caught.value.code == code
    with pytest.raises(DesktopFtError) as missing:
        load_tokenizer(tmp_path)
    assert missing.value.code == "tokenizer_missing"


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"model": {"type": "BPE", "vocab": 3}}'])
def test_a_broken_tokenizer_is_named(content: str, tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    (model / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(DesktopFtError) as caught:
        load_tokenizer(model)
    assert caught.value.code == "tokenizer_invalid"


def test_a_class_with_rules_of_its_own_is_not_called_exact(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_model_dir(tmp_path, tokenizer_class="GemmaTokenizer"))
    assert not tokenizer.exact
    assert "GemmaTokenizer" in (tokenizer.inexact_reason or "")


def test_end_tokens_of_the_generation_config_count_as_ends(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path, PHI, eos="<|endoftext|>")
    chat = Conversation((Message("user", "a"), Message("assistant", "b")))
    assert not tokenise(chat, load_tokenizer(model), max_length=None, assistant_only_loss=True).ends_with_eos
    end = load_tokenizer(model).encode("<|end|>", False).ids
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": end}), encoding="utf-8")
    assert tokenise(chat, load_tokenizer(model), max_length=None, assistant_only_loss=True).ends_with_eos


def test_hashes_follow_what_decides_ids_and_rendering(tmp_path: Path) -> None:
    first = load_tokenizer(make_model_dir(tmp_path / "a"))
    same = load_tokenizer(make_model_dir(tmp_path / "b"))
    other_end = load_tokenizer(make_model_dir(tmp_path / "c", eos="</s>"))
    other_template = load_tokenizer(make_model_dir(tmp_path / "d", CHATML + " "))
    assert (first.sha256, first.template_sha256) == (same.sha256, same.template_sha256)
    assert first.sha256 != other_end.sha256
    assert first.sha256 == other_template.sha256
    assert first.template_sha256 != other_template.template_sha256


def test_named_templates_in_the_configuration(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": CHATML}]
    template = load_tokenizer(make_model_dir(tmp_path, None, named_templates=named)).chat_template
    assert template is not None
    assert template.source == CHATML


def test_preference_pairs_are_learnt_by_their_chosen_side_and_that_is_said(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    rows: list[object] = [{"prompt": "Hi", "chosen": "Hello", "rejected": "No"}]
    data = _load(_write(tmp_path / "a.jsonl", rows), model, fraction=0.0)
    assert data.train_examples == [Conversation((Message("user", "Hi"), Message("assistant", "Hello")))]
    assert "chosen answers" in data.notes[0]


def test_a_folder_is_trained_on_as_its_files_are_and_a_new_file_changes_its_fingerprint(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    whole = _load(_write(tmp_path / "a.jsonl", _chats(12)), model)
    (tmp_path / "d").mkdir()
    _write(tmp_path / "d" / "1.jsonl", _chats(12)[:5])
    _write(tmp_path / "d" / "2.jsonl", _chats(12)[5:])
    parts = _load(tmp_path / "d", model)
    assert (parts.train, parts.eval) == (whole.train, whole.eval)
    _write(tmp_path / "d" / "3.jsonl", _chats(1))
    assert _load(tmp_path / "d", model).fingerprints["train"] != parts.fingerprints["train"]


def test_a_guessed_encoding_is_said(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    path = tmp_path / "a.csv"
    path.write_bytes("instruction,output\nGrüße,Größe\nhé,ça va\n".encode("cp1252"))
    assert _load(path, model, fraction=0.0).notes == (
        "The text is not UTF-8; it is read as Windows-1252 (Latin-1), guessed from its letters.",
    )


def test_scored_answers_are_learnt_as_pairs_and_ties_are_said(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    rows: list[object] = [{"prompt": f"Say {index}", "responses": ["a", "b", "c"], "scores": [3, 2, 1]} for index in range(4)]
    path = _write(tmp_path / "a.jsonl", [*rows, {"prompt": "x", "responses": ["a", "b"], "scores": [1, 1]}])
    data = load_training_data(
        path, None, fraction=0.0, seed=1, format="auto", columns={}, tokenizer=load_tokenizer(model), max_length=64,
        assistant_only_loss=True, signal="pairs",
    )  # fmt: skip
    assert (data.format, len(data.train_examples)) == ("ranked", 8)
    assert data.notes == ("1 pair is left out: all answers are equally good, so there is nothing to prefer.",)


def test_tokens_are_kept_small_and_come_back_as_they_were() -> None:
    for labels in ((-100, 7, 8, -100, 9), (5, 7, 8, 3, 9), (-100,) * 5, (5, -100, -100, -100, 9)):
        example = TokenisedExample((5, 7, 8, 3, 9), labels, False, 3, True)
        assert (example.input_ids, example.labels, len(example)) == ((5, 7, 8, 3, 9), labels, 5)
        assert example == TokenisedExample([5, 7, 8, 3, 9], list(labels), False, 3, True)
        assert example.compact_ids().itemsize == 4
    assert TokenisedExample((), (), False, 0, False).labels == ()
