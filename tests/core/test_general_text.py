"""The text that forgetting is measured on: there, small, varied, and what it was."""

from __future__ import annotations

from desktop_ft.core.data.tokenise import tokenise
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.demo import demo_model_dir
from desktop_ft.core.general_text import general_text_fingerprint, general_texts


def test_it_is_a_few_kilobytes_of_different_pieces() -> None:
    texts = [example.text for example in general_texts()]
    assert len(texts) == len(set(texts)) == 16
    assert 6_000 <= sum(len(text.encode("utf-8")) for text in texts) <= 8_000
    assert all(300 <= len(text) <= 700 for text in texts)


def test_any_tokenizer_can_learn_it() -> None:
    tokenizer = load_tokenizer(demo_model_dir())
    for example in general_texts():
        tokens = tokenise(example, tokenizer, max_length=None, assistant_only_loss=True)
        assert tokens.num_supervised == len(tokens.input_ids) > 100


def test_a_change_of_it_is_noticed_because_old_numbers_would_not_compare() -> None:
    assert general_text_fingerprint().sha256 == "56ae8fd27222099105e5603fe53617060440279f1fdb392154bfce5e23032d23"
