"""The formulas of PPO as pure functions of tensors. Imports torch alone.

Every tensor of tokens is [B, T] with ``mask`` [B, T], which is True where a token of the answer was chosen; a row's answer is one
unbroken stretch, wherever in the row it lies. Place t holds what belongs to choosing that token: its log-probability, and the value of
the text before it. What lies outside the mask is never read.

Sources: Schulman et al. 2016 (arXiv 1506.02438, GAE), Schulman et al. 2017 (arXiv 1707.06347, PPO), Ziegler et al. 2019
(arXiv 1909.08593), Ouyang et al. 2022 (arXiv 2203.02155), Huang et al. 2024 (arXiv 2403.17031, the N+ implementation details),
Schulman 2020 (Approximating KL divergence, joschu.net/blog/kl-approx.html).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_TINY: Final = 1e-8
_MAX_KL_ERROR: Final = 0.2


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the answer's tokens of all rows, one number."""
    return _inside(values, mask).sum() / mask.sum().clamp(min=1)


def masked_variance(values: Tensor, mask: Tensor) -> Tensor:
    """Variance over the answer's tokens of all rows (divided by their number), one number."""
    return masked_mean((values - masked_mean(values, mask)) ** 2, mask)


def whiten(values: Tensor, mask: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Scale to spread 1 and, unless told otherwise, shift to mean 0.

    Source: Huang et al. 2024, "reward and advantage whitening": rewards keep their mean, advantages do not.
    """
    mean = masked_mean(values, mask)
    scaled = (values - mean) * torch.rsqrt(masked_variance(values, mask) + _TINY)
    return _inside(scaled if shift_mean else scaled + mean, mask)


def penalise_missing_end(scores: Tensor, finished: Tensor, penalty: float | None) -> Tensor:
    """Take the penalty off the answers that were cut at the limit.

    Args:
        scores: What each answer scored, [B].
        finished: Whether the model ended it, [B].
        penalty: Taken off; None: nothing.

    Source: Huang et al. 2024, "EOS trick".
    """
    return scores if penalty is None else scores - penalty * (~finished).to(scores.dtype)


def token_rewards(scores: Tensor, log_probs: Tensor, ref_log_probs: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """Each token pays for its distance to the reference; the last one of an answer also gets the answer's score.

    r_t = -kl_coef (log p(y_t) - log p_ref(y_t)) + [t is last] score

    Args:
        scores: [B].
        log_probs: Of the policy that sampled, [B, T], nats.
        ref_log_probs: Of the reference, [B, T], nats.
        mask: [B, T].
        kl_coef: Reward per nat.

    Source: Ziegler et al. 2019, equation 2; Ouyang et al. 2022, section 3.5. The per-token divergence is Schulman's k1.
    """
    penalty = _inside(log_probs - ref_log_probs, mask) * -kl_coef
    is_last = mask & (mask.flip(-1).cumsum(-1).flip(-1) == 1)
    return penalty + is_last * scores.unsqueeze(-1)


def advantages_and_returns(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and what the value function should have said, both [B, T].

    delta_t = r_t + gamma V_{t+1} - V_t;  A_t = delta_t + gamma lam A_{t+1};  R_t = A_t + V_t.  Nothing follows the last token.

    Source: Schulman et al. 2016, equation 16; Schulman et al. 2017, equations 11 and 12.
    """
    values, rewards = _inside(values, mask), _inside(rewards, mask)
    advantages = torch.zeros_like(values)
    next_value = torch.zeros_like(values[:, 0])
    running = torch.zeros_like(next_value)
    for place in reversed(range(values.shape[1])):
        delta = rewards[:, place] + gamma * next_value - values[:, place]
        running = (delta + gamma * lam * running) * mask[:, place]
        advantages[:, place] = running
        next_value = values[:, place]
    return advantages, advantages + values


def policy_loss(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, cliprange: float) -> Tensor:
    """The clipped surrogate, negative, for each token.

    max(-A ratio, -A clip(ratio, 1 - cliprange, 1 + cliprange)) with ratio = p / p_old.

    Source: Schulman et al. 2017, equation 7.
    """
    ratio = torch.exp(log_probs - old_log_probs)
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1.0 - cliprange, 1.0 + cliprange))


def is_clipped(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, cliprange: float) -> Tensor:
    """Which tokens no longer pull on the policy, since clipping made their loss larger: bool, of the tokens' shape."""
    ratio = torch.exp(log_probs - old_log_probs)
    return -advantages * ratio.clamp(1.0 - cliprange, 1.0 + cliprange) > -advantages * ratio


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, cliprange_value: float) -> Tensor:
    """Half the squared error for each token, pessimistic where the value moved further than the clip range since the answers were sampled.

    Source: Huang et al. 2024, "value function loss clipping" (as in lm-human-preferences, the code of Ziegler et al. 2019).
    """
    clipped = old_values + (values - old_values).clamp(-cliprange_value, cliprange_value)
    return 0.5 * torch.maximum((values - returns) ** 2, (clipped - returns) ** 2)


def approximate_kl(log_probs: Tensor, old_log_probs: Tensor) -> Tensor:
    """Divergence of the policy that sampled from the one now, each token's share, nats: (ratio - 1) - log ratio, never negative.

    Source: Schulman 2020, estimator k3.
    """
    log_ratio = log_probs - old_log_probs
    return torch.expm1(log_ratio) - log_ratio


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(R - V) / Var(R): 1 for perfect values, 0 for a constant, below 0 for worse; 0 where the returns do not vary."""
    spread = masked_variance(returns, mask)
    rest = masked_variance(returns - values, mask)
    return torch.where(spread > _TINY, 1.0 - rest / spread.clamp(min=_TINY), torch.zeros_like(spread))


def adapted_kl_coef(kl_coef: float, kl: float, target_kl: float, num_answers: int, horizon: int) -> float:
    """The coefficient after a batch of answers: raised where the policy went too far, lowered where it hardly moved.

    e = clip(kl / target_kl - 1, -0.2, 0.2);  kl_coef (1 + e num_answers / horizon)

    Args:
        kl_coef: Until now.
        kl: Measured, nats per answer.
        target_kl: Wanted, nats per answer.
        num_answers: Of the batch.
        horizon: Answers over which the coefficient follows.

    Source: Ziegler et al. 2019, section 2.2, with K_beta = num_answers / horizon as in their code.
    """
    error = min(max(kl / target_kl - 1.0, -_MAX_KL_ERROR), _MAX_KL_ERROR)
    return kl_coef * (1.0 + error * num_answers / horizon)


def _inside(values: Tensor, mask: Tensor) -> Tensor:
    """Zero outside the mask, whatever lay there, NaN included."""
    return values.masked_fill(~mask, 0.0)
