"""What is said of any objective's curves, and how a curve is read: its ends, its noise, its spikes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, variance
from typing import Final, Literal, Protocol

from desktop_ft.core.events import EvaluationDone, GeneralLoss, StepDone

Tone = Literal["good", "warn", "bad"]
FEWEST_STEPS: Final = 10
"""Before this nothing can be said about a curve."""
WINDOW: Final = 20
SPIKE_FACTOR: Final = 2.0
"""A loss this many times the median before it is a spike, if it is a whole nat higher too."""
EXPLODING_NORM_FACTOR: Final = 10.0
FLAT_SHARE: Final = 0.01
"""A loss that fell by less than this share has not fallen."""
OVERFITTING_RISE: Final = 0.02
SMALL_GAIN: Final = 0.005
NOISE_FACTOR: Final = 3.0
"""Two means differ clearly where they are this many standard errors apart."""
FORGETTING_RISE: Final = 0.05
"""A loss on general text that rose by this share is worth a word; above `FORGETTING_MUCH` it is a warning in earnest."""
FORGETTING_MUCH: Final = 0.2
_GIB: Final = 1 << 30


@dataclass(frozen=True)
class HealthNote:
    """One observation.

    Attributes:
        tone: ``good``: go on; ``warn``: worth a look; ``bad``: the run is being wasted.
        title: A few words.
        message: What was seen, with numbers, and what to do.
    """

    tone: Tone
    title: str
    message: str


class _Measured(Protocol):
    """A step or an evaluation."""

    @property
    def metrics(self) -> Mapping[str, float]: ...


# --- reading curves --------------------------------------------------------------------------------------------------


def losses(steps: Sequence[StepDone]) -> list[float]:
    """Every finite loss."""
    return [event.loss for event in steps if event.loss is not None]


def series(events: Iterable[_Measured], *names: str) -> list[float]:
    """The values of the first of these metrics that is there at all, in order."""
    found = list(events)
    for name in names:
        values = [event.metrics[name] for event in found if name in event.metrics]
        if values:
            return values
    return []


def ends(values: Sequence[float]) -> tuple[float, float]:
    """Means at the beginning and at the end, over a fifth of the curve, at most a window."""
    size = window_of(values)
    return fmean(values[:size]), fmean(values[-size:])


def window_of(values: Sequence[float]) -> int:
    """How many values one end of a curve is judged by."""
    return max(3, min(WINDOW, len(values) // 5))


def clear_change(values: Sequence[float]) -> float:
    """Last minus first mean where the difference stands out of the noise; else 0."""
    if len(values) < FEWEST_STEPS:
        return 0.0
    size = window_of(values)
    first, last = ends(values)
    error = math.sqrt((variance(values[:size]) + variance(values[-size:])) / size)
    return last - first if abs(last - first) > NOISE_FACTOR * error else 0.0


def times(count: int, noun: str) -> str:
    """A number of things in words."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def signed(share: float, digits: int = 0) -> str:
    """A share in percent with a true minus."""
    return f"{share:+.{digits}%}".replace("-", "−")


# --- what any run can suffer from --------------------------------------------------------------------------------------


def broken(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    """Numbers that are no numbers, and gradients that grow out of bounds."""
    bad = [event.step for event in steps if event.loss is None or "loss" in event.non_finite]
    if bad:
        yield HealthNote(
            "bad",
            "The loss is not a number",
            f"Since step {bad[0]} the loss is not a finite number: the weights are broken. Stop, and start again from a checkpoint "
            "before it with a learning rate three times smaller; with float16, use bfloat16 or float32.",
        )
        return
    skipped = [event.step for event in steps if "grad_norm" in event.non_finite]
    if skipped:
        yield HealthNote(
            "warn",
            "Gradients overflowed",
            f"At {times(len(skipped), 'step')} the gradient was not finite (last at step {skipped[-1]}). "
            "Now and then is normal with float16; if it goes on, lower the learning rate.",
        )
    yield from _exploding(steps)


def _exploding(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    norms = [event.grad_norm for event in steps if event.grad_norm is not None and math.isfinite(event.grad_norm)]
    if len(norms) < 2 * FEWEST_STEPS:
        return
    before, latest = median(norms[: len(norms) // 2]), median(norms[-FEWEST_STEPS // 2 :])
    if latest > EXPLODING_NORM_FACTOR * max(before, 1e-3):
        yield HealthNote(
            "bad",
            "The gradients are exploding",
            f"Their norm was about {before:.2g} and is {latest:.2g}. Stop and start again with a lower learning rate or a longer warm-up.",
        )


def spikes(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    """The last spike, if it is among the latest steps."""
    known = [(event.step, event.loss) for event in steps if event.loss is not None]
    for index in range(len(known) - 1, max(FEWEST_STEPS - 1, len(known) - 1 - 2 * WINDOW), -1):
        step, loss = known[index]
        usual = median(value for _, value in known[max(0, index - WINDOW) : index])
        if loss > SPIKE_FACTOR * usual and loss > usual + 1.0:
            after = [value for _, value in known[index + 1 :]]
            recovered = bool(after) and after[-1] < SPIKE_FACTOR * usual
            advice = "It has recovered; nothing to do." if recovered else "If it does not come down, go back to a checkpoint before it."
            yield HealthNote("warn", "The loss jumped", f"At step {step} it was {loss:.3g}, usually {usual:.3g}. {advice}")
            return


def rising_or_flat(steps: Sequence[StepDone], what_else: str) -> Iterator[HealthNote]:
    """A loss that does not fall, of an objective whose loss should.

    Args:
        steps: Of the run.
        what_else: What to look at besides the learning rate, a sentence.
    """
    found = losses(steps)
    first, last = ends(found)
    if last > first + 0.2 * abs(first) and last > first + 0.2:
        yield HealthNote(
            "bad",
            "The loss is rising",
            f"It went from {first:.3g} to {last:.3g}: the steps are too large. Stop and start again with a learning rate three to ten "
            "times smaller.",
        )
    elif len(found) >= 2 * WINDOW and last > first - FLAT_SHARE * abs(first):
        yield HealthNote(
            "warn",
            "The loss is not falling",
            f"After {len(found)} steps it is {last:.3g}; it began at {first:.3g}. If this is past the warm-up, raise the learning rate "
            f"two to five times, and {what_else}",
        )


def overfitting(steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone]) -> Iterator[HealthNote]:
    """The loss on held-out examples turns up while that of training falls, or has little left to fall."""
    measured = [(event.step, event.loss) for event in evaluations if event.loss is not None]
    if len(measured) < 3:
        return
    best_step, best = min(measured, key=lambda item: item[1])
    last_step, last = measured[-1]
    if last > best + OVERFITTING_RISE * abs(best) and measured[-2][1] > best and _train_falls(steps, best_step):
        yield HealthNote(
            "warn",
            "Learning by heart",
            f"On held-out examples the loss was best at step {best_step} ({best:.3g}) and is {last:.3g} now, while the training loss still "
            "falls. More of this will not help: stop here and take the checkpoint near that step, or use fewer epochs or more data.",
        )
    elif best_step == last_step and len(measured) >= 4:
        gains = [(a - b) / a for (_, a), (_, b) in zip(measured[-3:-1], measured[-2:], strict=True) if a > 0]
        if gains and all(0 <= gain < SMALL_GAIN for gain in gains):
            yield HealthNote(
                "good",
                "The gains are getting small",
                f"The last two evaluations fell by less than {SMALL_GAIN:.1%} each, to {last:.3g}. You can stop soon without losing much.",
            )


def _train_falls(steps: Sequence[StepDone], since: int) -> bool:
    before = [event.loss for event in steps if event.loss is not None and event.step <= since][-WINDOW:]
    after = [event.loss for event in steps if event.loss is not None and event.step > since][-WINDOW:]
    return bool(before) and bool(after) and fmean(after) < fmean(before)


def loss_words(steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone]) -> str:
    """From where to where the losses went."""
    first, last = ends(losses(steps))
    measured = [event.loss for event in evaluations if event.loss is not None]
    held_out = f" On held-out examples it went from {measured[0]:.3g} to {measured[-1]:.3g}." if len(measured) > 1 else ""
    return f"The loss went from {first:.3g} to {last:.3g}.{held_out}"


# --- forgetting --------------------------------------------------------------------------------------------------------


def forgetting(general: Sequence[GeneralLoss]) -> Iterator[HealthNote]:
    """The loss on general text rose."""
    change = _general_change(general)
    if change is None or change[2] < FORGETTING_RISE:
        return
    first, last, rise = change
    yield HealthNote(
        "bad" if rise >= FORGETTING_MUCH else "warn",
        "It forgets much of what it knew" if rise >= FORGETTING_MUCH else "It forgets a little",
        f"On general text the loss rose from {first:.3g} to {last:.3g} ({signed(rise)}). Train for fewer epochs, with a smaller learning "
        "rate or with LoRA instead of full fine-tuning, or mix general examples into the data.",
    )


def remembered(general: Sequence[GeneralLoss]) -> Iterator[HealthNote]:
    """The loss on general text stayed."""
    change = _general_change(general)
    if change is not None and change[2] < FORGETTING_RISE:
        first, last, rise = change
        yield HealthNote("good", "Nothing forgotten", f"On general text the loss went from {first:.3g} to {last:.3g} ({signed(rise, 1)}).")


def _general_change(general: Sequence[GeneralLoss]) -> tuple[float, float, float] | None:
    """First and last loss and the rise as a share; None where there are not two of the same text."""
    measured = [event for event in general if event.loss is not None]
    if len(measured) < 2 or measured[-1].step == measured[0].step or measured[-1].num_tokens != measured[0].num_tokens:
        return None
    first, last = measured[0].loss, measured[-1].loss
    assert first is not None
    assert last is not None
    return (first, last, last / first - 1) if first > 0 else None


# --- memory ------------------------------------------------------------------------------------------------------------


def memory(steps: Sequence[StepDone], predicted_bytes: int | None, high_bytes: int | None) -> Iterator[HealthNote]:
    """The peak against the prediction."""
    peak = max((event.memory_bytes for event in steps), default=0)
    if not predicted_bytes or not peak:
        return
    share = peak / predicted_bytes - 1
    message = f"At most {peak / _GIB:.2f} GiB so far; {predicted_bytes / _GIB:.2f} GiB were predicted ({signed(share)})."
    if peak > (high_bytes or predicted_bytes * 1.1):
        yield HealthNote("warn", "More memory than predicted", f"{message} Close other programs that use the device's memory.")
    else:
        yield HealthNote("good", "Memory as predicted" if share > -0.2 else "Less memory than predicted", message)
