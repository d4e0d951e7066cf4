"""What is said of learning from rewards of sampled answers (grpo, rloo, ppo), by TRL's metrics and ours.

The loss of a policy hovers around zero however well it learns, so nothing is said about it: the reward is the curve to read.
``kl`` is per token in TRL's trainers and per answer in our PPO.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Final, Literal

from desktop_ft.core.events import EvaluationDone, SampleDone, StepDone
from desktop_ft.core.health.common import WINDOW, HealthNote, clear_change, ends, series, window_of

OnlineName = Literal["grpo", "rloo", "ppo", "rlhf"]
LENGTH: Final = "completions/mean_length"
CLIPPED: Final = ("clip_ratio/region_mean", "clip_fraction")
ENTROPY_LEFT: Final = 0.3
"""Of the entropy at the start; below it the answers become all alike."""
LENGTH_FACTOR: Final = 1.8
KL_PER_TOKEN: Final = 0.3
"""Nats; a policy so far from its start writes other text, not better text. Below `KL_PER_ANSWER` it has hardly moved at all."""
KL_PER_ANSWER: Final = 10.0
KL_LOST: Final = 3.0
"""Times both of these, there is nothing left to save."""
CLIP_SHARE: Final = 0.3
SAME_SHARE: Final = 0.5
CUT_SHARE: Final = 0.9
_FEWEST_FOR_REWARD: Final = 3 * WINDOW
_NUM_LATEST_SAMPLES: Final = 8


def notes(
    objective: OnlineName, steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone], samples: Sequence[SampleDone]
) -> Iterator[HealthNote]:
    """What looks wrong."""
    yield from _no_signal(steps)
    yield from _reward(steps)
    yield from _long_winded(steps)
    yield from _far_away(objective, steps)
    yield from _one_answer(steps, samples)
    yield from _cut_off(steps)
    yield from _clipped(steps)
    yield from _value(steps)
    yield from _held_out(steps, evaluations)


def words(steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone]) -> str:
    """How a healthy run went."""
    rewards = series(steps, "reward")
    if len(rewards) < 3:
        return "Nothing unusual so far."
    first, last = ends(rewards)
    held_out = series(evaluations, "reward")
    also = f" On held-out prompts it went from {held_out[0]:.3g} to {held_out[-1]:.3g}." if len(held_out) > 1 else ""
    return f"The reward went from {first:.3g} to {last:.3g}.{also}"


def _no_signal(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    same = series(steps, "frac_reward_zero_std")
    if not same or ends(same)[1] < SAME_SHARE:
        return
    share = ends(same)[1]
    yield HealthNote(
        "bad" if share >= CUT_SHARE else "warn",
        "The rewards say nothing",
        f"For {share:.0%} of the latest prompts all answers got the same reward, so there is nothing to learn from them. Use a reward "
        "with more steps between bad and good, more answers per prompt, a higher temperature, or prompts that are neither solved nor "
        "hopeless.",
    )


def _reward(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    rewards = series(steps, "reward")
    if len(rewards) < _FEWEST_FOR_REWARD:
        return
    first, last = ends(rewards)
    change = clear_change(rewards)
    if change < 0:
        yield HealthNote(
            "bad",
            "The reward is falling",
            f"It went from {first:.3g} to {last:.3g}. Stop and start again with a learning rate three to ten times smaller.",
        )
    elif change == 0:
        yield HealthNote(
            "warn",
            "The reward is not rising",
            f"After {len(rewards)} steps it is {last:.3g}; it began at {first:.3g}. If there is room above, raise the learning rate two "
            "to five times, and look at some answers with their rewards: does the model ever do what is rewarded?",
        )


def _long_winded(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    lengths, rewards = series(steps, LENGTH), series(steps, "reward")
    if len(lengths) < 2 * WINDOW or len(rewards) < 2 * WINDOW:
        return
    (short, long), (low, high) = ends(lengths), ends(rewards)
    if long > LENGTH_FACTOR * short and clear_change(lengths) > 0 and clear_change(rewards) > 0:
        yield HealthNote(
            "warn",
            "The reward rises with the length",
            f"The reward went from {low:.3g} to {high:.3g} while the answers grew from {short:.0f} to {long:.0f} tokens. Read some: if "
            "they only say more, add a length rule to the rewards or train the reward model on pairs where the longer answer is not always "
            "better.",
        )


def _far_away(objective: OnlineName, steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    divergence, lengths = series(steps, "kl"), series(steps, LENGTH)
    if len(divergence) < WINDOW or len(lengths) < WINDOW:
        return
    length = max(ends(lengths)[1], 1.0)
    is_per_token = objective in {"grpo", "rloo"}
    now, middle = ends(divergence)[1], fmean(divergence[len(divergence) // 2 - window_of(divergence) : len(divergence) // 2])
    per_token = now if is_per_token else now / length
    if per_token <= KL_PER_TOKEN or per_token * length <= KL_PER_ANSWER:
        return
    is_lost = per_token > KL_LOST * KL_PER_TOKEN and per_token * length > KL_LOST * KL_PER_ANSWER
    if not is_lost and now <= middle:
        return
    weight = "objective.ppo.kl_coef" if objective in {"ppo", "rlhf"} else f"objective.{objective}.beta"
    yield HealthNote(
        "bad" if is_lost else "warn",
        "It is running away from its start",
        f"The divergence from where it started is {per_token:.2g} nats per token and {per_token * length:.3g} per answer"
        f"{', and it grows' if now > middle else ''}: it may have found a way to please the reward that no reader would like. "
        f"Read some answers. Raise {weight} two to five times, or stop earlier.",
    )


def _one_answer(steps: Sequence[StepDone], samples: Sequence[SampleDone]) -> Iterator[HealthNote]:
    entropy = series(steps, "entropy")
    latest = [event for event in samples if event.sampled][-_NUM_LATEST_SAMPLES:]
    is_constant = (
        len(latest) == _NUM_LATEST_SAMPLES and len({event.prompt for event in latest}) > 1 and len({event.text for event in latest}) == 1
    )
    first, last = ends(entropy) if len(entropy) >= WINDOW else (0.0, 0.0)
    if last >= ENTROPY_LEFT * first and not is_constant:
        return
    seen = f"The entropy fell from {first:.2g} to {last:.2g} nats per token" if last < ENTROPY_LEFT * first else ""
    same = f"the latest {_NUM_LATEST_SAMPLES} sampled answers are the same text" if is_constant else ""
    said = " and ".join(filter(None, (seen, same)))
    yield HealthNote(
        "bad" if is_constant else "warn",
        "The answers become all alike",
        f"{said[0].upper() + said[1:]}: it stops trying other answers and learns no more. Use a smaller learning rate, a larger weight "
        "of the KL divergence, or a higher temperature.",
    )


def _cut_off(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    cut = series(steps, "completions/clipped_ratio") or [1 - share for share in series(steps, "completions/share_finished")]
    if not cut or ends(cut)[1] < CUT_SHARE:
        return
    yield HealthNote(
        "warn",
        "The answers are cut off",
        f"{ends(cut)[1]:.0%} of the latest answers reached the limit without an end. Raise objective.rollout.max_completion_length; "
        "if they never end, the model has not learnt to stop: fine-tune it on examples (sft) first.",
    )


def _clipped(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    clipped = series(steps, *CLIPPED)
    if len(clipped) >= WINDOW and ends(clipped)[1] > CLIP_SHARE:
        yield HealthNote(
            "warn",
            "Most of each step is thrown away",
            f"{ends(clipped)[1]:.0%} of the tokens moved past the clipping range in the latest steps. Use a smaller learning rate or fewer "
            "passes over each batch of answers.",
        )


def _value(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    explained = series(steps, "explained_variance")
    if len(explained) >= 2 * WINDOW and ends(explained)[1] <= 0:
        yield HealthNote(
            "warn",
            "The value model predicts nothing",
            f"It explains {ends(explained)[1]:.2g} of the variance of the returns; a constant explains 0. ".replace("-", "−")
            + "The advantages are then mostly noise: raise objective.ppo.vf_coef, sample more answers for each update, or train longer.",
        )


def _held_out(steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone]) -> Iterator[HealthNote]:
    measured = [(event.step, event.metrics["reward"]) for event in evaluations if "reward" in event.metrics]
    if len(measured) < 3 or clear_change(series(steps, "reward")) <= 0:
        return
    best_step, best = max(measured, key=lambda item: item[1])
    gain = best - measured[0][1]
    if gain > 0 and measured[-1][1] < best - 0.3 * gain and measured[-2][1] < best:
        yield HealthNote(
            "warn",
            "Learning its prompts by heart",
            f"On held-out prompts the reward was best at step {best_step} ({best:.3g}) and is {measured[-1][1]:.3g} now, while it still "
            "rises in training. Take the checkpoint near that step, or use more prompts.",
        )
