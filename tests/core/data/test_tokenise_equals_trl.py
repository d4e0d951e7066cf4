"""Ids and labels side by side with TRL's own SFTTrainer on the same rows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from desktop_ft.core.data.formats import detect_format, to_example
from desktop_ft.core.data.template import ChatTemplate
from desktop_ft.core.data.tokenise import tokenise
from desktop_ft.core.data.tokenizer import load_tokenizer
from tests.core.data.tiny import CHATML, CHATML_MARKED, TWINS, make_model_dir

Row = Mapping[str, object]
Sequences = list[tuple[list[int], list[int]]]


def _chat(*turns: tuple[str, str]) -> Row:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


CHATS: list[Row] = [
    _chat(("user", "What is the capital of France?"), ("assistant", "Paris.")),
    _chat(("user", "2 + 2"), ("assistant", " = 4 \n"), ("user", "assistant"), ("assistant", "The sea and the sky, 0123.\n\nMore.")),
    _chat(("user", "a"), ("assistant", "a"), ("user", "a"), ("assistant", "a")),
    _chat(("user", "Grüße, 日本 🦊"), ("assistant", "🦊 naïve <|im_end|> fox")),
]
SYSTEM_CHAT = _chat(("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"))
TEXTS: list[Row] = [{"text": "The quick brown fox."}, {"text": "Ends already.<|im_end|>"}, {"text": "日本 🦊 " * 20}]
STRING_PAIRS: list[Row] = [
    {"prompt": "What is 2 + 2?", "completion": " 4"},
    {"prompt": "The quick bro", "completion": "wn fox"},
    {"prompt": "user " * 50, "completion": "Paris."},
]
MESSAGE_PAIRS: list[Row] = [
    {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Hello you"}]},
    {
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Write a poem"}],
        "completion": [{"role": "assistant", "content": "The sea"}],
    },
]


class Trl(Protocol):
    """Tokenises rows with TRL."""

    def __call__(self, folder: Path, rows: Sequence[Row], **config: object) -> Sequences: ...


@pytest.fixture(scope="module")
def trl(tmp_path_factory: pytest.TempPathFactory) -> Trl:
    from datasets import Dataset
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    out = str(tmp_path_factory.mktemp("trl"))
    small = LlamaConfig(
        vocab_size=700, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1
    )
    model = LlamaForCausalLM(small)

    def prepare(folder: Path, rows: Sequence[Row], **config: object) -> Sequences:
        settings: dict[str, object] = {"output_dir": out, "use_cpu": True, "bf16": False, "max_length": None, "report_to": "none", **config}
        trainer = SFTTrainer(
            model=model,
            args=cast("Callable[..., SFTConfig]", SFTConfig)(**settings),
            train_dataset=Dataset.from_list([dict(row) for row in rows]),
            processing_class=AutoTokenizer.from_pretrained(folder),
        )
        prepared = cast("list[dict[str, list[int]]]", list(cast("Dataset", trainer.train_dataset)))
        return [(row["input_ids"], row["labels"]) for row in prepared]

    return cast("Trl", prepare)


def _ours(folder: Path, rows: Sequence[Row], *, max_length: int | None = None, assistant_only_loss: bool = False) -> Sequences:
    tokenizer = load_tokenizer(folder)
    assert tokenizer.exact
    detection = detect_format(rows)
    prepared: Sequences = []
    for number, row in enumerate(rows, start=1):
        example = to_example(row, number, detection.format, detection.columns)
        one = tokenise(example, tokenizer, max_length=max_length, assistant_only_loss=assistant_only_loss)
        prepared.append((list(one.input_ids), list(one.labels)))
    return prepared


def _eos_of(name: str) -> str:
    return {"llama3": "<|eot_id|>", "mistral": "</s>", "phi": "<|endoftext|>", "gemma": "<eos>", "raw": "</s>"}.get(name, "<|im_end|>")


def _rows_for(name: str) -> list[Row]:
    return CHATS if name == "mistral" else [*CHATS, SYSTEM_CHAT]


@pytest.mark.parametrize("name", sorted(TWINS))
def test_whole_conversations_equal_trl(name: str, tmp_path: Path, trl: Trl) -> None:
    folder = make_model_dir(tmp_path, TWINS[name][0], eos=_eos_of(name), with_bos=True)
    rows = _rows_for(name)
    assert _ours(folder, rows) == trl(folder, rows)


@pytest.mark.parametrize("name", sorted(TWINS))
def test_marked_assistant_turns_equal_trl(name: str, tmp_path: Path, trl: Trl) -> None:
    folder = make_model_dir(tmp_path, TWINS[name][1], eos=_eos_of(name), with_bos=True)
    rows = _rows_for(name)
    assert _ours(folder, rows, assistant_only_loss=True) == trl(folder, rows, assistant_only_loss=True)


@pytest.mark.parametrize("name", sorted(TWINS))
def test_unmarked_assistant_turns_equal_trl_with_the_hand_marked_twin(name: str, tmp_path: Path, trl: Trl) -> None:
    plain, marked = TWINS[name]
    ours = make_model_dir(tmp_path / "plain", plain, eos=_eos_of(name))
    twin = make_model_dir(tmp_path / "marked", marked, eos=_eos_of(name))
    rows = _rows_for(name)
    assert _ours(ours, rows, assistant_only_loss=True) == trl(twin, rows, assistant_only_loss=True)


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "llama3", "gemma3", "phi3"])
def test_templates_that_trl_knows_equal_trl(name: str, tmp_path: Path, trl: Trl) -> None:
    import trl as trl_package

    source = (Path(trl_package.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")
    folder = make_model_dir(tmp_path, source)
    assert _ours(folder, CHATS, assistant_only_loss=True) == trl(folder, CHATS, assistant_only_loss=True)
    assert _ours(folder, CHATS) == trl(folder, CHATS)


@pytest.mark.parametrize("with_bos", [False, True])
def test_text_equals_trl(with_bos: bool, tmp_path: Path, trl: Trl) -> None:
    folder = make_model_dir(tmp_path, None, with_bos=with_bos)
    assert _ours(folder, TEXTS) == trl(folder, TEXTS)


@pytest.mark.parametrize("with_bos", [False, True])
def test_prompt_and_completion_strings_equal_trl(with_bos: bool, tmp_path: Path, trl: Trl) -> None:
    folder = make_model_dir(tmp_path, None, with_bos=with_bos)
    assert _ours(folder, STRING_PAIRS) == trl(folder, STRING_PAIRS)


@pytest.mark.parametrize("assistant_only_loss", [False, True])
def test_prompt_and_completion_messages_equal_trl(assistant_only_loss: bool, tmp_path: Path, trl: Trl) -> None:
    folder = make_model_dir(tmp_path, CHATML_MARKED)
    ours = _ours(folder, MESSAGE_PAIRS, assistant_only_loss=assistant_only_loss)
    assert ours == trl(folder, MESSAGE_PAIRS, assistant_only_loss=assistant_only_loss)


def test_truncation_equals_trl_and_masked_rows_are_those_it_drops(tmp_path: Path, trl: Trl) -> None:
    folder = make_model_dir(tmp_path, CHATML)
    ours = [row for row in _ours(folder, STRING_PAIRS, max_length=12) if any(label != -100 for label in row[1])]
    assert ours == trl(folder, STRING_PAIRS, max_length=12)
    assert len(ours) == 2


@pytest.mark.parametrize("tokenizer_class", ["PreTrainedTokenizerFast", "GPT2Tokenizer", "Qwen2Tokenizer", "LlamaTokenizer"])
@pytest.mark.parametrize("flag", [False, True])
def test_ids_equal_auto_tokenizer_for_each_class(tokenizer_class: str, flag: bool, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = make_model_dir(tmp_path, tokenizer_class=tokenizer_class, add_bos_token=flag, add_eos_token=flag, with_bos=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}), encoding="utf-8")
    theirs = AutoTokenizer.from_pretrained(folder)
    ours = load_tokenizer(folder)
    assert ours.exact
    for text in ("2 + 2 = 1234, it's\n\n  fine<|im_end|>", "cafe\u0301 日本 🦊", ""):
        for add_special_tokens in (False, True):
            assert ours.encode(text, add_special_tokens).ids == theirs(text, add_special_tokens=add_special_tokens)["input_ids"]
    special = ours.special
    assert (special.bos_id, special.eos_id, special.pad_id) == (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id)


def test_tokens_that_only_the_configuration_names_get_the_same_ids(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = make_model_dir(tmp_path, additional_special_tokens=["<extra>"], eos="<new_end>")
    theirs, ours = AutoTokenizer.from_pretrained(folder), load_tokenizer(folder)
    text = "fox <extra> and <new_end>"
    assert ours.encode(text, False).ids == theirs(text, add_special_tokens=False)["input_ids"]
    assert ours.special.eos_id == theirs.eos_token_id


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m | tojson }}{% endfor %}",
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}{{ dict(a=1) | tojson }}",
        "  {%- if tools is none %}none{% endif %}\n   {% if documents %}x{% endif %}\n{{ bos_token }}{{ strftime_now('%Y') }}",
    ],
)
def test_rendering_equals_transformers(source: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = make_model_dir(tmp_path, source)
    theirs, template = AutoTokenizer.from_pretrained(folder), load_tokenizer(folder).chat_template
    assert isinstance(template, ChatTemplate)
    example = to_example(CHATS[1], 1, "messages", {})
    for add_generation_prompt in (False, True):
        expected = theirs.apply_chat_template(CHATS[1]["messages"], tokenize=False, add_generation_prompt=add_generation_prompt)
        assert template.render(getattr(example, "messages"), add_generation_prompt) == expected  # noqa: B009 (the union has no such field)


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Its name"}}, "required": ["city"]},
        },
    }
]
_CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}
TOOL_CHATS: list[Row] = [
    {
        "messages": [
            {"role": "user", "content": "Weather in Paris?"},
            {"role": "assistant", "content": "", "tool_calls": [_CALL]},
            {"role": "tool", "content": "Sunny", "name": "weather"},
            {"role": "assistant", "content": "It is sunny."},
        ],
        "tools": TOOLS,
    },
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "tools": TOOLS},
]


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "llama3_1", "llama3_2", "lfm2", "glm4moe"])
def test_tools_and_tool_calls_are_rendered_as_transformers_does(name: str, tmp_path: Path) -> None:
    import trl as trl_package
    from transformers import AutoTokenizer

    source = (Path(trl_package.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")
    folder = make_model_dir(tmp_path, source)
    theirs, ours = AutoTokenizer.from_pretrained(folder), load_tokenizer(folder)
    for number, row in enumerate(TOOL_CHATS, start=1):
        example = to_example(row, number, "messages", {})
        ids = theirs.apply_chat_template(row["messages"], tools=row["tools"], return_dict=False)
        assert tokenise(example, ours, max_length=None, assistant_only_loss=False).input_ids == tuple(cast("list[int]", ids))


@pytest.mark.parametrize("assistant_only_loss", [False, True])
def test_tools_and_tool_calls_equal_trl(assistant_only_loss: bool, tmp_path: Path, trl: Trl) -> None:
    import trl as trl_package

    source = (Path(trl_package.__file__).parent / "chat_templates" / "qwen3.jinja").read_text(encoding="utf-8")
    folder = make_model_dir(tmp_path, source)
    rows = [{**row, "tools": json.dumps(row["tools"])} for row in TOOL_CHATS]
    ours = _ours(folder, rows, assistant_only_loss=assistant_only_loss)
    assert ours == trl(folder, rows, assistant_only_loss=assistant_only_loss)


def test_a_call_is_learnt_where_the_template_has_no_markers(tmp_path: Path) -> None:
    source = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}{% for c in m['tool_calls'] or [] %}"
        "{{ '<call>' + c['function'] | tojson + '</call>' }}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    tokenizer = load_tokenizer(make_model_dir(tmp_path, source))
    example = to_example(TOOL_CHATS[0], 1, "messages", {})
    seen = tokenise(example, tokenizer, max_length=None, assistant_only_loss=True)
    learnt = tokenizer.decode([label for label in seen.labels if label != -100])
    assert learnt == '<call>{"name": "weather", "arguments": {"city": "Paris"}}</call><|im_end|>It is sunny.<|im_end|>'
