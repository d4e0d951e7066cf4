"""Prompts and answers side by side with what TRL's own trainers make of the same records, ids and what they leave out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from desktop_ft.core.data.prepared import Options, Row, Steps, prepare
from desktop_ft.core.data.records import Example, Judged, Message, Preference, Task
from desktop_ft.core.data.sequences import sequences_of
from desktop_ft.core.data.tokenizer import load_tokenizer
from tests.core.data.tiny import CHATML, LLAMA, MISTRAL, make_model_dir

if TYPE_CHECKING:
    from datasets import Dataset

Prepared = Sequence[Mapping[str, list[int]]]
Trl = Callable[[str, Path, Sequence[Example], int | None], Prepared]
MAX_LENGTH = 40


def _chat(question: str, *answers: str) -> tuple[tuple[Message, ...], ...]:
    return ((Message("user", question),), *((Message("assistant", answer),) for answer in answers))


CHAT_PAIRS = (
    Preference(*_chat("What is 2 + 2?", "4", "It is five.")),
    Preference(*_chat("Grüße 🦊", "the same start: yes", "the same start: no, fox " * 9)),
    Preference((Message("user", "a"), Message("assistant", "b"), Message("user", "c")), *_chat("", "d", "e " * 3)[1:]),
    Preference(*_chat("user " * 60, "Paris.", "Rome.")),
)
TEXT_PAIRS = (
    Preference("What is 2 + 2?", " 4", " five"),
    Preference("The quick bro", "wn fox", "om"),
    Preference("", "The sea", "The sky"),
    Preference("user " * 60, "Paris.", "Ends already.<|im_end|>"),
)
TEMPLATES = {"chatml": (CHATML, "<|im_end|>"), "llama3": (LLAMA, "<|eot_id|>"), "mistral": (MISTRAL, "</s>")}


def _plain(part: str | tuple[Message, ...]) -> object:
    return part if isinstance(part, str) else [{"role": message.role, "content": message.content} for message in part]


def _fields(example: Example) -> dict[str, object]:
    match example:
        case Preference(prompt, chosen, rejected):
            return {"prompt": _plain(prompt), "chosen": _plain(chosen), "rejected": _plain(rejected)}
        case Judged(prompt, completion, is_good):
            return {"prompt": _plain(prompt), "completion": _plain(completion), "label": is_good}
        case _:
            raise AssertionError(example)


@pytest.fixture(scope="module")
def trl(tmp_path_factory: pytest.TempPathFactory) -> Trl:
    """The rows that a trainer of TRL makes of records."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    kinds = cast(
        "Mapping[str, Any]", {"dpo": (DPOTrainer, DPOConfig), "kto": (KTOTrainer, KTOConfig), "reward": (RewardTrainer, RewardConfig)}
    )
    out = str(tmp_path_factory.mktemp("trl"))
    small = LlamaConfig(
        vocab_size=700, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1
    )

    def prepare_with(kind: str, folder: Path, examples: Sequence[Example], max_length: int | None) -> Prepared:
        trainer_class, config_class = kinds[kind]
        if kind == "reward":
            small.num_labels = 1
        model = (LlamaForSequenceClassification if kind == "reward" else LlamaForCausalLM)(small)
        tokenizer = cast("Any", AutoTokenizer).from_pretrained(folder)
        cast("Any", model.config).pad_token_id = tokenizer.pad_token_id
        args = config_class(
            output_dir=out, use_cpu=True, bf16=False, max_length=max_length, report_to="none", per_device_train_batch_size=2
        )
        rows = Dataset.from_list([_fields(example) for example in examples])
        adapter = LoraConfig(r=1, target_modules="all-linear", task_type="SEQ_CLS" if kind == "reward" else "CAUSAL_LM")
        trainer = trainer_class(model=model, args=args, train_dataset=rows, processing_class=tokenizer, peft_config=adapter)
        return cast("Prepared", list(cast("Dataset", trainer.train_dataset)))

    return prepare_with


def _model(tmp_path: Path, name: str, *, with_bos: bool = True) -> Path:
    template, eos = TEMPLATES[name]
    return make_model_dir(tmp_path, template, eos=eos, with_bos=with_bos)


def _ids(folder: Path, example: Preference | Judged | Task) -> tuple[list[int], list[list[int]]]:
    found = sequences_of(example, load_tokenizer(folder))
    return list(found.prompt_ids), [list(answer.input_ids) for answer in found.answers]


def _rows(folder: Path, examples: Sequence[Example], max_length: int | None) -> list[Row]:
    numbered = list(enumerate(examples, start=1))
    return prepare(numbered, Options(load_tokenizer(folder), max_length, True, False), Steps(len(numbered), None))


@pytest.mark.parametrize("name", sorted(TEMPLATES))
@pytest.mark.parametrize("pairs", [CHAT_PAIRS, TEXT_PAIRS], ids=["chat", "text"])
def test_pairs_equal_dpo(pairs: Sequence[Preference], name: str, tmp_path: Path, trl: Trl) -> None:
    folder = _model(tmp_path, name)
    theirs = [
        (row["prompt_ids"], [row["prompt_ids"] + row[side] for side in ("chosen_ids", "rejected_ids")])
        for row in trl("dpo", folder, pairs, None)
    ]
    assert [_ids(folder, pair) for pair in pairs] == theirs


@pytest.mark.parametrize("name", sorted(TEMPLATES))
@pytest.mark.parametrize("pairs", [CHAT_PAIRS, TEXT_PAIRS], ids=["chat", "text"])
def test_pairs_equal_the_reward_trainer(pairs: Sequence[Preference], name: str, tmp_path: Path, trl: Trl) -> None:
    folder = _model(tmp_path, name)
    theirs = [[row["chosen_ids"], row["rejected_ids"]] for row in trl("reward", folder, pairs, None)]
    assert [_ids(folder, pair)[1] for pair in pairs] == theirs


@pytest.mark.parametrize("pairs", [CHAT_PAIRS, TEXT_PAIRS], ids=["chat", "text"])
def test_judgments_equal_kto(pairs: Sequence[Preference], tmp_path: Path, trl: Trl) -> None:
    folder = _model(tmp_path, "llama3")
    judged = [Judged(pair.prompt, pair.chosen, is_good=index % 2 == 0) for index, pair in enumerate(pairs)]
    theirs = [(row["prompt_ids"], [row["prompt_ids"] + row["completion_ids"]]) for row in trl("kto", folder, judged, None)]
    assert [_ids(folder, one) for one in judged] == theirs


@pytest.mark.parametrize("pairs", [CHAT_PAIRS, TEXT_PAIRS], ids=["chat", "text"])
def test_what_does_not_fit_is_left_out_as_the_trainers_leave_it_out(pairs: Sequence[Preference], tmp_path: Path, trl: Trl) -> None:
    folder = _model(tmp_path, "chatml")
    rows = _rows(folder, pairs, MAX_LENGTH)
    kept = [row for row in rows if row.is_learnt]
    dpo = trl("dpo", folder, pairs, MAX_LENGTH)
    lengths = [max(len(row["prompt_ids"]) + len(row[side]) for side in ("chosen_ids", "rejected_ids")) for row in dpo]
    assert [(row.num_tokens, row.is_cut) for row in kept] == [(min(length, MAX_LENGTH), length > MAX_LENGTH) for length in lengths]
    assert len(kept) == len(pairs) - 1
    whole = [row for row in rows if not row.is_cut]
    reward = trl("reward", folder, pairs, MAX_LENGTH)
    assert [row.num_tokens for row in whole] == [max(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in reward]


@pytest.mark.parametrize("prompt", ["What is 2 + 2?", CHAT_PAIRS[0].prompt, CHAT_PAIRS[2].prompt])
def test_a_task_is_the_prompt_that_is_sampled_from(prompt: str | tuple[Message, ...], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = _model(tmp_path, "llama3")
    tokenizer = cast("Any", AutoTokenizer).from_pretrained(folder)
    theirs = (
        tokenizer(text=[prompt])["input_ids"]
        if isinstance(prompt, str)
        else tokenizer.apply_chat_template([_plain(prompt)], add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
    )
    assert [_ids(folder, Task(prompt))[0]] == theirs
    long = Task(prompt * 20 if isinstance(prompt, str) else (Message("user", "fox " * 60),))
    assert [row.is_learnt for row in _rows(folder, [Task(prompt), long], MAX_LENGTH)] == [True, False]
