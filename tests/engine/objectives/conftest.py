"""Files of preference pairs and judged answers, of chats and of text, with answers of unequal lengths."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.conftest import MARKED, make_model, sentence

Row = dict[str, object]


def text_pair(number: int) -> Row:
    """Two answers to one prompt, as text."""
    return {
        "prompt": sentence(number, 3 + number % 7),
        "chosen": " " + sentence(number + 1, 4 + number % 9),
        "rejected": " " + sentence(number + 5, 2 + number % 11),
    }


def chat_pair(number: int) -> Row:
    """Two answers to one prompt, as messages."""
    row = text_pair(number)
    return {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "chosen": [{"role": "assistant", "content": str(row["chosen"]).strip()}],
        "rejected": [{"role": "assistant", "content": str(row["rejected"]).strip()}],
    }


def judged(number: int) -> Row:
    """One answer, good or bad in turn."""
    row = text_pair(number)
    return {"prompt": row["prompt"], "completion": row["chosen"], "label": number % 2 == 0}


def judged_chat(number: int) -> Row:
    """The same as messages."""
    row = chat_pair(number)
    return {"prompt": row["prompt"], "completion": row["chosen"], "label": number % 2 == 0}


MAKERS: dict[str, Callable[[int], Row]] = {"text": text_pair, "chat": chat_pair, "judged": judged, "judged-chat": judged_chat}


def write_rows(path: Path, rows: list[Row]) -> Path:
    """A JSONL file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def preference_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """44 rows of each kind, by name."""
    folder = tmp_path_factory.mktemp("preferences")
    return {name: write_rows(folder / f"{name}.jsonl", [make(number) for number in range(44)]) for name, make in MAKERS.items()}


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model without a chat template: text stays text."""
    folder = make_model(tmp_path_factory.mktemp("tiny-text"), MARKED)
    (folder / "chat_template.jinja").unlink()
    return folder


@pytest.fixture(scope="session", autouse=True)
def quick_collections() -> None:
    """Each trainer ends with a full garbage collection, half a second over the libraries' own objects; these are left out of it."""
    import peft
    import transformers
    from trl.trainer import dpo_trainer, kto_trainer, reward_trainer

    assert all((peft, transformers, dpo_trainer, kto_trainer, reward_trainer))
    gc.collect()
    gc.freeze()
