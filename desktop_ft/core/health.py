"""A run's health in words: what its curves say, what looks wrong and what to do. Pure functions of the run's events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from desktop_ft.core.events import EvaluationDone, StepDone

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


def health(
    steps: Sequence[StepDone],
    evaluations: Sequence[EvaluationDone] = (),
    *,
    predicted_bytes: int | None = None,
    high_bytes: int | None = None,
) -> tuple[HealthNote, ...]:
    """What the curves say, the worst first; always at least one note.

    Args:
        steps: In order; only the events' numbers are read.
        evaluations: In order; one at step 0 is the model before training.
        predicted_bytes: The estimate before the start, to compare the peak with.
        high_bytes: The upper end of that estimate.
    """
    problems = [*_broken(steps), *_curve(steps), *_evaluation(steps, evaluations)]
    notes = problems or [_all_well(steps, evaluations)]
    notes += _memory(steps, predicted_bytes, high_bytes)
    order = {"bad": 0, "warn": 1, "good": 2}
    return tuple(sorted(notes, key=lambda note: order[note.tone]))


def _all_well(steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone]) -> HealthNote:
    losses = _losses(steps)
    if len(losses) < FEWEST_STEPS:
        return HealthNote("good", "Just begun", f"After {FEWEST_STEPS} steps there is enough to judge; so far {len(losses)}.")
    first, last = _ends(losses)
    measured = [event.loss for event in evaluations if event.loss is not None]
    held_out = f" On held-out examples it went from {measured[0]:.3g} to {measured[-1]:.3g}." if len(measured) > 1 else ""
    return HealthNote("good", "Learning as it should", f"The loss went from {first:.3g} to {last:.3g}.{held_out}")


def _broken(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
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
            f"At {_times(len(skipped), 'step')} the gradient was not finite (last at step {skipped[-1]}). "
            "Now and then is normal with float16; if it goes on, lower the learning rate.",
        )


def _curve(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
    losses = _losses(steps)
    if len(losses) < FEWEST_STEPS:
        return
    yield from _spikes(steps)
    yield from _gradients(steps)
    first, last = _ends(losses)
    if last > first * 1.2 and last > first + 0.2:
        yield HealthNote(
            "bad",
            "The loss is rising",
            f"It went from {first:.3g} to {last:.3g}: the steps are too large. Stop and start again with a learning rate three to ten "
            "times smaller.",
        )
    elif len(losses) >= 2 * WINDOW and last > first * (1 - FLAT_SHARE):
        yield HealthNote(
            "warn",
            "The loss is not falling",
            f"After {len(losses)} steps it is {last:.3g}; it began at {first:.3g}. If this is past the warm-up, raise the learning rate "
            "two to five times, and look at what the model is trained on: is there text to learn in every example?",
        )


def _spikes(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
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


def _gradients(steps: Sequence[StepDone]) -> Iterator[HealthNote]:
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


def _evaluation(steps: Sequence[StepDone], evaluations: Sequence[EvaluationDone]) -> Iterator[HealthNote]:
    measured = [(event.step, event.loss) for event in evaluations if event.loss is not None]
    if len(measured) < 3:
        return
    best_step, best = min(measured, key=lambda item: item[1])
    last_step, last = measured[-1]
    if last > best * (1 + OVERFITTING_RISE) and measured[-2][1] > best and _train_falls(steps, best_step):
        yield HealthNote(
            "warn",
            "Learning by heart",
            f"On held-out examples the loss was best at step {best_step} ({best:.3g}) and is {last:.3g} now, while the training loss still "
            "falls. More of this will not help: stop here and keep a checkpoint near that step, or use fewer epochs or more data.",
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
    return bool(before) and bool(after) and sum(after) / len(after) < sum(before) / len(before)


def _memory(steps: Sequence[StepDone], predicted_bytes: int | None, high_bytes: int | None) -> Iterator[HealthNote]:
    peak = max((event.memory_bytes for event in steps), default=0)
    if not predicted_bytes or not peak:
        return
    share = peak / predicted_bytes - 1
    message = f"At most {peak / _GIB:.2f} GiB so far; {predicted_bytes / _GIB:.2f} GiB were predicted ({_signed(share)})."
    if peak > (high_bytes or predicted_bytes * 1.1):
        yield HealthNote("warn", "More memory than predicted", f"{message} Close other programs that use the device's memory.")
    else:
        yield HealthNote("good", "Memory as predicted" if share > -0.2 else "Less memory than predicted", message)


def _losses(steps: Sequence[StepDone]) -> list[float]:
    return [event.loss for event in steps if event.loss is not None]


def _ends(losses: Sequence[float]) -> tuple[float, float]:
    """Mean loss at the beginning and at the end, over a tenth of the curve, at most a window."""
    size = max(3, min(WINDOW, len(losses) // 5))
    return sum(losses[:size]) / size, sum(losses[-size:]) / size


def _times(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _signed(share: float) -> str:
    """A share in percent with a true minus."""
    return f"{share:+.0%}".replace("-", "−")
