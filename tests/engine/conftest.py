"""A tiny Llama with a byte-level BPE, with and without generation markers, and the files of data that the runs here learn from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from desktop_ft.core.config import config_from_values, set_value
from desktop_ft.core.runs import RunDir, create_run

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
PLAIN = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}" + PROMPT
)
MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}" + PROMPT
)
TEXT = "the quick brown fox jumps over a lazy dog while seven small boats sail to the sea and the sky turns blue"
WORDS = tuple(TEXT.split(" "))


def sentence(number: int, length: int) -> str:
    """Some words, another few for each number."""
    return " ".join(WORDS[(number * 7 + place * (number % 5 + 1)) % len(WORDS)] for place in range(length))


def make_tokenizer(template: str) -> PreTrainedTokenizerBase:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend: Any = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator([sentence(number, 12) for number in range(100)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|pad|>", eos_token="<|im_end|>", bos_token="<|endoftext|>", chat_template=template
    )


def make_model(folder: Path, template: str) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer: Any = make_tokenizer(template)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose template marks the assistant's words."""
    return make_model(tmp_path_factory.mktemp("tiny"), MARKED)


@pytest.fixture(scope="session")
def tiny_plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model, its template without markers."""
    return make_model(tmp_path_factory.mktemp("tiny-plain"), PLAIN)


def _write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def chat_rows(count: int) -> list[dict[str, object]]:
    def turn(role: str, number: int, length: int) -> dict[str, str]:
        return {"role": role, "content": sentence(number, length)}

    return [
        {"messages": [turn("user", number, 3 + number % 7), turn("assistant", number + 1, 4 + number % 9), *_more(number)]}
        for number in range(count)
    ]


def _more(number: int) -> list[dict[str, str]]:
    if number % 3:
        return []
    return [{"role": "user", "content": sentence(number + 2, 4)}, {"role": "assistant", "content": sentence(number + 3, 6)}]


def pair_rows(count: int) -> list[dict[str, object]]:
    return [
        {"prompt": sentence(number, 3 + number % 7), "completion": " " + sentence(number + 1, 4 + number % 9)} for number in range(count)
    ]


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """44 conversations of one or two exchanges."""
    return _write(tmp_path_factory.mktemp("data") / "chats.jsonl", chat_rows(44))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """44 prompts with completions, all different."""
    return _write(tmp_path_factory.mktemp("data") / "pairs.jsonl", pair_rows(44))


NewRun = Callable[..., RunDir]

DEFAULTS: dict[str, object] = {
    "data.split.fraction": 0.0,
    "data.max_length": 64,
    "method.rank": 4,
    "method.use_dora": False,
    "training.global_batch_size": 4,
    "training.micro_batch_size": 4,
    "training.kernels": "none",
    "training.learning_rate": 1e-3,
    "model.dtype": "float32",
}


def make_run(folder: Path, settings: Mapping[str, object]) -> RunDir:
    """A run's folder from dotted settings over small defaults."""
    values: dict[str, object] = {"name": folder.name}
    for path, value in {**DEFAULTS, **settings}.items():
        values = set_value(values, path, value)
    folder.mkdir()
    return create_run(folder, config_from_values(values, folder, folder.name))


@pytest.fixture
def new_run(tmp_path: Path) -> NewRun:
    """Makes a run's folder: a name and dotted settings."""
    return lambda name, settings: make_run(tmp_path / name, settings)
