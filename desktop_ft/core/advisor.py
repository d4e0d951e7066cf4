"""The advisor of the objective page: looks at data, model and device, and says in plain sentences what to pick and why.

Rules of thumb, each stated with its reason; the person decides. Pure functions; must not read files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from desktop_ft.core.config import DEMO, Draft
from desktop_ft.core.config.defaults import MethodName, defaults_for
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.data.signals import Signal
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.device_check import BITSANDBYTES_DEVICES
from desktop_ft.core.memory import Verdict, estimate
from desktop_ft.core.models import ModelInfo

ENOUGH_FOR_FULL: Final = 5000
"""A few thousand examples; below, full fine-tuning mostly forgets (Biderman et al. 2024, arXiv 2405.09673)."""
BROAD_SHIFT_TOKENS: Final = 20_000_000
"""Of plain text: from here on an adapter's capacity begins to bind (Schulman et al. 2025, on capacity and tokens)."""
UNCERTAIN_SHARE: Final = 0.05
"""Share of prompts whose pairs contradict each other from which preferences count as uncertain."""
CONTRADICTIONS: Final = ("swapped_pairs", "label_conflicts")
"""Findings about rows whose judgment another row contradicts."""
FEW_PAIRS: Final = 200
_NEEDS_RULES: Final = frozenset({"grpo", "rloo", "ppo"})
SMALLEST_QLORA_PARAMETERS: Final = 1_000_000_000
"""Below about this size 4 bit hurts a model visibly: a 135M model agreed with its own NF4 form in 63 % of tokens."""

_SIGNAL_OF: Final[Mapping[str, Signal]] = {
    "text": "text",
    "preference": "pairs", "sharegpt_preference": "pairs", "alpaca_preference": "pairs", "hh_rlhf": "pairs", "ultrafeedback": "pairs",
    "ranked": "pairs", "kto": "judgments", "prompts": "prompts", "rl": "prompts",
}  # fmt: skip


_BY_SIGNAL: Final[Mapping[Signal, tuple[ObjectiveName, str]]] = {
    "text": ("pretrain", "The file is plain text: continued pretraining learns its words and turns of phrase."),
    "pairs": ("dpo", "The rows say which of two answers is better: DPO learns that directly, without a reward model."),
    "judgments": ("kto", "The rows are single answers marked good or bad: KTO learns from those without pairs."),
    "prompts": ("grpo", "The rows are prompts without answers: the model tries answers itself, and rules or a reward model score them."),
    "answers": ("sft", "The rows show answers as they should be: supervised fine-tuning (SFT) teaches a format, a tone or a skill."),
}


@dataclass(frozen=True)
class DataSketch:
    """What the advisor wants to know about the data.

    Attributes:
        signal: What the rows are by nature.
        num_examples: Rows that can be trained on.
        num_tokens: All tokens; 0 where they were not counted.
        num_conflicting: Rows whose judgment another row contradicts.
    """

    signal: Signal
    num_examples: int
    num_tokens: int = 0
    num_conflicting: int = 0


@dataclass(frozen=True)
class Alternative:
    """Another objective that the data would suit, and when to prefer it."""

    objective: ObjectiveName
    when: str


@dataclass(frozen=True)
class Recommendation:
    """What to pick and why.

    Attributes:
        objective: What signal to train on.
        method: How much of the model to change.
        settings: Dotted paths and values, method and objective among them, for `Draft.with_values`.
        reasons: Whole sentences, the most important first.
        alternatives: What else the data would suit.
        verdict: Whether it fits the device; None where that cannot be said.
    """

    objective: ObjectiveName
    method: MethodName
    settings: Mapping[str, object]
    reasons: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    verdict: Verdict | None


def sketch_of(report: Mapping[str, object]) -> DataSketch:
    """The sketch of a file from what ``data inspect --json`` says about it."""
    lengths = cast("Mapping[str, object]", report.get("lengths") or {})
    mean, num_usable = lengths.get("mean"), cast("int", report.get("num_usable", 0))
    findings = cast("list[Mapping[str, object]]", report.get("findings") or [])
    conflicting = sum(cast("int", finding["num_rows"]) for finding in findings if finding["code"] in CONTRADICTIONS)
    return DataSketch(
        signal=_SIGNAL_OF.get(str(report.get("format")), "answers"),
        num_examples=num_usable,
        num_tokens=int(mean * num_usable) if isinstance(mean, int | float) else 0,
        num_conflicting=conflicting,
    )


def recommend(data: DataSketch, model: ModelInfo | None, device: DeviceFacts, goal: ObjectiveName | None = None) -> Recommendation:
    """Say what to pick.

    Args:
        data: What is known about the rows.
        model: None where none is chosen yet; then nothing is said about memory.
        device: What it would train on.
        goal: An objective that the person has settled on; None: by the data.
    """
    objective, reasons = (goal, []) if goal is not None else _objective(data)
    method, verdict, method_reasons = _method(data, objective, model, device)
    settings: dict[str, object] = {"objective.kind": objective, "method.kind": method, **defaults_for(method, objective)}
    settings |= _extra(data, objective)
    return Recommendation(
        objective=objective,
        method=method,
        settings=settings,
        reasons=(*reasons, *method_reasons, *_amount(data, objective)),
        alternatives=tuple(item for item in _alternatives(data) if item.objective != objective),
        verdict=verdict,
    )


def _objective(data: DataSketch) -> tuple[ObjectiveName, list[str]]:
    if data.signal == "pairs" and _is_uncertain(data):
        share = data.num_conflicting / data.num_examples
        conflict = f"{data.num_conflicting:,} of {data.num_examples:,} pairs ({share:.0%}) are contradicted by another"
        return "rlhf", [f"{conflict}: a reward model weighs uncertain preferences, where DPO would follow each of them (RLHF)."]
    objective, reason = _BY_SIGNAL[data.signal]
    return objective, [reason]


def _alternatives(data: DataSketch) -> Iterator[Alternative]:
    match data.signal:
        case "pairs":
            yield Alternative("dpo", "When the pairs are clear: simplest and quickest.")
            yield Alternative("orpo", "When the model was not fine-tuned before: learns the answers and the preference at once.")
            yield Alternative("rlhf", "When judgments are uncertain, or the scorer is wanted too.")
            yield Alternative("reward", "When only the scorer is wanted.")
        case "judgments":
            yield Alternative("kto", "When answers are judged one by one.")
        case "prompts":
            yield Alternative("grpo", "When rules or a reward model can score an answer; needs no value model.")
            yield Alternative("rloo", "As GRPO, with the plainer estimator; holds the model closer to where it started.")
            yield Alternative("ppo", "When rewards come late in long answers: a value model tells which part earned them.")
        case "answers":
            yield Alternative("sft", "When the answers are as they should be.")
            yield Alternative("grpo", "When an answer can be checked: only the questions and the known answers are used.")
        case "text":
            yield Alternative("pretrain", "When the text's language itself is to be learnt.")


def _is_uncertain(data: DataSketch) -> bool:
    return data.num_conflicting >= UNCERTAIN_SHARE * max(1, data.num_examples)


def _method(
    data: DataSketch, objective: ObjectiveName, model: ModelInfo | None, device: DeviceFacts
) -> tuple[MethodName, Verdict | None, list[str]]:
    reasons: list[str] = []
    if _is_broad(data, objective) and _verdict("full", objective, model, device) == "fits":
        reasons.append(
            f"{data.num_tokens / 1e6:.0f} million tokens are a broad shift, more than an adapter holds well, and all weights fit "
            f"into the memory of {device.name}: full fine-tuning."
        )
        return "full", "fits", reasons
    if data.num_examples < ENOUGH_FOR_FULL:
        reasons.append(f"With {data.num_examples:,} examples, fewer than a few thousand, changing every weight mostly forgets: an adapter.")
    else:
        reasons.append("An adapter learns this as well as changing every weight, needs a fraction of the memory, and forgets less.")
    lora = _verdict("lora", objective, model, device)
    if lora in (None, "fits"):
        return "lora", lora, reasons
    return _smaller(objective, cast("ModelInfo", model), device, lora, reasons)


def _smaller(
    objective: ObjectiveName, model: ModelInfo, device: DeviceFacts, lora: Verdict, reasons: list[str]
) -> tuple[MethodName, Verdict | None, list[str]]:
    """What to do where LoRA does not surely fit."""
    has_4_bit = device.kind in BITSANDBYTES_DEVICES
    qlora = _verdict("qlora", objective, model, device) if has_4_bit else None
    if qlora in ("fits", "tight") and (lora == "does_not_fit" or qlora == "fits"):
        reasons.append(f"The model in 16 bit {_words(lora)} on {device.name}; kept in 4 bit (QLoRA) it {_words(qlora)}.")
        if model.num_parameters < SMALLEST_QLORA_PARAMETERS:
            reasons.append("A model this small loses quality in 4 bit; a shorter max_length is the better way where it suffices.")
        return "qlora", qlora, reasons
    if lora == "does_not_fit" and not has_4_bit:
        reasons.append(
            f"This model does not fit on {device.name}, and 4-bit weights (QLoRA) need bitsandbytes, which has no kernels for it: choose a "
            "smaller model or a shorter max_length."
        )
    elif lora == "does_not_fit":
        reasons.append(f"Even in 4 bit this model does not fit on {device.name}: choose a smaller model or a shorter max_length.")
    else:
        reasons.append(f"It is tight on {device.name}; the memory panel names what makes room.")
    return "lora", lora, reasons


def _words(verdict: Verdict) -> str:
    return {"fits": "fits", "tight": "is tight", "does_not_fit": "does not fit"}[verdict]


def _verdict(kind: MethodName, objective: ObjectiveName, model: ModelInfo | None, device: DeviceFacts) -> Verdict | None:
    """Whether a method would fit with its defaults; None where the model's shape is not known."""
    if model is None or model.shape is None:
        return None
    rewards: dict[str, object] = {"objective.rewards.rules": [{"kind": "exact_answer"}]} if objective in _NEEDS_RULES else {}
    least = Draft({"model": {"source": DEMO}, "data": {"train": DEMO}})
    draft = least.with_values({"method.kind": kind, "objective.kind": objective, **defaults_for(kind, objective), **rewards})
    return estimate(draft.validated(), model, device).verdict


def _is_broad(data: DataSketch, objective: ObjectiveName) -> bool:
    return objective == "pretrain" and data.num_tokens >= BROAD_SHIFT_TOKENS and data.num_examples >= ENOUGH_FOR_FULL


def _extra(data: DataSketch, objective: ObjectiveName) -> Mapping[str, object]:
    """Settings beyond the defaults that the data ask for."""
    if objective == "dpo" and data.num_conflicting:
        share = data.num_conflicting / max(1, data.num_examples)
        return {"objective.dpo.loss_type": "robust", "objective.dpo.label_smoothing": round(min(0.3, max(0.01, share / 2)), 2)}
    return {}


def _amount(data: DataSketch, objective: ObjectiveName) -> Iterator[str]:
    if objective == "pretrain":
        yield "A shift of domain needs room: a higher rank (64) than for a format or a tone."
    if data.signal == "pairs" and data.num_examples < FEW_PAIRS:
        yield f"{data.num_examples:,} pairs are few: expect a small change, and look at answers rather than at numbers."
    if objective == "dpo" and data.num_conflicting:
        yield f"{data.num_conflicting:,} pairs contradict another: the robust loss expects a share of them to be the wrong way round."
