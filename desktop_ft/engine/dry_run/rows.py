"""A tokenizer and rows that stand for the run's data: every row as long as the longest that training will see."""

from __future__ import annotations

from typing import Final

from transformers import PreTrainedTokenizerBase

from desktop_ft.core.config import RunConfig
from desktop_ft.core.data.dataset import TrainingData
from desktop_ft.core.data.records import Example, Judged, Preference, Task
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


def made_data(config: RunConfig, longest: int, num_train: int, num_eval: int) -> TrainingData:
    """Rows of one length.

    Args:
        config: Of the run.
        longest: Tokens of a row; of a prompt where answers are sampled.
        num_train: Examples to learn from.
        num_eval: Examples held out.
    """
    signal = SIGNALS[config.objective.kind]
    examples = [_example(config, longest, number) for number in range(num_train + num_eval)]
    row = TokenisedExample((0,) * longest, (0,) * longest, truncated=False, num_supervised=longest, ends_with_eos=False)
    is_tokenised = signal in TOKENISED_HERE
    return TrainingData(
        train=[row] * num_train if is_tokenised else [],
        eval=[row] * num_eval if is_tokenised else [],
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
            from desktop_ft.core.data.records import PlainText

            return PlainText(_words(longest))


def _words(count: int) -> str:
    return " ".join([_WORD] * count)
