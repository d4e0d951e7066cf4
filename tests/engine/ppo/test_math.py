"""Every term of PPO against the sums that its papers write down, done by hand in numpy, one token after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from desktop_ft.engine.ppo import math as ppo

Numbers = NDArray[np.float64]

# Two answers: three tokens after two of the prompt, two tokens after one. NaN stands where nothing may be read.
NAN = float("nan")
MASK = np.array([[False, True, True, True, False], [True, True, False, False, False]])
NEW = np.array([[NAN, -0.5, -1.25, -2.0, NAN], [-0.7, -0.1, NAN, NAN, NAN]])
OLD = np.array([[NAN, -0.9, -1.0, -2.1, NAN], [-0.3, -0.4, NAN, NAN, NAN]])
REFERENCE = np.array([[NAN, -1.4, -0.8, -2.6, NAN], [-0.35, -0.9, NAN, NAN, NAN]])
VALUES = np.array([[NAN, 0.2, -0.4, 0.9, NAN], [0.5, -1.1, NAN, NAN, NAN]])
NEW_VALUES = np.array([[NAN, 0.9, -0.5, 0.95, NAN], [0.1, -1.0, NAN, NAN, NAN]])
SCORES = np.array([1.5, -0.5])
KL_COEF, GAMMA, LAM, CLIP, CLIP_VALUE = 0.3, 0.9, 0.8, 0.2, 0.25


def tensor(values: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(values)


def assert_equal(found: torch.Tensor, expected: Numbers) -> None:
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=0, atol=1e-12)


def tokens() -> list[list[tuple[int, int]]]:
    """The places of each answer."""
    return [[(0, 1), (0, 2), (0, 3)], [(1, 0), (1, 1)]]


def expected_rewards() -> Numbers:
    rewards = np.zeros(MASK.shape)
    for row, places in enumerate(tokens()):
        for place in places:
            rewards[place] = -KL_COEF * (OLD[place] - REFERENCE[place])
        rewards[places[-1]] += SCORES[row]
    return rewards


def expected_advantages(rewards: Numbers) -> Numbers:
    """The sum of equation 11 of Schulman et al. 2017, written out, not the recursion."""
    advantages = np.zeros(MASK.shape)
    for places in tokens():
        deltas = [
            rewards[place] + (GAMMA * VALUES[places[index + 1]] if index + 1 < len(places) else 0.0) - VALUES[place]
            for index, place in enumerate(places)
        ]
        for index, place in enumerate(places):
            advantages[place] = sum((GAMMA * LAM) ** later * delta for later, delta in enumerate(deltas[index:]))
    return advantages


def test_rewards_of_tokens() -> None:
    found = ppo.token_rewards(tensor(SCORES), tensor(OLD), tensor(REFERENCE), tensor(MASK), KL_COEF)
    assert_equal(found, expected_rewards())


def test_advantages_and_returns() -> None:
    rewards = expected_rewards()
    rewards[~MASK] = NAN
    advantages, returns = ppo.advantages_and_returns(tensor(rewards), tensor(VALUES), tensor(MASK), GAMMA, LAM)
    expected = expected_advantages(expected_rewards())
    assert_equal(advantages, expected)
    assert_equal(returns, expected + np.where(MASK, VALUES, 0.0))


def test_with_lambda_one_the_return_is_the_discounted_sum_of_rewards() -> None:
    rewards = expected_rewards()
    _, returns = ppo.advantages_and_returns(tensor(rewards), tensor(VALUES), tensor(MASK), GAMMA, 1.0)
    first = rewards[0, 1] + GAMMA * rewards[0, 2] + GAMMA**2 * rewards[0, 3]
    assert returns[0, 1].item() == pytest.approx(first, abs=1e-12)


def test_whitening_reads_the_answers_only() -> None:
    inside = VALUES[MASK]
    mean, spread = inside.mean(), np.sqrt(inside.var() + 1e-8)
    assert_equal(ppo.whiten(tensor(VALUES), tensor(MASK)), np.where(MASK, (VALUES - mean) / spread, 0.0))
    kept = ppo.whiten(tensor(VALUES), tensor(MASK), shift_mean=False)
    assert_equal(kept, np.where(MASK, (VALUES - mean) / spread + mean, 0.0))
    assert ppo.masked_mean(kept, tensor(MASK)).item() == pytest.approx(mean, abs=1e-12)


def test_policy_loss_and_what_is_clipped() -> None:
    advantages = expected_advantages(expected_rewards())
    for place in (place for places in tokens() for place in places):
        ratio = np.exp(NEW[place]) / np.exp(OLD[place])
        bounded = min(max(ratio, 1 - CLIP), 1 + CLIP)
        advantage = advantages[place]
        parts = [torch.tensor(float(value[place])).double() for value in (NEW, OLD, advantages)]
        exact = max(-advantage * ratio, -advantage * bounded)
        assert ppo.policy_loss(parts[0], parts[1], parts[2], CLIP).item() == pytest.approx(exact, abs=1e-6)
        assert bool(ppo.is_clipped(parts[0], parts[1], parts[2], CLIP)) == (-advantage * bounded > -advantage * ratio)


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "clipped"),
    [(0.5, 1.0, True), (0.5, -1.0, False), (-0.5, -1.0, True), (-0.5, 1.0, False), (0.1, 1.0, False)],
)
def test_a_clipped_token_has_no_gradient(log_ratio: float, advantage: float, clipped: bool) -> None:
    new = torch.tensor([log_ratio], requires_grad=True)
    old, signal = torch.zeros(1), torch.tensor([advantage])
    ppo.policy_loss(new, old, signal, CLIP).sum().backward()
    assert new.grad is not None
    assert (new.grad.item() == 0.0) == clipped
    assert bool(ppo.is_clipped(new, old, signal, CLIP)) == clipped


def test_value_loss() -> None:
    returns = expected_advantages(expected_rewards()) + np.where(MASK, VALUES, 0.0)
    found = ppo.value_loss(tensor(NEW_VALUES), tensor(VALUES), tensor(returns), CLIP_VALUE)
    for place in (place for places in tokens() for place in places):
        new, old, wanted = NEW_VALUES[place], VALUES[place], returns[place]
        bounded = min(max(new, old - CLIP_VALUE), old + CLIP_VALUE)
        assert found[place].item() == pytest.approx(0.5 * max((new - wanted) ** 2, (bounded - wanted) ** 2), abs=1e-12)


def test_approximate_kl_is_the_divergence_of_the_sampling_policy_in_the_mean() -> None:
    ratio = np.exp(NEW[0, 1:4] - OLD[0, 1:4])
    found = ppo.approximate_kl(tensor(NEW[0, 1:4].copy()), tensor(OLD[0, 1:4].copy()))
    assert_equal(found, ratio - 1 - np.log(ratio))
    before, after = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    shares = ppo.approximate_kl(tensor(np.log(after)), tensor(np.log(before))).numpy()
    assert float((before * shares).sum()) == pytest.approx(float((before * np.log(before / after)).sum()), abs=1e-12)
    assert (shares >= 0).all()


def test_explained_variance() -> None:
    returns = np.where(MASK, REFERENCE * 2, NAN)
    expected = 1 - (returns - VALUES)[MASK].var() / returns[MASK].var()
    assert ppo.explained_variance(tensor(VALUES), tensor(returns), tensor(MASK)).item() == pytest.approx(expected, abs=1e-12)
    assert ppo.explained_variance(tensor(returns), tensor(returns), tensor(MASK)).item() == pytest.approx(1.0, abs=1e-12)
    assert ppo.explained_variance(tensor(VALUES), torch.ones(2, 5).double(), tensor(MASK)).item() == 0.0


@pytest.mark.parametrize(("kl", "factor"), [(6.0, 1.0), (7.2, 1.02), (6.6, 1.01), (60.0, 1.02), (0.0, 0.98), (5.4, 0.99)])
def test_the_coefficient_follows_the_divergence(kl: float, factor: float) -> None:
    found = ppo.adapted_kl_coef(0.15, kl, target_kl=6.0, num_answers=64, horizon=640)
    assert found == pytest.approx(0.15 * factor, abs=1e-12)


def test_an_answer_without_an_end_pays() -> None:
    finished = torch.tensor([True, False])
    assert_equal(ppo.penalise_missing_end(tensor(SCORES), finished, 2.0), np.array([1.5, -2.5]))
    assert_equal(ppo.penalise_missing_end(tensor(SCORES), finished, None), SCORES)
