"""What is said of learning from preferences (dpo, orpo, kto, reward), by TRL's metrics.

The reward of an answer is beta times the change of its log-probability since the start; ORPO has no start to compare with and tells
beta times the log-probability itself. A reward model tells the share of pairs that it puts in order (``accuracy``) and their ``margin``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Final, Literal

from desktop_ft.core.events import EvaluationDone, StepDone
from desktop_ft.core.health.common import (
    WINDOW,
    HealthNote,
    clear_change,
    ends,
    loss_words,
    overfitting,
    rising_or_flat,
    series,
    spikes,
)

PreferenceName = Literal["dpo", "orpo", "kto", "reward"]
ACCURACY: Final = ("rewards/accuracies", "accuracy")
MARGIN: Final = ("rewards/margins", "margin")
FEWEST_FOR_ACCURACY: Final = 2 * WINDOW
GUESSING: Final = 0.55
"""An accuracy below this is not told from tossing a coin; as far below one half, the pairs are the wrong way round."""
SURE: Final = 0.98
SATURATED_MARGIN: Final = 4.0
"""The logistic loss of a margin of 4 is 0.018: nothing is left to learn from such a pair."""
_REWARD_FALL: Final = 0.3
"""In units of beta times nats: with beta 0.1, an answer e^3 times less probable."""
_LOGP_FALL_SHARE: Final = 0.05


def notes(objective: PreferenceName, steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone]) -> Iterator[HealthNote]:
    """What looks wrong."""
    yield from spikes(steps)
    guessing = list(_guessing(steps, evaluations))
    yield from guessing or rising_or_flat(steps, "look at the pairs: is it clear from each which answer is better, and why?")
    if objective != "reward":
        yield from _chosen_falls(objective, steps)
    yield from _saturated(objective, steps)
    yield from overfitting(steps, evaluations)


def words(steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone]) -> str:
    """How a healthy run went."""
    accuracy = series(steps, *ACCURACY)
    sentence = f" The better answer is preferred in {ends(accuracy)[1]:.0%} of the latest pairs." if len(accuracy) >= 3 else ""
    held_out = series(evaluations, *ACCURACY)
    sentence += f" Held-out pairs: {held_out[-1]:.0%}." if held_out else ""
    return loss_words(steps, evaluations) + sentence


def _guessing(steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone]) -> Iterator[HealthNote]:
    train = series(steps, *ACCURACY)
    if len(train) < FEWEST_FOR_ACCURACY:
        return
    held_out = series([event for event in evaluations if event.step >= FEWEST_FOR_ACCURACY], *ACCURACY)
    share, where = (held_out[-1], "held-out pairs") if held_out else (fmean(train[-FEWEST_FOR_ACCURACY:]), "the latest pairs")
    if share < 1 - GUESSING:
        yield HealthNote(
            "bad",
            "It prefers the worse answers",
            f"In only {share:.0%} of {where} the better answer is preferred, fewer than by chance. "
            "Look at the data: are chosen and rejected the wrong way round?",
        )
    elif share < GUESSING:
        yield HealthNote(
            "warn",
            "It cannot tell the answers apart",
            f"The better answer is preferred in {share:.0%} of {where}; a coin gets 50 %. Look at some pairs yourself: if you can't tell "
            "which is better, neither can the model. If you can, raise the learning rate two to five times or train longer.",
        )


def _chosen_falls(objective: PreferenceName, steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    """Both answers become less probable: the model moves to a third one that nobody wrote. Source: Pal et al. 2024, arXiv 2402.13228."""
    falls = _reward_falls(steps) if objective != "orpo" else ()
    falls = falls or _logp_falls(steps)
    if not falls:
        return
    cure = "objective.dpo.sft_weight = 1" if objective == "dpo" else "a smaller learning rate, or more supervised data"
    yield HealthNote(
        "warn",
        "Good answers become less likely too",
        f"{falls} The distance still grows, but what the model writes may be neither. "
        f"Use {cure}; a larger beta also holds the model closer to its start.",
    )


def _reward_falls(steps: Sequence[StepDone]) -> str:
    chosen, rejected = series(steps, "rewards/chosen"), series(steps, "rewards/rejected")
    if clear_change(chosen) < -_REWARD_FALL and clear_change(rejected) < -_REWARD_FALL:
        return f"The reward of the chosen answers went from {_to(chosen)}, that of the rejected from {_to(rejected)}."
    return ""


def _logp_falls(steps: Sequence[StepDone]) -> str:
    chosen, rejected = series(steps, "logps/chosen"), series(steps, "logps/rejected")
    if all(clear_change(values) < -_LOGP_FALL_SHARE * abs(ends(values)[0]) for values in (chosen, rejected) if values) and chosen:
        return f"The log-probability of the chosen answers went from {_to(chosen)}" + (
            f", that of the rejected from {_to(rejected)}." if rejected else "."
        )
    return ""


def _to(values: Sequence[float]) -> str:
    first, last = ends(values)
    return f"{first:.3g} to {last:.3g}".replace("-", "−")


def _saturated(objective: PreferenceName, steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    accuracy, margins = series(steps, *ACCURACY), series(steps, *MARGIN)
    if len(margins) < 2 * WINDOW or not accuracy:
        return
    middle = fmean(margins[len(margins) // 2 - WINDOW // 2 : len(margins) // 2 + WINDOW // 2])
    last = ends(margins)[1]
    if ends(accuracy)[1] >= SURE and last >= SATURATED_MARGIN and last > middle:
        cure = "Stop here" if objective == "reward" else "Stop here, raise beta, or use the ipo loss, which stops by itself"
        yield HealthNote(
            "warn",
            "It is sure of every pair",
            f"{ends(accuracy)[1]:.0%} of the latest pairs are in order and their margin still grows ({last:.3g} now): from here on it "
            f"only exaggerates. {cure}; the checkpoint with the best evaluation is the one to take.",
        )
