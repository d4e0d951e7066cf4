"""Warnings before a run starts: settings that are allowed and rarely meant. Pure functions of the configuration and a few counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from desktop_ft.core.config import DEMO, RunConfig

HIGHEST_RATE: Final = {"lora": 1e-3, "qlora": 1e-3, "full": 5e-5}
"""Full: the usual range is 1e-5 to 2e-5; LoRA: 1e-4 to 5e-4 (Schulman et al. 2025: about ten times that of full)."""
TINY_MODEL_FACTOR: Final = 5.0
"""The demo model has 3.7 million weights; narrow models want and bear higher rates (Yang et al. 2022, arXiv 2203.03466)."""
LOWEST_RATE: Final = {"lora": 2e-5, "qlora": 2e-5, "full": 1e-6}
FEW_ROWS: Final = 50
FEW_ROWS_FULL: Final = 2000
MANY_EPOCHS: Final = 5.0
SMALL_DATA_ROWS: Final = 1000
CUT_SHARE: Final = 0.01


@dataclass(frozen=True)
class Advice:
    """One warning.

    Attributes:
        code: Stable name in snake_case.
        path: The setting that it is about.
        title: A few words.
        why: What is likely to happen, with the numbers.
        what_to_do: What to change.
    """

    code: str
    path: str
    title: str
    why: str
    what_to_do: str


def advise(
    config: RunConfig,
    num_train_examples: int | None = None,
    *,
    num_over_length: int = 0,
    dtype: str | None = None,
) -> tuple[Advice, ...]:
    """Everything worth a second look, the most important first.

    Args:
        config: As the person stated it.
        num_train_examples: Examples to learn from, where the data was read.
        num_over_length: How many of them are cut at ``data.max_length``.
        dtype: The resolved number format of the weights, where known.
    """
    found = [*_learning_rate(config, dtype), *_method(config)]
    if num_train_examples is not None:
        found += [*_amount(config, num_train_examples), *_length(config, num_train_examples, num_over_length)]
    return tuple(found)


def _learning_rate(config: RunConfig, dtype: str | None) -> Iterator[Advice]:
    kind, rate = config.method.kind, config.training.learning_rate
    name, usual = ("full fine-tuning", "1e-5 to 2e-5") if kind == "full" else ("LoRA", "1e-4 to 5e-4")
    path = "training.learning_rate"
    tiny = TINY_MODEL_FACTOR if config.model.source == DEMO else 1.0
    if rate > HIGHEST_RATE[kind] * tiny:
        yield Advice(
            "learning_rate_high",
            path,
            "The learning rate is high",
            f"{rate:g} with {name} usually destroys what the model knows; it may begin to repeat itself.",
            f"Use {usual}.",
        )
    elif rate < LOWEST_RATE[kind]:
        yield Advice(
            "learning_rate_low", path, "The learning rate is low", f"With {rate:g}, {name} hardly changes the model.", f"Use {usual}."
        )
    if kind == "full" and dtype == "bfloat16" and rate < LOWEST_RATE["lora"]:
        yield Advice(
            "bfloat16_rounding",
            "model.dtype",
            "Small steps get lost in bfloat16",
            f"At {rate:g} a step changes only some of the weights (at 1e-5 about 16 %); the others round back to where they were.",
            "If there is memory for it, set model.dtype to float32; or use LoRA, whose adapter is float32.",
        )


def _method(config: RunConfig) -> Iterator[Advice]:
    method = config.method
    if method.kind == "lora" and method.use_dora:
        yield Advice(
            "dora_slow",
            "method.use_dora",
            "DoRA takes longer",
            "A step takes about twice as long as with plain LoRA, and more memory; the result is a little better at small ranks.",
            "Switch DoRA off when time matters more.",
        )
    if method.kind == "lora" and method.use_rslora and method.rank < 64:
        factor = method.rank**0.5
        yield Advice(
            "rslora_small_rank",
            "method.use_rslora",
            "rsLoRA makes larger steps",
            f"At rank {method.rank} it scales the adapter {factor:.0f} times more than LoRA does.",
            "Use it from rank 64 on, or lower alpha.",
        )
    if not config.data.assistant_only_loss:
        yield Advice(
            "whole_conversation_loss",
            "data.assistant_only_loss",
            "The questions are learnt too",
            "The model will also learn to write what people ask, which takes capacity from the answers.",
            "Switch 'assistant only' on unless the data is plain text.",
        )


def _amount(config: RunConfig, num_examples: int) -> Iterator[Advice]:
    epochs = config.training.num_train_epochs
    if config.training.max_steps is not None:
        epochs = config.training.max_steps * config.training.global_batch_size / max(1, num_examples)
    if num_examples < FEW_ROWS:
        yield Advice(
            "few_rows",
            "data.train",
            "There are few examples",
            f"From {num_examples} examples a model learns those by heart rather than what they have in common.",
            f"Collect at least {FEW_ROWS}, better some hundreds, that differ from each other.",
        )
    elif config.method.kind == "full" and num_examples < FEW_ROWS_FULL:
        yield Advice(
            "few_rows_full",
            "method.kind",
            "Few examples for full fine-tuning",
            f"With {num_examples:,} examples, changing every weight mostly forgets; LoRA reaches the same quality.",
            f"Use LoRA, or at least {FEW_ROWS_FULL:,} examples.",
        )
    if epochs > MANY_EPOCHS and num_examples < SMALL_DATA_ROWS:
        yield Advice(
            "many_epochs",
            "training.num_train_epochs",
            "Many passes over little data",
            f"{num_examples} examples, each seen {epochs:.3g} times: the model will know them by heart.",
            "Use 1 to 3 epochs, and watch the loss on held-out examples.",
        )


def _length(config: RunConfig, num_examples: int, num_over_length: int) -> Iterator[Advice]:
    share = num_over_length / max(1, num_examples)
    if share >= CUT_SHARE:
        yield Advice(
            "rows_cut",
            "data.max_length",
            "Examples are cut",
            f"{num_over_length:,} of {num_examples:,} examples ({share:.0%}) are longer than {config.data.max_length:,} tokens; "
            "what is cut includes the sign for the end, so that the model may not learn to stop.",
            "Raise max_length if the memory allows, or leave these rows out (drop_over_length).",
        )
