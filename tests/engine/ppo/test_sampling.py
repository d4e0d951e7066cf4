"""Answers are drawn from the model's whole distribution at the run's temperature, each from random numbers of its own."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel

from desktop_ft.core.config.objectives import RolloutConfig
from desktop_ft.core.data.records import Message, Task
from desktop_ft.engine.ppo.rows import make_rows
from desktop_ft.engine.ppo.sampling import GumbelNoise, Sampler, answers_for_one_row, seed_of, task_ids

PROMPTS = [[5, 6, 7, 8, 9], [10, 11], [12, 13, 14]]


@pytest.fixture(scope="module")
def model(tiny: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(tiny).eval()


def sampler(model: PreTrainedModel, tiny: Path, **settings: object) -> Sampler:
    return Sampler(model, AutoTokenizer.from_pretrained(tiny), RolloutConfig.model_validate({"max_completion_length": 8, **settings}), 2)


def test_noise_turns_the_largest_into_a_draw() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    scores = probabilities.log().repeat(20_000, 1)
    noise = GumbelNoise([seed_of(1, row) for row in range(20_000)], torch.device("cpu"))
    drawn = noise(cast("torch.LongTensor", torch.empty(0)), scores).argmax(-1)
    shares = torch.bincount(drawn, minlength=4) / 20_000
    torch.testing.assert_close(shares, probabilities, rtol=0, atol=0.015)  # four standard errors


def test_an_answer_does_not_depend_on_what_is_answered_beside_it(model: PreTrainedModel, tiny: Path) -> None:
    asked, seeds = sampler(model, tiny), [seed_of(3, number) for number in range(3)]
    before = torch.get_rng_state()
    together = asked.sample(PROMPTS, seeds)
    alone = [asked.sample([prompt], [seed])[0] for prompt, seed in zip(PROMPTS, seeds, strict=True)]
    assert together == alone
    assert torch.equal(torch.get_rng_state(), before)
    assert asked.sample(PROMPTS, [seed_of(4, number) for number in range(3)]) != together


def test_the_models_own_habits_are_left_out(tiny: Path) -> None:
    """A penalty for repetition, or the 50 likeliest tokens, would make another distribution than the one that is trained."""
    plain, stubborn = (AutoModelForCausalLM.from_pretrained(tiny).eval() for _ in range(2))
    stubborn.generation_config = GenerationConfig(repetition_penalty=5.0, top_k=2, do_sample=True, eos_token_id=2)
    seeds = [1, 2, 3]
    assert sampler(stubborn, tiny).sample(PROMPTS, seeds) == sampler(plain, tiny).sample(PROMPTS, seeds)
    assert stubborn.generation_config.top_k == 2


def test_temperature_and_top_p_narrow_the_choice(model: PreTrainedModel, tiny: Path) -> None:
    seeds = [seed_of(5, number) for number in range(3)]
    greedy = sampler(model, tiny, temperature=1e-4).sample(PROMPTS, seeds)
    narrow = sampler(model, tiny, top_p=1e-6).sample(PROMPTS, seeds)
    assert greedy == narrow
    assert sampler(model, tiny).sample(PROMPTS, seeds) != greedy


def test_an_answer_ends_with_the_token_that_ended_it(model: PreTrainedModel, tiny: Path) -> None:
    asked = sampler(model, tiny)
    for answer in asked.sample(PROMPTS, [1, 2, 3]):
        assert answer.finished == (answer.ids[-1] == 2)
        assert answer.finished or len(answer.ids) == 8
    assert asked.sample(PROMPTS, [1, 2, 3], lambda: True) == asked.sample(PROMPTS, [1, 2, 3])  # it asks only now and then


def test_a_prompt_is_written_in_the_chat_template(tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    chat = tokenizer.decode(task_ids(tokenizer, Task((Message("user", "the fox"),))))
    assert chat == "<|im_start|>user\nthe fox<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(task_ids(tokenizer, Task("the fox"))) == "the fox"


def test_rows_name_the_places_where_an_answer_was_chosen() -> None:
    rows = make_rows([[5, 6, 7], [8]], [[9], [10, 11]], 0, torch.device("cpu"))
    assert rows.ids.tolist() == [[5, 6, 7, 9], [8, 10, 11, 0]]
    assert rows.mask.tolist() == [[False, False, True], [True, True, False]]
    assert rows.labels.tolist() == [[-100, -100, -100, 9], [-100, 10, 11, -100]]
    assert rows.select(torch.tensor([1])).ids.tolist() == [[8, 10, 11]]


def test_more_answers_fit_where_keys_and_values_are_small(model: PreTrainedModel) -> None:
    """Tiny: 4 x 2 layers x 32 = 256 bytes of cache a token; 2 x 64 + 16 x 64 + 12 x 128 = 2688 in a backward pass."""
    assert answers_for_one_row(model) == int(2688 / 256 / 1.5) == 7
