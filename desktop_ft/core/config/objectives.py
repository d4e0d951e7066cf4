"""What signal to train on: the objective and the settings of each. Names are TRL's where the meaning is TRL's."""

from __future__ import annotations

from typing import Final, Literal, get_args

from desktop_ft.core.config.fields import Section, setting

ObjectiveName = Literal["sft", "pretrain", "dpo", "orpo", "kto", "reward", "grpo", "rloo", "ppo", "rlhf"]
OBJECTIVES: Final[tuple[ObjectiveName, ...]] = get_args(ObjectiveName)
DpoLossName = Literal[
    "sigmoid", "ipo", "hinge", "robust", "exo_pair", "nca_pair", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sigmoid_norm",
]  # fmt: skip


class DpoConfig(Section):
    """Direct preference optimization: prefer the chosen answer to the rejected one."""

    beta: float = setting(
        0.1,
        "How hard the model is held to where it started; smaller lets it move further.",
        gt=0.0,
        le=100.0,
        source="Rafailov et al. 2023, arXiv 2305.18290",
    )
    loss_type: DpoLossName = setting(
        "sigmoid",
        "Which loss compares the answers. sigmoid: DPO itself. ipo: does not run away on certain pairs. robust: expects wrong labels.",
        advanced=True,
        source="TRL's default",
    )
    label_smoothing: float = setting(
        0.0,
        "Share of the pairs that may be the wrong way round; robust, exo_pair and aot use it.",
        ge=0.0,
        lt=0.5,
        advanced=True,
        source="Chowdhury et al. 2024, arXiv 2403.00409",
    )
    sft_weight: float = setting(
        0.0,
        "Weight of an added loss on the chosen answer, which keeps its probability from falling.",
        ge=0.0,
        le=100.0,
        advanced=True,
        source="Pang et al. 2024, arXiv 2404.19733",
    )
    precompute_ref_log_probs: bool = setting(
        False, "Compute the reference's log-probabilities once before training; saves the second model of full fine-tuning.", advanced=True
    )


class OrpoConfig(Section):
    """Odds-ratio preference optimization: supervised and preference learning at once, without a reference."""

    beta: float = setting(
        0.1, "Weight of the preference beside the supervised loss.", gt=0.0, le=100.0, source="Hong et al. 2024, arXiv 2403.07691"
    )


class KtoConfig(Section):
    """Kahneman-Tversky optimization: learn from single answers marked good or bad."""

    beta: float = setting(0.1, "How hard the model is held to where it started.", gt=0.0, le=100.0, source="Ethayarajh et al. 2024")
    loss_type: Literal["kto", "apo_zero_unpaired"] = setting("kto", "Which loss.", advanced=True, source="TRL's default")
    desirable_weight: float = setting(
        1.0, "Weight of the good answers; raise it where they are few.", gt=0.0, le=100.0, advanced=True, source="Ethayarajh et al. 2024"
    )
    undesirable_weight: float = setting(
        1.0, "Weight of the bad answers; raise it where they are few.", gt=0.0, le=100.0, advanced=True, source="Ethayarajh et al. 2024"
    )


class RewardModelConfig(Section):
    """A reward model: scores an answer, learnt from pairs (Bradley-Terry)."""

    center_rewards_coefficient: float | None = setting(
        None,
        "Pull of the scores' mean to zero; 0.01 is usual.",
        ge=0.0,
        le=10.0,
        advanced=True,
        source="Eisenstein et al. 2023, arXiv 2312.09244",
    )


class RewardRule(Section):
    """One rule that scores an answer from 0 to 1, times its weight.

    regex: the pattern is found in the answer. json_schema: the answer is JSON that the schema (a file, or JSON text) accepts; empty:
    any JSON. length: 1 within min_tokens to max_tokens, falling to 0 outside. exact_answer: equal to the row's answer, spaces and case
    aside; with a pattern its first group is compared.
    """

    kind: Literal["regex", "json_schema", "length", "exact_answer"] = setting(..., "What is looked at.")
    weight: float = setting(1.0, "Multiplies the score; negative: the opposite is wanted.")
    pattern: str = setting("", "regex: what must be found; exact_answer: where the answer stands.")
    schema_source: str = setting("", "json_schema: a file, or the schema itself.")
    min_tokens: int = setting(0, "length: shortest good answer.", unit="tokens", ge=0)
    max_tokens: int = setting(256, "length: longest good answer.", unit="tokens", ge=1)


class RewardsConfig(Section):
    """What makes an answer good, for ppo, grpo and rloo: a reward model, rules, or both; their weighted sum counts."""

    model: str | None = setting(None, "A reward model: the folder of a finished reward run, or of a sequence classifier with one output.")
    model_weight: float = setting(1.0, "Multiplies the reward model's score.", advanced=True)
    rules: tuple[RewardRule, ...] = setting((), "Rules: regex, json_schema, length, exact_answer, each with a weight.")


class RolloutConfig(Section):
    """How answers are sampled while training, for ppo, grpo and rloo."""

    max_completion_length: int = setting(256, "Longest sampled answer.", unit="tokens", ge=1, le=65536, source="TRL's default")
    temperature: float = setting(1.0, "Spread of the sampled answers.", gt=0.0, le=10.0, advanced=True, source="TRL's default for GRPO")
    top_p: float = setting(
        1.0, "Sample only from the likeliest tokens that reach this share.", gt=0.0, le=1.0, advanced=True, source="TRL's default"
    )


class GrpoConfig(Section):
    """Group relative policy optimization: several answers to each prompt, compared with each other."""

    num_generations: int = setting(8, "Answers to each prompt.", ge=2, le=256, source="Shao et al. 2024, arXiv 2402.03300; TRL")
    num_iterations: int = setting(1, "Optimizer passes over each batch of answers.", ge=1, le=100, advanced=True, source="TRL's default")
    beta: float = setting(0.0, "Weight of the KL divergence from the start; 0: no reference is computed.", ge=0.0, le=10.0, source="TRL")
    epsilon: float = setting(0.2, "Clipping of the probability ratio.", gt=0.0, lt=1.0, advanced=True, source="TRL's default")
    loss_type: Literal["grpo", "dapo", "bnpo", "dr_grpo"] = setting(
        "dapo", "How token losses are averaged.", advanced=True, source="TRL's default; Yu et al. 2025, arXiv 2503.14476"
    )
    scale_rewards: Literal["group", "batch", "none"] = setting(
        "group", "What the advantages are divided by.", advanced=True, source="TRL's default"
    )


class RlooConfig(Section):
    """REINFORCE leave-one-out: each answer is compared with the mean of the others to its prompt."""

    num_generations: int = setting(4, "Answers to each prompt.", ge=2, le=256, source="Ahmadian et al. 2024, arXiv 2402.14740")
    num_iterations: int = setting(1, "Optimizer passes over each batch of answers.", ge=1, le=100, advanced=True, source="TRL's default")
    beta: float = setting(0.05, "Weight of the KL divergence from the start in the reward.", ge=0.0, le=10.0, source="TRL's default")
    epsilon: float = setting(0.2, "Clipping of the probability ratio.", gt=0.0, lt=1.0, advanced=True, source="TRL's default")
    normalize_advantages: bool = setting(False, "Divide the advantages by their spread.", advanced=True, source="TRL's default")


class PpoConfig(Section):
    """Proximal policy optimization against the rewards, with a value model, on one shared base."""

    kl_coef: float = setting(
        0.05, "Weight of the KL divergence from the start, per token; adaptive: where it starts.", ge=0.0, le=10.0, source="TRL 1.12"
    )
    target_kl: float | None = setting(
        None,
        "Adapt kl_coef so that the divergence per answer comes to this; empty: fixed.",
        unit="nats",
        gt=0.0,
        advanced=True,
        source="Ziegler et al. 2019, arXiv 1909.08593, section 2.2",
    )
    kl_horizon: int = setting(10_000, "How slowly kl_coef adapts.", unit="answers", ge=1, advanced=True, source="Ziegler et al. 2019")
    gamma: float = setting(1.0, "Discount of later rewards.", gt=0.0, le=1.0, advanced=True, source="Ouyang et al. 2022, appendix C")
    lam: float = setting(0.95, "Lambda of the advantage estimate (GAE).", ge=0.0, le=1.0, advanced=True, source="Ouyang et al. 2022")
    cliprange: float = setting(
        0.2, "Clipping of the probability ratio.", gt=0.0, lt=1.0, advanced=True, source="Schulman et al. 2017, arXiv 1707.06347"
    )
    cliprange_value: float = setting(0.2, "Clipping of the value's change.", gt=0.0, advanced=True, source="Huang et al. 2024")
    vf_coef: float = setting(0.1, "Weight of the value loss.", ge=0.0, advanced=True, source="Ziegler et al. 2019")
    num_ppo_epochs: int = setting(
        4, "Passes over each batch of sampled answers.", ge=1, le=100, advanced=True, source="Ziegler et al. 2019; Ouyang et al. 2022: 1"
    )
    num_mini_batches: int = setting(
        1, "Optimizer steps in one pass: answers sampled at once = this times the global batch.", ge=1, le=1024, advanced=True, source="TRL"
    )
    whiten_rewards: bool = setting(False, "Divide the rewards of a batch by their spread.", advanced=True, source="Huang et al. 2024")
    whiten_advantages: bool = setting(
        True, "Shift and scale the advantages of a batch to mean 0 and spread 1.", advanced=True, source="Huang et al. 2024"
    )
    missing_eos_penalty: float | None = setting(
        1.0, "Taken off the reward of an answer that does not end by itself.", ge=0.0, advanced=True, source="Huang et al. 2024"
    )
    kl_early_stop: float | None = setting(
        None,
        "End the passes over a batch when the policy moved this far in them (approximate KL per token); the steps left out count as done.",
        unit="nats",
        gt=0.0,
        advanced=True,
        source="Schulman 2020, approximating KL divergence; spinning up",
    )


class RlhfConfig(Section):
    """The whole of RLHF as one run: a reward model from the pairs, then a policy trained against it."""

    policy: Literal["ppo", "rloo", "grpo"] = setting("ppo", "What trains the policy against the reward model.")
    prompts: str | None = setting(None, "A file of prompts for the second stage; empty: the prompts of the pairs.")
    reward_learning_rate: float = setting(
        1e-4, "Learning rate of the reward model; full fine-tuning: 1e-5.", gt=0.0, le=1.0, source="TRL's RewardConfig"
    )
    reward_num_train_epochs: float = setting(1.0, "Passes over the pairs for the reward model.", unit="epochs", gt=0.0, le=1000.0)
    reward_global_batch_size: int = setting(16, "Pairs per optimizer step of the reward model.", unit="examples", ge=1, le=65536)


class ObjectiveConfig(Section):
    """What signal to change it with."""

    kind: ObjectiveName = setting(
        "sft",
        "sft: learn to answer as the examples do. pretrain: learn a domain's language from plain text. dpo, orpo, kto: learn which "
        "answers are better. reward: train a scorer. ppo, grpo, rloo: raise a reward. rlhf: reward model, then ppo.",
    )
    dpo: DpoConfig = DpoConfig()
    orpo: OrpoConfig = OrpoConfig()
    kto: KtoConfig = KtoConfig()
    reward: RewardModelConfig = RewardModelConfig()
    rewards: RewardsConfig = RewardsConfig()
    rollout: RolloutConfig = RolloutConfig()
    grpo: GrpoConfig = GrpoConfig()
    rloo: RlooConfig = RlooConfig()
    ppo: PpoConfig = PpoConfig()
    rlhf: RlhfConfig = RlhfConfig()
