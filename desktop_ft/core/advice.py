"""Warnings before a run starts: settings that are allowed and rarely meant. Pure functions of the configuration and a few counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from desktop_ft.core.config import DEMO, RunConfig
from desktop_ft.core.config.combinations import policy_of
from desktop_ft.core.config.defaults import ONLINE, default_rate
from desktop_ft.core.config.ignored import ignored_settings
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.schedule import steps_per_epoch

PREFERENCES: Final[frozenset[ObjectiveName]] = frozenset({"dpo", "orpo", "kto"})
TOO_HIGH: Final = 5.0
"""Times the default rate: LoRA 1e-3, full 5e-5 (usual are 1e-4 to 5e-4 and 1e-5 to 2e-5; Schulman et al. 2025)."""
TOO_HIGH_FOR_SIGNALS: Final = 10.0
"""For preferences and rewards, whose default is low and whose range is wide: LoRA is run with DPO up to 5e-5."""
TOO_LOW: Final = 0.1
TINY_MODEL_FACTOR: Final = 5.0
"""The demo model has 3.7 million weights; narrow models want and bear higher rates (Yang et al. 2022, arXiv 2203.03466)."""
LOWEST_PLAIN_RATE: Final = 2e-5
"""Below this a step of plain bfloat16 weights changes fewer than a fifth of them."""
FEW_ROWS: Final[Mapping[ObjectiveName, int]] = {
    "sft": 50, "pretrain": 20, "dpo": 200, "orpo": 200, "kto": 200, "reward": 300, "rlhf": 300, "grpo": 50, "rloo": 50, "ppo": 50,
}  # fmt: skip
"""A preference is one bit: it takes more of them than of answers. Rules of thumb."""
WORDS: Final[Mapping[ObjectiveName, str]] = {
    "sft": "examples", "pretrain": "texts", "dpo": "pairs", "orpo": "pairs", "kto": "judged answers", "reward": "pairs", "rlhf": "pairs",
    "grpo": "prompts", "rloo": "prompts", "ppo": "prompts",
}  # fmt: skip
FEW_ROWS_FULL: Final = 2000
MANY_EPOCHS: Final = 5.0
MANY_EPOCHS_OF_PREFERENCES: Final = 3.0
"""DPO and its kin push the rejected answer down without end once a pair is learnt; 1 to 3 passes are usual."""
MANY_EPOCHS_OF_A_SCORER: Final = 2.0
"""Ouyang et al. 2022, appendix C.2: a reward model overfits after one pass."""
SMALL_DATA_ROWS: Final = 1000
SMALL_MODEL_PARAMETERS: Final = 1_000_000_000
"""Of a 135M model and its own NF4 form the likeliest tokens agreed in 63 %."""
FEW_GENERATIONS: Final = 4
CUT_SHARE: Final = 0.01
_ROUNDING: Final = 1e-9


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
    num_parameters: int | None = None,
) -> tuple[Advice, ...]:
    """Everything worth a second look, the most important first.

    Args:
        config: As the person stated it.
        num_train_examples: Examples to learn from, where the data was read.
        num_over_length: How many of them are cut at ``data.max_length``.
        dtype: The resolved number format of the weights, where known.
        num_parameters: Weights of the model, where known.
    """
    found = [*_learning_rate(config), *_rounding(config, dtype), *_method(config, num_parameters), *_objective(config), *_ignored(config)]
    if num_train_examples is not None:
        found += [*_amount(config, num_train_examples), *_length(config, num_train_examples, num_over_length)]
    return tuple(found)


def _learning_rate(config: RunConfig) -> Iterator[Advice]:
    kind, objective, rate = config.method.kind, config.objective.kind, config.training.learning_rate
    name = "full fine-tuning" if kind == "full" else "LoRA" if kind == "lora" else "QLoRA"
    path, default = "training.learning_rate", default_rate(kind, objective)
    what, usual = name, "1e-5 to 2e-5" if kind == "full" else "1e-4 to 5e-4"
    if objective != "sft":
        what, usual = f"{objective} and {name}", f"about {default:g}"
    tiny = TINY_MODEL_FACTOR if config.model.source == DEMO else 1.0
    high = TOO_HIGH_FOR_SIGNALS if objective in PREFERENCES or objective in ONLINE else TOO_HIGH
    if rate > high * default * tiny * (1 + _ROUNDING):
        consequence = "usually destroys what the model knows; it may begin to repeat itself."
        yield Advice("learning_rate_high", path, "The learning rate is high", f"{rate:g} with {what} {consequence}", f"Use {usual}.")
    elif rate < TOO_LOW * default * (1 - _ROUNDING):
        yield Advice(
            "learning_rate_low", path, "The learning rate is low", f"With {rate:g}, {what} hardly changes the model.", f"Use {usual}."
        )


def _rounding(config: RunConfig, dtype: str | None) -> Iterator[Advice]:
    """Plain bfloat16 weights, which only stock training has."""
    method, rate = config.method, config.training.learning_rate
    is_plain = method.weight_updates == "plain" or (method.weight_updates == "auto" and config.training.kernels == "none")
    if method.kind == "full" and dtype == "bfloat16" and is_plain and rate < LOWEST_PLAIN_RATE:
        yield Advice(
            "bfloat16_rounding",
            "method.weight_updates",
            "Small steps get lost in bfloat16",
            f"At {rate:g} a step changes only some of the weights (at 1e-5 about 16 %); the others round back to where they were.",
            "Set method.weight_updates to float32 if there is memory for it, or training.kernels to auto, which keeps what is rounded off.",
        )


def _method(config: RunConfig, num_parameters: int | None) -> Iterator[Advice]:
    method = config.method
    if method.kind == "qlora" and num_parameters is not None and num_parameters < SMALL_MODEL_PARAMETERS:
        yield Advice(
            "qlora_small_model",
            "method.kind",
            "Small models suffer from 4 bit",
            f"With {num_parameters / 1e6:,.0f} million weights the model itself answers worse once they are rounded to 4 bit.",
            "Use LoRA: a model of this size needs little memory as it is.",
        )
    if method.kind != "full" and method.use_dora and (method.kind == "qlora" or config.objective.kind in ONLINE):
        if method.kind == "qlora":
            why = "each matrix is dequantized once more in every pass"
        elif config.training.kernels == "none":
            why = "each adapter is multiplied out for every token"
        else:
            why = "each matrix is read once more for every token"
        yield Advice(
            "dora_very_slow",
            "method.use_dora",
            "DoRA takes much longer here",
            f"With {config.objective.kind} and {method.kind}, {why}.",
            "Switch DoRA off.",
        )
    elif method.kind == "lora" and method.use_dora:
        yield Advice(
            "dora_slow",
            "method.use_dora",
            "DoRA takes longer",
            ("A step takes about twice as long as with plain LoRA" if config.training.kernels == "none" else "A step takes somewhat longer")
            + ", and more memory; the result is a little better at small ranks.",
            "Switch DoRA off when time matters more.",
        )
    if method.kind != "full" and method.use_rslora and method.rank < 64:
        factor = method.rank**0.5
        yield Advice(
            "rslora_small_rank",
            "method.use_rslora",
            "rsLoRA makes larger steps",
            f"At rank {method.rank} it scales the adapter {factor:.0f} times more than LoRA does.",
            "Use it from rank 64 on, or lower alpha.",
        )
    if not config.data.assistant_only_loss and config.objective.kind == "sft":
        yield Advice(
            "whole_conversation_loss",
            "data.assistant_only_loss",
            "The questions are learnt too",
            "The model will also learn to write what people ask, which takes capacity from the answers.",
            "Switch 'assistant only' on unless the data is plain text.",
        )


def _objective(config: RunConfig) -> Iterator[Advice]:
    objective = config.objective
    yield from _micro_batch(config)
    policy = policy_of(config)
    learns_from_model = objective.rewards.model is not None or objective.kind == "rlhf"
    if policy == "grpo" and learns_from_model and objective.grpo.beta == 0:
        yield _unheld("objective.grpo.beta", "0.04, as in Shao et al. 2024")
    if policy == "rloo" and learns_from_model and objective.rloo.beta == 0:
        yield _unheld("objective.rloo.beta", "0.05, TRL's default")
    if policy == "ppo" and learns_from_model and objective.ppo.kl_coef == 0:
        yield _unheld("objective.ppo.kl_coef", "0.05")
    if policy == "grpo" and objective.grpo.num_generations < FEW_GENERATIONS:
        yield Advice(
            "few_generations",
            "objective.grpo.num_generations",
            "Few answers to each prompt",
            f"Each answer is compared with {objective.grpo.num_generations - 1} others only: most of what is learnt is chance.",
            f"Use {FEW_GENERATIONS} to 16.",
        )


def _ignored(config: RunConfig) -> Iterator[Advice]:
    found = ignored_settings(config)
    if found:
        path, reason = next(iter(found.items()))
        yield Advice(
            "settings_ignored",
            path,
            "Some settings have no effect" if len(found) > 1 else "A setting has no effect",
            f"{', '.join(found)}. {reason}",
            "Leave them, or set them back to their defaults." if len(found) > 1 else "Leave it, or set it back to its default.",
        )


def _micro_batch(config: RunConfig) -> Iterator[Advice]:
    """Where the micro-batch is part of the loss, a person who changes it changes the result."""
    objective = config.objective
    why = ""
    if objective.kind == "orpo":
        why = "TRL averages ORPO's supervised loss over each micro-batch"
    elif objective.kind == "kto" and objective.kto.loss_type == "kto":
        why = "KTO estimates its KL term from each micro-batch"
    elif objective.kind == "dpo" and objective.dpo.loss_type in ("aot", "aot_unpaired"):
        why = f"{objective.dpo.loss_type} sorts the pairs of each micro-batch"
    if why:
        yield Advice(
            "micro_batch_matters",
            "training.micro_batch_size",
            "The micro-batch is part of the loss",
            f"{why}: other micro-batches give slightly other results with the same global batch.",
            "To compare runs, set micro_batch_size to a number.",
        )


def _unheld(path: str, usual: str) -> Advice:
    return Advice(
        "nothing_holds_policy",
        path,
        "Nothing holds the model to where it started",
        "Against a reward model alone, a policy finds what the scorer likes by mistake: longer answers, set phrases.",
        f"Set it to {usual}.",
    )


def _amount(config: RunConfig, num_examples: int) -> Iterator[Advice]:
    epochs, objective = config.training.num_train_epochs, config.objective.kind
    if config.training.max_steps is not None:
        epochs = config.training.max_steps / steps_per_epoch(config, max(1, num_examples))
    if num_examples < FEW_ROWS[objective]:
        yield Advice(
            "few_rows",
            "data.train",
            f"There are few {WORDS[objective]}",
            f"From {num_examples} {WORDS[objective]} a model learns those by heart rather than what they have in common.",
            f"Collect at least {FEW_ROWS[objective]}, better some hundreds, that differ from each other.",
        )
    elif config.method.kind == "full" and num_examples < FEW_ROWS_FULL and objective not in ONLINE:
        yield Advice(
            "few_rows_full",
            "method.kind",
            "Few examples for full fine-tuning",
            f"With {num_examples:,} {WORDS[objective]}, changing every weight mostly forgets; LoRA reaches the same quality.",
            f"Use LoRA, or at least {FEW_ROWS_FULL:,} {WORDS[objective]}.",
        )
    yield from _passes(config, num_examples, epochs)


def _passes(config: RunConfig, num_examples: int, epochs: float) -> Iterator[Advice]:
    objective = config.objective.kind
    if objective == "rlhf":
        epochs = config.objective.rlhf.reward_num_train_epochs
    path = "objective.rlhf.reward_num_train_epochs" if objective == "rlhf" else "training.num_train_epochs"
    if objective in ("reward", "rlhf") and epochs > MANY_EPOCHS_OF_A_SCORER:
        why = f"Each pair seen {epochs:.3g} times: a scorer overfits after one or two passes, and then ranks new answers worse."
        yield Advice("many_epochs", path, "Many passes for a reward model", why, "Use 1.")
    elif objective in PREFERENCES and epochs > MANY_EPOCHS_OF_PREFERENCES:
        why = f"Each row seen {epochs:.3g} times: once a preference is learnt, rejected answers are pushed down without end."
        yield Advice("many_epochs", path, "Many passes over preferences", why, "Use 1 to 3; with dpo, the loss ipo stops by itself.")
    elif epochs > MANY_EPOCHS and num_examples < SMALL_DATA_ROWS and objective not in ONLINE:
        yield Advice(
            "many_epochs",
            path,
            "Many passes over little data",
            f"{num_examples} {WORDS[objective]}, each seen {epochs:.3g} times: the model will know them by heart.",
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
