"""Is an export the model that was trained? Both read the same held-out text, and their next-token distributions are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
from jinja2 import TemplateError
from transformers import GenerationConfig, PreTrainedTokenizerBase
from transformers.modeling_outputs import CausalLMOutputWithPast

from desktop_ft.core.exports import WeightDtype
from desktop_ft.engine.load import load_hf_tokenizer

MIN_PROBES: Final = 8
MAX_PROBES: Final = 32
MAX_POSITIONS: Final = 512
"""Most positions kept: at a vocabulary of 150,000 that is 0.3 GB of float32."""
MAX_PROBE_TOKENS: Final = 256
CONTINUATION_TOKENS: Final = 32
_MARK: Final = "DESKTOPFTMARK"

SAMPLE_PROMPTS: Final = (
    "What is the capital of France?",
    "Give me three tips for staying healthy.",
    "Explain in one sentence how rain forms.",
    "Write a short poem about the sea.",
    "What is 12 plus 30?",
    "Name a fruit that is yellow.",
    "Translate 'good morning' into Spanish.",
    "Why do leaves fall in autumn?",
)
"""What is asked where a run has no held-out examples and names no prompts."""


@dataclass(frozen=True)
class Probe:
    """One text and where to compare.

    Attributes:
        input_ids: Token ids, [T].
        positions: Indices into the logits, [N]; each predicts the token after it.
    """

    input_ids: tuple[int, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """How much two models differ over all compared positions.

    Attributes:
        num_probes: Texts.
        num_positions: Predicted tokens.
        top1_agreement: Share of positions with the same most likely token.
        mean_kl: Mean of KL(reference || candidate), nats.
        max_kl: Largest of them, nats.
    """

    num_probes: int
    num_positions: int
    top1_agreement: float
    mean_kl: float
    max_kl: float

    def passes(self, limit: float) -> bool:
        """Whether the mean KL is a number within the limit."""
        return math.isfinite(self.mean_kl) and self.mean_kl <= limit


def kl_limit(*dtypes: WeightDtype) -> float:
    """Mean KL that rounding explains, nats.

    Source: merging a rank 16 adapter into SmolLM2-135M gave 1.1e-3 in bfloat16 and 6e-9 in float32; the base itself differs by 1.9e-3
    between the two.
    """
    return 1e-4 if all(dtype == "float32" for dtype in dtypes) else 5e-3


def compare_models(reference: torch.nn.Module, candidate: torch.nn.Module, probes: Sequence[Probe]) -> Comparison:
    """Compare two models that are both in memory."""
    return compare_distributions(distributions(reference, probes), distributions(candidate, probes), len(probes))


def distributions(model: torch.nn.Module, probes: Iterable[Probe]) -> list[torch.Tensor]:
    """Log-probabilities at the probes' positions, float32 on the CPU, one [N, V] a probe."""
    return list(each_distribution(model, probes))


@torch.inference_mode()
def each_distribution(model: torch.nn.Module, probes: Iterable[Probe]) -> Iterator[torch.Tensor]:
    """As `distributions`, one after the other."""
    for probe in probes:
        yield _logits(model, probe.input_ids)[list(probe.positions)].float().log_softmax(-1).cpu()


def _logits(model: torch.nn.Module, ids: Sequence[int]) -> torch.Tensor:
    """Of one text, [T, V]."""
    device = next(model.parameters()).device
    output = cast("CausalLMOutputWithPast", model(input_ids=torch.tensor([list(ids)], device=device), use_cache=False))
    assert output.logits is not None
    return output.logits[0]


def compare_distributions(reference: Sequence[torch.Tensor], candidate: Sequence[torch.Tensor], num_probes: int) -> Comparison:
    """Compare log-probabilities, lists of [N, V]; vocabularies of different size differ without limit."""
    if any(one.shape != other.shape for one, other in zip(reference, candidate, strict=True)):
        return Comparison(num_probes, sum(len(one) for one in reference), 0.0, math.inf, math.inf)
    pairs = list(zip(reference, candidate, strict=True))
    kl = torch.cat([_kl(one, other) for one, other in pairs])
    same = torch.cat([one.argmax(-1) == other.argmax(-1) for one, other in pairs]).float()
    return Comparison(num_probes, kl.numel(), same.mean().item(), kl.mean().item(), kl.max().item())


def _kl(reference: torch.Tensor, candidate: torch.Tensor) -> torch.Tensor:
    """KL divergence at each position, [N]; rounding can leave it a hair below 0, which means 0."""
    difference = (reference.exp() * (reference - candidate)).double().sum(-1)
    return torch.where(difference.isnan(), difference, difference.clamp(min=0.0))


# --- probes -----------------------------------------------------------------------------------------------------------------


def probes_of_examples(examples: Iterable[tuple[Sequence[int], Sequence[int]]]) -> list[Probe]:
    """Probes of token ids and labels; compared is what the run would have learnt from them (label not -100)."""
    probes: list[Probe] = []
    for input_ids, labels in examples:
        ids = tuple(input_ids[:MAX_PROBE_TOKENS])
        positions = tuple(index - 1 for index, label in enumerate(labels[: len(ids)]) if index > 0 and label != -100)
        if positions:
            probes.append(Probe(ids, positions))
        if len(probes) == MAX_PROBES:
            break
    return _within_limit(probes)


def _within_limit(probes: Sequence[Probe]) -> list[Probe]:
    """The same texts with at most `MAX_POSITIONS` positions in all, spread evenly over the texts."""
    if not probes:
        return []
    share = max(1, MAX_POSITIONS // len(probes))
    return [Probe(probe.input_ids, probe.positions[:share]) for probe in probes]


@torch.inference_mode()
def probes_of_prompts(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, prompts: Iterable[str]) -> list[Probe]:
    """Probes of prompts, each continued by the model itself with its most likely tokens."""
    probes: list[Probe] = []
    for prompt in prompts:
        start = prompt_ids(tokenizer, prompt)[-MAX_PROBE_TOKENS:]
        ids = list(start)
        for _ in range(CONTINUATION_TOKENS):
            ids.append(int(_logits(model, ids)[-1].argmax()))
        probes.append(Probe(tuple(ids), tuple(range(len(start) - 1, len(ids) - 1))))
    return _within_limit(probes[:MAX_PROBES])


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompt: str, system: str | None = None) -> list[int]:
    """Token ids of a prompt in the model's chat template, up to where the answer begins; the bare text where it has none."""
    if not tokenizer.chat_template:
        text = prompt if system is None else f"{system}\n\n{prompt}"
        return cast("list[int]", tokenizer(text)["input_ids"])
    messages = [{"role": "user", "content": prompt}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    rendered = cast("str", tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    return cast("list[int]", tokenizer(rendered, add_special_tokens=False)["input_ids"])


# --- template and stop tokens -------------------------------------------------------------------------------------------------


def stop_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Every token that ends an answer: the tokenizer's end token and the template's end of the assistant's turn."""
    found = (cast("int | None", tokenizer.eos_token_id), end_of_turn_id(tokenizer))
    return tuple(dict.fromkeys(token for token in found if token is not None))


def end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The first special token after the assistant's words in the chat template; None where there is no template or no such token."""
    if not tokenizer.chat_template:
        return None
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": _MARK}]
    try:
        rendered = cast("str", tokenizer.apply_chat_template(messages, tokenize=False))
    except TemplateError:
        return None
    _, _, tail = rendered.rpartition(_MARK)
    special = set(tokenizer.all_special_ids)
    special |= {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids = cast("list[int]", tokenizer(tail, add_special_tokens=False)["input_ids"])
    return next((token for token in ids if token in special), None)


def chat_template_equal(base: Path, out: Path) -> bool:
    """Whether plain transformers reads the same chat template from both folders."""
    return load_hf_tokenizer(base).chat_template == load_hf_tokenizer(out).chat_template


def stop_token_ok(out: Path) -> bool:
    """Whether generation with the export's own settings ends at every token of `stop_ids`."""
    settings = GenerationConfig.from_pretrained(str(out), local_files_only=True)
    ids = cast("int | list[int] | None", settings.eos_token_id)
    known = {ids} if isinstance(ids, int) else set(ids or ())
    return set(stop_ids(load_hf_tokenizer(out))) <= known
