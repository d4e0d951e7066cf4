"""The comparison's numbers against ones worked out by hand, and what counts as a stop token."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import cast

import pytest
import torch

from desktop_ft.engine.load import load_hf_tokenizer
from desktop_ft.engine.merge import load_model, write_generation_config
from desktop_ft.engine.verify import (
    CONTINUATION_TOKENS,
    MAX_POSITIONS,
    Comparison,
    Probe,
    chat_template_equal,
    compare_distributions,
    compare_models,
    end_of_turn_id,
    kl_limit,
    probes_of_examples,
    probes_of_prompts,
    prompt_ids,
    stop_ids,
    stop_token_ok,
)
from tests.helpers.tiny_models import TEMPLATE, TinySpec, make_model, make_tokenizer


def log(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows).log()


def test_kl_by_hand() -> None:
    reference = [log((0.5, 0.5), (0.9, 0.1))]
    candidate = [log((0.25, 0.75), (0.9, 0.1))]
    result = compare_distributions(reference, candidate, 1)
    expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert result.max_kl == pytest.approx(expected, abs=1e-6)
    assert result.mean_kl == pytest.approx(expected / 2, abs=1e-6)
    assert (result.num_probes, result.num_positions) == (1, 2)


def test_agreement_counts_positions() -> None:
    reference = [log((0.6, 0.4), (0.9, 0.1), (0.2, 0.8)), log((0.7, 0.3))]
    candidate = [log((0.4, 0.6), (0.8, 0.2), (0.1, 0.9)), log((0.6, 0.4))]
    assert compare_distributions(reference, candidate, 2).top1_agreement == 0.75


def test_numbers_that_are_none_never_pass() -> None:
    broken = compare_distributions([log((0.5, 0.5))], [torch.tensor([[float("nan"), 0.0]])], 1)
    assert math.isnan(broken.mean_kl)
    assert not broken.passes(1e9)
    other_vocabulary = compare_distributions([log((0.5, 0.5))], [log((0.5, 0.3, 0.2))], 1)
    assert not other_vocabulary.passes(1e9)
    assert Comparison(1, 1, 1.0, 0.005, 0.005).passes(0.005)
    assert not Comparison(1, 1, 1.0, 0.0051, 0.0051).passes(0.005)


def test_limits() -> None:
    assert kl_limit("float32", "float32") == 1e-4
    assert kl_limit("float32", "bfloat16") == 5e-3


def test_probes_of_examples_compare_what_is_learnt() -> None:
    probes = probes_of_examples([((5, 6, 7, 8), (-100, -100, 7, 8)), ((5, 6), (-100, -100))])
    assert probes == [Probe((5, 6, 7, 8), (1, 2))]


def test_probes_stay_within_the_limit() -> None:
    row = tuple(range(5, 205))
    probes = probes_of_examples([(row, row)] * 100)
    assert len(probes) == 32
    assert sum(len(probe.positions) for probe in probes) == MAX_POSITIONS


def test_same_model_does_not_differ(tmp_path: Path) -> None:
    folder = make_model(tmp_path)
    model = load_model(folder, "float32")
    probes = probes_of_prompts(model, load_hf_tokenizer(folder), ["Hello?", "And now?"])
    assert [len(probe.positions) for probe in probes] == [CONTINUATION_TOKENS, CONTINUATION_TOKENS]
    result = compare_models(model, model, probes)
    assert (result.mean_kl, result.max_kl, result.top1_agreement) == (0.0, 0.0, 1.0)
    other = load_model(make_model(tmp_path / "other", TinySpec(seed=3)), "float32")
    assert compare_models(model, other, probes).mean_kl > 0.01


def test_prompts_are_laid_out_by_the_template() -> None:
    tokenizer = make_tokenizer()
    rendered = tokenizer.decode(prompt_ids(tokenizer, "Hi", "Be kind."))
    assert rendered == "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    tokenizer.chat_template = None
    assert tokenizer.decode(prompt_ids(tokenizer, "Hi")) == "Hi"


def test_stop_tokens() -> None:
    tokenizer = make_tokenizer("<|endoftext|>")
    end_of_turn, end_of_text = (cast("int", tokenizer.convert_tokens_to_ids(token)) for token in ("<|im_end|>", "<|endoftext|>"))
    assert end_of_turn_id(tokenizer) == end_of_turn
    assert stop_ids(tokenizer) == (end_of_text, end_of_turn)
    tokenizer.chat_template = None
    assert stop_ids(tokenizer) == (end_of_text,)
    tokenizer.chat_template = "{{ raise_exception('only system turns') }}"
    assert end_of_turn_id(tokenizer) is None


def test_generation_settings_keep_what_the_base_says(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    (base / "generation_config.json").write_text('{"eos_token_id": 7, "temperature": 0.6, "do_sample": false}', encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    write_generation_config(base, out, (2, 7, 3))
    assert json.loads((out / "generation_config.json").read_text(encoding="utf-8")) == {
        "eos_token_id": [7, 2, 3], "temperature": 0.6, "do_sample": False,
    }  # fmt: skip


def test_folder_that_never_stops_or_talks_otherwise_is_noticed(tmp_path: Path) -> None:
    base, out = make_model(tmp_path / "base"), make_model(tmp_path / "out")
    assert chat_template_equal(base, out)
    assert stop_token_ok(out)
    (out / "chat_template.jinja").write_text(TEMPLATE + " ", encoding="utf-8")
    (out / "generation_config.json").write_text('{"eos_token_id": 3}', encoding="utf-8")
    assert not chat_template_equal(base, out)
    assert not stop_token_ok(out)
