"""The demo model: size, form, tokenizer, chat template, and that the base does not yet show the behaviour."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, cast

import pytest
from tokenizers import Tokenizer

from desktop_ft.core.demo import demo_model_dir, held_out_prompts, shows_behaviour

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MIB = 2**20


@pytest.fixture(scope="module")
def raw_tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(demo_model_dir() / "tokenizer.json"))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    return cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(demo_model_dir()))


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    import torch
    from transformers import AutoModelForCausalLM

    return cast("PreTrainedModel", AutoModelForCausalLM.from_pretrained(demo_model_dir(), dtype=torch.float32))


def test_the_weights_are_bfloat16_and_small() -> None:
    path = demo_model_dir() / "model.safetensors"
    assert path.stat().st_size <= 12 * MIB
    data = path.read_bytes()
    header = cast("dict[str, dict[str, object]]", json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]))
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"BF16"}


def test_the_folder_holds_what_a_model_folder_holds_and_nothing_else() -> None:
    assert sorted(path.name for path in demo_model_dir().iterdir()) == [
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_configuration() -> None:
    config = cast("dict[str, object]", json.loads((demo_model_dir() / "config.json").read_text(encoding="utf-8")))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["tie_word_embeddings"] is True
    assert config["max_position_embeddings"] == 512
    assert config["eos_token_id"] != config["pad_token_id"]
    generation = cast("dict[str, object]", json.loads((demo_model_dir() / "generation_config.json").read_text(encoding="utf-8")))
    assert (generation["eos_token_id"], generation["pad_token_id"]) == (config["eos_token_id"], config["pad_token_id"])


@pytest.mark.parametrize(
    "text",
    [
        "What does an owl eat?",
        "  two  spaces,\ttabs\r\nand lines\n\n",
        "Zażółć gęślą jaźń, 東京, Ελληνικά, עברית",
        "👩‍🔬🏳️‍🌈 \U0010ffff \x00\x07",
        "def f(x):\n    return x**2 # 1234567890",
    ],
)
def test_any_text_survives_the_tokenizer(raw_tokenizer: Tokenizer, text: str) -> None:
    assert raw_tokenizer.decode(raw_tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_arbitrary_bytes_survive_the_tokenizer(raw_tokenizer: Tokenizer) -> None:
    rng = random.Random(0)
    for _ in range(50):
        ranges = rng.choices((range(0x80), range(0x80, 0xD800), range(0xE000, 0x110000)), k=40)
        text = "".join(chr(rng.choice(code_points)) for code_points in ranges)
        assert raw_tokenizer.decode(raw_tokenizer.encode(text).ids, skip_special_tokens=False) == text
    assert raw_tokenizer.get_vocab_size() == 2048


def test_transformers_and_tokenizers_agree(raw_tokenizer: Tokenizer, tokenizer: PreTrainedTokenizerBase) -> None:
    text = "<|im_start|>user\nWhat colour is a lemon?<|im_end|>\n"
    assert cast("list[int]", tokenizer(text).input_ids) == raw_tokenizer.encode(text).ids
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|pad|>"
    assert raw_tokenizer.token_to_id("<|im_end|>") == tokenizer.eos_token_id != tokenizer.pad_token_id


def test_the_chat_template_writes_what_the_model_was_trained_on(tokenizer: PreTrainedTokenizerBase) -> None:
    from importlib import import_module

    turns = [("system", "You are a helpful assistant."), ("user", "Hello!\n"), ("assistant", " Hello! "), ("user", "Bye.")]
    chat = [{"role": role, "content": content} for role, content in turns]
    expected = cast("str", import_module("generate_text").render_chat(turns))
    assert tokenizer.apply_chat_template(chat, tokenize=False) == expected
    assert tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == expected + "<|im_start|>assistant\n"


def test_the_base_answers_in_plain_sentences_without_the_behaviour(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    prompts = held_out_prompts()
    answers = [greedy_answer(model, tokenizer, prompt.prompt) for prompt in prompts]
    assert sum(map(shows_behaviour, prompts, answers)) <= 1
    right = [prompt.expected.lower() in answer.lower() for prompt, answer in zip(prompts, answers, strict=True)]
    assert sum(right) >= 9
    assert all(answer.count("\n") == 0 and answer.endswith(".") for answer in answers)


def greedy_answer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, question: str) -> str:
    import torch

    text = cast("str", tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False))
    ids = cast("torch.Tensor", tokenizer(text, return_tensors="pt").input_ids)
    generate = cast("Callable[..., torch.Tensor]", model.generate)
    with torch.no_grad():
        output = generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=64, do_sample=False)
    return cast("str", tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
