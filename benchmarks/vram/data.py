"""Rows of an exact number of tokens for every objective: made of words that are one token each."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.vram.cases import Case
from desktop_ft.core.config.combinations import REWARDED
from desktop_ft.core.data.tokenizer import load_tokenizer

EXTRA_TOKENS: Final = 16
"""Left free for what a chat template adds to a prompt and a trainer to a row; the row says how long it was in the end."""
FEWEST_ROWS: Final = 8
EVERY: Final = {"dense": 1, "ragged": 2, "varied": 8}
"""Every so many rows one is as long as it may be."""


def words_of(model: Path) -> list[str]:
    """Words that this tokenizer has whole, with the blank before them."""
    tokenizer = load_tokenizer(model)
    known = [
        token[1:] for token in json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"] if token[:1] == "Ġ"
    ]
    candidates = sorted(word for word in known if word.isascii() and word.isalpha() and word.islower() and len(word) > 2)
    found = [word for word in candidates if len(tokenizer.encode(f" {word} {word}", add_special_tokens=False).ids) == 2]
    assert len(found) > 20, "the tokenizer has too few whole words"
    return found[:400]


def write_data(case: Case, model: Path, folder: Path) -> tuple[Path, Path | None]:
    """The training file and, where the objective is evaluated on rows, one micro-batch of held-out rows."""
    folder.mkdir(parents=True, exist_ok=True)
    config = case.config()
    whole = config.training.global_batch_size
    micro = config.training.micro_batch_size
    micro = micro if isinstance(micro, int) else 1
    words, draw = words_of(model), random.Random(0)
    num_steps = config.training.max_steps or 1
    num_rows = max(FEWEST_ROWS, whole * num_steps * (config.objective.ppo.num_mini_batches if config.objective.kind == "ppo" else 1))
    train, held_out = folder / "train.jsonl", folder / "eval.jsonl"
    _write(train, _rows(case, words, draw, num_rows, micro))
    if config.objective.kind in REWARDED:
        return train, None
    _write(held_out, _rows(case, words, draw, max(2, micro), micro))
    return train, held_out


def _write(path: Path, rows: Iterator[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _rows(case: Case, words: list[str], draw: random.Random, num_rows: int, micro: int) -> Iterator[dict[str, object]]:
    """All as long as they may be, or so many of them."""
    limit = case.prompt_length
    packed = case.settings.get("data.packing") is True
    for number in range(num_rows * 4 if packed else num_rows):
        length = draw.randrange(max(8, limit // 8), limit // 2) if packed else limit
        if number % EVERY[case.rows]:
            length = draw.randrange(max(8, limit // 4), limit - EXTRA_TOKENS)
        yield _row(str(case.settings.get("objective.kind", "sft")), words, draw, length, number)


def _row(objective: str, words: list[str], draw: random.Random, length: int, number: int) -> dict[str, object]:
    """One row of at most this many tokens; questions are short, for what has a label costs most."""

    def text(num_words: int) -> str:
        return " " + " ".join(draw.choices(words, k=max(1, num_words)))  # with the blank the first word is one token too

    if objective in ("sft", "pretrain"):
        return {"text": text(length + EXTRA_TOKENS)}  # cut at max_length
    if objective in REWARDED:
        return {"prompt": text(length - EXTRA_TOKENS)}
    question = max(4, length // 16)
    answer = length - question - EXTRA_TOKENS
    if objective == "kto":
        return {"prompt": text(question), "completion": text(answer), "label": number % 2 == 0}
    return {"prompt": text(question), "chosen": text(answer), "rejected": text(answer)}
