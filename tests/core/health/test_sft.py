"""Health in words, on made-up curves whose trouble is known."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from desktop_ft.core.events import EvaluationDone, StepDone
from desktop_ft.core.health import HealthNote, health

GIB = 1 << 30


def curve(losses: Sequence[float | None], norms: Sequence[float] | None = None, memory_bytes: int = 0) -> list[StepDone]:
    return [
        StepDone(
            step=index + 1,
            epoch=0.0,
            loss=loss,
            grad_norm=norms[index] if norms else 1.0,
            memory_bytes=memory_bytes,
            non_finite=() if loss is not None else ("loss",),
        )
        for index, loss in enumerate(losses)
    ]


def falling(num_steps: int, start: float = 3.0, end: float = 1.0, noise: float = 0.1) -> list[float]:
    rng = random.Random(1)
    return [end + (start - end) * math.exp(-4 * index / num_steps) + rng.gauss(0, noise) for index in range(num_steps)]


def evaluations(losses: Sequence[float], every: int = 10) -> list[EvaluationDone]:
    return [EvaluationDone(step=index * every, loss=loss) for index, loss in enumerate(losses)]


def titles(notes: Sequence[HealthNote]) -> list[str]:
    return [note.title for note in notes]


def test_there_is_always_a_line() -> None:
    assert titles(health([])) == ["Just begun"]
    assert titles(health(curve([2.0] * 9))) == ["Just begun"]


def test_a_falling_curve_is_learning_as_it_should() -> None:
    notes = health(curve(falling(100)), evaluations([3.0, 2.0, 1.5, 1.2]))
    assert titles(notes) == ["Learning as it should"]
    assert notes[0].tone == "good"
    assert "from 3 to 1.2" in notes[0].message


def test_a_flat_curve_is_not_falling_but_only_after_forty_steps() -> None:
    rng = random.Random(2)
    flat = [2.0 + rng.gauss(0, 0.02) for _ in range(60)]
    assert titles(health(curve(flat))) == ["The loss is not falling"]
    assert titles(health(curve(flat[:30]))) == ["Learning as it should"]


def test_a_rising_curve_is_bad() -> None:
    notes = health(curve([1.0 + index * 0.05 for index in range(60)]))
    assert (notes[0].tone, notes[0].title) == ("bad", "The loss is rising")


def test_not_a_number_names_the_first_step_and_nothing_else() -> None:
    notes = health(curve([*falling(20), None, None, None]))
    assert titles(notes) == ["The loss is not a number"]
    assert notes[0].tone == "bad"
    assert "step 21" in notes[0].message


def test_a_spike_is_told_with_whether_it_recovered() -> None:
    losses = falling(60, noise=0.01)
    losses[50] = 9.0
    notes = health(curve(losses))
    assert titles(notes) == ["The loss jumped"]
    assert "step 51" in notes[0].message
    assert "recovered" in notes[0].message
    assert "go back to a checkpoint" in health(curve(losses[:51]))[0].message


def test_an_old_spike_is_forgotten() -> None:
    losses = falling(200, noise=0.01)
    losses[50] = 9.0
    assert titles(health(curve(losses))) == ["Learning as it should"]


def test_the_high_losses_at_the_start_are_no_spike() -> None:
    assert titles(health(curve([12.0, 9.0, 4.0, *falling(60, 2.0, 1.0, 0.01)]))) == ["Learning as it should"]


def test_exploding_gradients() -> None:
    notes = health(curve(falling(40), [1.0] * 30 + [50.0] * 10))
    assert notes[0].title == "The gradients are exploding"


def test_an_overflow_of_float16_is_a_warning() -> None:
    steps = curve(falling(40))
    steps[7] = StepDone(step=8, epoch=0.0, loss=2.0, non_finite=("grad_norm",))
    assert titles(health(steps)) == ["Gradients overflowed"]


@pytest.mark.parametrize("eval_losses, expected", [([2.0, 1.5, 1.4, 1.5, 1.7], True), ([2.0, 1.5, 1.4, 1.41, 1.405], False)])
def test_overfitting_is_eval_rising_while_train_falls(eval_losses: list[float], expected: bool) -> None:
    notes = health(curve(falling(50, noise=0.01)), evaluations(eval_losses))
    assert ("Learning by heart" in titles(notes)) is expected


def test_small_gains_are_said() -> None:
    notes = health(curve(falling(60)), evaluations([3.0, 1.5, 1.2, 1.197, 1.195]))
    assert titles(notes) == ["The gains are getting small"]


def test_memory_against_the_prediction() -> None:
    steps = curve(falling(40), memory_bytes=10 * GIB)
    assert titles(health(steps, predicted_bytes=10 * GIB, high_bytes=11 * GIB))[1] == "Memory as predicted"
    assert "10.00 GiB" in health(steps, predicted_bytes=10 * GIB)[1].message
    assert titles(health(steps, predicted_bytes=15 * GIB))[1] == "Less memory than predicted"
    over = health(steps, predicted_bytes=8 * GIB, high_bytes=9 * GIB)
    assert (over[0].tone, over[0].title) == ("warn", "More memory than predicted")
    assert len(over) == 2
