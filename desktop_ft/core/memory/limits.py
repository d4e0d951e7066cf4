"""The largest model and the longest examples that a device can train with a run's method: the closed form, searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.combinations import REWARDED, least_micro_batch
from desktop_ft.core.memory.autos import Choices
from desktop_ft.core.memory.plan import Plan
from desktop_ft.core.memory.situation import Situation
from desktop_ft.core.memory.terms import verdict
from desktop_ft.core.models import ModelInfo, model_from_config
from desktop_ft.core.stages import last_stage_config

LENGTH_STEP: Final = 64
"""Lengths are told in multiples of this."""
LONGEST: Final = 1 << 20
"""Where no context length is known, nothing above this is tried."""


def _shape(model_type: str, hidden: int, layers: int, heads: int, kv: int, width: int, vocab: int, head: int, *, tied: bool) -> ModelInfo:
    return model_from_config(
        {
            "model_type": model_type, "architectures": ["ForCausalLM"], "hidden_size": hidden, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": kv, "intermediate_size": width, "vocab_size": vocab, "head_dim": head,
            "tie_word_embeddings": tied, "sliding_window": 1024 if model_type == "gemma3_text" else None,
        },
        "known",
    )  # fmt: skip


KNOWN_MODELS: Final[Mapping[str, tuple[str, int, int, int, int, int, int, int, bool]]] = {
    "SmolLM2 135M": ("llama", 576, 30, 9, 3, 1536, 49152, 64, True),
    "SmolLM2 360M": ("llama", 960, 32, 15, 5, 2560, 49152, 64, True),
    "Qwen3 0.6B": ("qwen3", 1024, 28, 16, 8, 3072, 151936, 128, True),
    "Llama 3.2 1B": ("llama", 2048, 16, 32, 8, 8192, 128256, 64, True),
    "SmolLM2 1.7B": ("llama", 2048, 24, 32, 32, 8192, 49152, 64, True),
    "Qwen3 1.7B": ("qwen3", 2048, 28, 16, 8, 6144, 151936, 128, True),
    "Llama 3.2 3B": ("llama", 3072, 28, 24, 8, 8192, 128256, 128, True),
    "Gemma 3 4B": ("gemma3_text", 2560, 34, 8, 4, 10240, 262208, 256, True),
    "Qwen3 4B": ("qwen3", 2560, 36, 32, 8, 9728, 151936, 128, True),
    "Mistral 7B v0.3": ("mistral", 4096, 32, 32, 8, 14336, 32768, 128, False),
    "Llama 3.1 8B": ("llama", 4096, 32, 32, 8, 14336, 128256, 128, False),
    "Qwen3 8B": ("qwen3", 4096, 36, 32, 8, 12288, 151936, 128, False),
    "Gemma 3 12B": ("gemma3_text", 3840, 48, 16, 8, 15360, 262208, 256, True),
    "Mistral Nemo 12B": ("mistral", 5120, 40, 32, 8, 14336, 131072, 128, False),
    "Phi-4 14B": ("phi3", 5120, 40, 40, 10, 17920, 100352, 128, False),
    "Qwen3 14B": ("qwen3", 5120, 40, 40, 8, 17408, 151936, 128, False),
    "Gemma 3 27B": ("gemma3_text", 5376, 62, 32, 16, 21504, 262208, 128, True),
    "Qwen3 32B": ("qwen3", 5120, 64, 64, 8, 25600, 151936, 128, False),
    "Llama 3.1 70B": ("llama", 8192, 80, 64, 8, 28672, 128256, 128, False),
}  # fmt: skip
"""Type, hidden size, layers, heads, heads of keys, MLP width, vocabulary, width of a head, tied: from the published config.json files."""


@dataclass(frozen=True)
class Limits:
    """What a device can train with a run's settings, one row at a time and with checkpointing unless these are pinned.

    Attributes:
        longest_context: Tokens of the longest example that surely fits, of this model; 0 where none does.
        context_is_the_models: Whether the model's own context ends it, not the memory.
        largest_model: Name of the largest well-known model that surely fits with this run's length; None where none does.
        largest_model_parameters: Its weights; 0 without one.
    """

    longest_context: int
    context_is_the_models: bool
    largest_model: str | None
    largest_model_parameters: int

    def to_json(self) -> dict[str, object]:
        """As ``estimate --limits --json`` prints it."""
        return {
            "longest_context": self.longest_context,
            "context_is_the_models": self.context_is_the_models,
            "largest_model": self.largest_model,
            "largest_model_parameters": self.largest_model_parameters,
        }


def limits(config: RunConfig, situation: Situation) -> Limits:
    """Both limits of a run.

    Raises:
        DesktopFtError: ``model_architecture_unknown``.
    """
    context, is_models = longest_context(config, situation)
    name, num_parameters = largest_model(config, situation)
    return Limits(context, is_models, name, num_parameters)


def longest_context(config: RunConfig, situation: Situation) -> tuple[int, bool]:
    """Tokens of the longest example that surely fits, in steps of 64, and whether the model's own context is what ends it."""
    config = last_stage_config(config)
    plan = situation.plan(config, _smallest(config, situation))
    whole = situation.model.context_length or LONGEST
    fits = [_fits_at(config, plan, situation, length) for length in (LENGTH_STEP, whole)]
    if not fits[0]:
        return 0, False
    if fits[1]:
        return whole, situation.model.context_length > 0
    low, high = 1, whole // LENGTH_STEP + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _fits_at(config, plan, situation, middle * LENGTH_STEP) else (low, middle)
    return low * LENGTH_STEP, False


def largest_model(config: RunConfig, situation: Situation) -> tuple[str | None, int]:
    """Name and weights of the largest well-known model that surely fits with this run's settings and length."""
    config = last_stage_config(config)
    fitting: list[tuple[int, str]] = []
    for name, (*sizes, tied) in KNOWN_MODELS.items():
        model = _shape(*sizes, tied=tied)  # pyright: ignore[reportArgumentType] - the row's own order
        there = replace(situation, model=model)
        if _fits(there, there.plan(config, _smallest(config, there))):
            fitting.append((model.num_parameters, name))
    num_parameters, name = max(fitting, default=(0, None))
    return name, num_parameters


def _smallest(config: RunConfig, situation: Situation) -> Choices:
    """The choices that need least, but for what is pinned."""
    choices, training = situation.choose(config), config.training
    micro = least_micro_batch(config) if training.micro_batch_size == "auto" else training.micro_batch_size
    checkpointing = True if training.activation_checkpointing == "auto" else training.activation_checkpointing
    return replace(choices, micro_batch_size=micro, activation_checkpointing=checkpointing)


def _fits_at(config: RunConfig, plan: Plan, situation: Situation, length: int) -> bool:
    answer = config.objective.rollout.max_completion_length if config.objective.kind in REWARDED else 0
    rollout = plan.rollout and replace(plan.rollout, prompt_length=length)
    rows = plan.sequence_length // max(1, config.data.max_length) if plan.is_packed else 1
    return _fits(situation, replace(plan, sequence_length=length * rows + answer, rollout=rollout))


def _fits(situation: Situation, plan: Plan) -> bool:
    return verdict(situation.predict(plan), situation.device.free_bytes) == "fits"
