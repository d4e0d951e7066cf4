"""A tokenizer and rows that stand for the run's data: as long as the longest that training will see, or of lengths up to it."""

from __future__ import annotations

import random
from typing import Final

from transformers import PreTrainedTokenizerBase

from desktop_ft.core.config import RunConfig
from desktop_ft.core.data.dataset import TrainingData
from desktop_ft.core.data.records import Example, Judged, PlainText, Preference, Task
from desktop_ft.core.data.signals import SIGNALS, TOKENISED_HERE
from desktop_ft.core.data.tokenise import TokenisedExample

PROMPT_SHARE: Final = 8
"""One in so many tokens of a preference row is its prompt, which is read and not learnt."""
_WORD: Final = "a"


def made_tokenizer() -> PreTrainedTokenizerBase:
    """One token a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {_WORD: 0, "<pad>": 1, "<eos>": 2, "b": 3}
    backend = Tokenizer(models.WordLevel(words, unk_token=_WORD))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue] # a property of the Rust class
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token=_WORD)


def made_data(config: RunConfig, longest: int, num_train: int, num_eval: int, *, are_varied: bool) -> TrainingData:
    """Rows of one length, or of any length from a quarter of the longest on; one is the longest.

    Args:
        config: Of the run.
        longest: Tokens of a row; of a prompt where answers are sampled.
        num_train: Examples to learn from.
        num_eval: Examples held out.
        are_varied: Whether lengths differ.
    """
    signal = SIGNALS[config.objective.kind]
    draw = random.Random(config.seed)
    lengths = [longest, *(draw.randint(-(-longest // 4), longest) if are_varied else longest for _ in range(num_train + num_eval - 1))]
    examples = [_example(config, length, number) for number, length in enumerate(lengths)]
    rows = [_row(length) for length in lengths] if signal in TOKENISED_HERE else []
    return TrainingData(
        train=rows[:num_train],
        eval=rows[num_train:],
        format="made",
        num_rows=num_train + num_eval,
        fingerprints={},
        num_masked=0,
        num_truncated=0,
        train_examples=examples[:num_train],
        eval_examples=examples[num_train:],
        longest=longest,
        notes=(),
        lengths=(longest,) * num_train,
        eval_lengths=(longest,) * num_eval,
    )


def _row(length: int) -> TokenisedExample:
    """Every token is learnt."""
    return TokenisedExample((0,) * length, (0,) * length, truncated=False, num_supervised=length, ends_with_eos=False)


def _example(config: RunConfig, longest: int, number: int) -> Example:
    num_prompt = max(1, longest // PROMPT_SHARE)
    prompt, answer = _words(num_prompt), " " + _words(max(1, longest - num_prompt - 1))  # TRL ends an answer with a token of its own
    match SIGNALS[config.objective.kind]:
        case "pairs":
            return Preference(prompt, answer, answer)
        case "judgments":
            return Judged(prompt, answer, number % 2 == 0)
        case "prompts":
            return Task(_words(longest))
        case _:
            return PlainText(_words(longest))


def _words(count: int) -> str:
    return " ".join([_WORD] * count)
