"""Defaults that depend on the method and the objective, so that they cannot stand in a field's declaration, with their sources.

`defaults_for` has the same paths for every method and objective: a form that changes from one to the other can follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from desktop_ft.core.config.check import SETTINGS
from desktop_ft.core.config.draft import Draft
from desktop_ft.core.config.files import Values, set_value
from desktop_ft.core.config.objectives import OBJECTIVES, ObjectiveName

MethodName = Literal["lora", "qlora", "full"]
METHODS: Final[tuple[MethodName, ...]] = ("lora", "qlora", "full")
ONLINE: Final[frozenset[ObjectiveName]] = frozenset({"grpo", "rloo", "ppo", "rlhf"})
"""Objectives whose answers are sampled while training."""


class Rates(NamedTuple):
    """Learning rates of one objective, and where they come from."""

    adapter: float
    full: float
    source: str


_PREFERENCE_SOURCE: Final = "full: Rafailov et al. 2023 (1e-6) and Tunstall et al. 2023, arXiv 2310.16944 (5e-7); LoRA: ten times that"
_ONLINE_SOURCE: Final = "full: TRL's default of 1e-6 for GRPO and RLOO; LoRA: ten times that (Schulman et al. 2025)"
RATES: Final[Mapping[ObjectiveName, Rates]] = {
    "sft": Rates(2e-4, 1e-5, "LoRA: Dettmers et al. 2023, arXiv 2305.14314; full: usually 1e-5 to 2e-5"),
    "pretrain": Rates(1e-4, 1e-5, "within the 1e-5 to 5e-4 that Biderman et al. 2024, arXiv 2405.09673, searched"),
    "dpo": Rates(5e-6, 5e-7, _PREFERENCE_SOURCE),
    "orpo": Rates(5e-5, 5e-6, "full: Hong et al. 2024, arXiv 2403.07691: the supervised part needs more than DPO; LoRA: ten times that"),
    "kto": Rates(5e-6, 5e-7, "full: Ethayarajh et al. 2024, arXiv 2402.01306 (5e-7); LoRA: ten times that"),
    "reward": Rates(1e-4, 1e-5, "LoRA: TRL's RewardConfig; full: Ouyang et al. 2022, arXiv 2203.02155 (9e-6)"),
    "grpo": Rates(1e-5, 1e-6, _ONLINE_SOURCE),
    "rloo": Rates(1e-5, 1e-6, _ONLINE_SOURCE),
    "ppo": Rates(1e-5, 1e-6, "full: below the 3e-6 of Huang et al. 2024, arXiv 2403.17031; LoRA: ten times that (Schulman et al. 2025)"),
    "rlhf": Rates(1e-5, 1e-6, "of the policy, as for PPO; the reward model has objective.rlhf.reward_learning_rate"),
}
GLOBAL_BATCH: Final[Mapping[ObjectiveName, int]] = {**dict.fromkeys(OBJECTIVES, 16), **dict.fromkeys(ONLINE, 32)}
"""16 pairs or examples. Online: 32 sampled answers, a multiple of the 8 answers to each prompt of GRPO: a policy gradient is noisy."""
_WARMUP: Final[Mapping[ObjectiveName, float]] = {**dict.fromkeys(OBJECTIVES, 0.03), "dpo": 0.1, "orpo": 0.1, "kto": 0.1}
"""A tenth for preferences: Tunstall et al. 2023."""
_RANK: Final[Mapping[ObjectiveName, int]] = {**dict.fromkeys(OBJECTIVES, 16), "pretrain": 64}
"""Continued pretraining gains from higher ranks (Biderman et al. 2024)."""


def default_rate(kind: MethodName, objective: ObjectiveName) -> float:
    """Learning rate for a method and an objective."""
    return RATES[objective].full if kind == "full" else RATES[objective].adapter


def defaults_for(kind: MethodName, objective: ObjectiveName) -> Mapping[str, object]:
    """Dotted paths and their defaults where these depend on method or objective; the same paths for every combination.

    DoRA is on with LoRA only: over 4-bit weights it dequantizes each matrix once more in every pass, and while answers are sampled
    it multiplies each adapter out for every token.
    """
    rank = _RANK[objective]
    return {
        "method.rank": rank,
        "method.alpha": 2.0 * rank,
        "method.use_dora": kind == "lora" and objective not in ONLINE,
        "training.learning_rate": default_rate(kind, objective),
        "training.global_batch_size": GLOBAL_BATCH[objective],
        "training.warmup_steps": _WARMUP[objective],
        "objective.rlhf.reward_learning_rate": default_rate(kind, "reward"),
    }


def sources_for(objective: ObjectiveName) -> Mapping[str, str]:
    """Where the defaults of an objective come from, for those paths whose source is not that of the setting's declaration."""
    sources = {"training.learning_rate": RATES[objective].source}
    if objective == "pretrain":
        sources["method.rank"] = "Biderman et al. 2024, arXiv 2405.09673: continued pretraining gains from higher ranks"
    if objective in ONLINE:
        sources["method.use_dora"] = "off: while answers are sampled, DoRA multiplies each adapter out for every token"
        sources["training.global_batch_size"] = "a policy gradient over few answers is mostly noise"
    return sources


def changes_for(draft: Draft, kind: MethodName | None = None, objective: ObjectiveName | None = None) -> Mapping[str, object]:
    """What to set when the method or the objective changes: it, and every setting that still has the old combination's default.

    Args:
        draft: As it is now.
        kind: The new method; None: as it is.
        objective: The new objective; None: as it is.

    Returns:
        Dotted paths and values for `Draft.with_values`. What the person changed is not among them.
    """
    before = defaults_for(method_of(draft), objective_of(draft))
    after = defaults_for(kind or method_of(draft), objective or objective_of(draft))
    untouched = {path for path, value in before.items() if draft.get(path) in (value, SETTINGS[path].default)}
    if "method.rank" not in untouched:
        untouched.discard("method.alpha")  # it belongs to the rank
    changes = {path: value for path, value in after.items() if path in untouched and draft.get(path) != value}
    chosen: dict[str, object] = {}
    if kind is not None:
        chosen["method.kind"] = kind
    if objective is not None:
        chosen["objective.kind"] = objective
    return {**chosen, **changes}


def with_defaults(values: Mapping[str, object]) -> Values:
    """A tree in which every setting that depends on method and objective, and is not stated, has their default."""
    draft = Draft(values)
    tree: Values = dict(values)
    for path, value in defaults_for(method_of(draft), objective_of(draft)).items():
        if not draft.states(path):
            tree = set_value(tree, path, value)
    return tree


def method_of(draft: Draft) -> MethodName:
    """The draft's method; LoRA while what stands there is no method."""
    kind = draft.get("method.kind")
    return kind if kind in METHODS else "lora"


def objective_of(draft: Draft) -> ObjectiveName:
    """The draft's objective; SFT while what stands there is no objective."""
    objective = draft.get("objective.kind")
    return objective if objective in OBJECTIVES else "sft"
