"""Health of learning from preferences: each trouble is seen on its picture and on no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest

from desktop_ft.core.events import StepDone
from desktop_ft.core.health import health
from tests.core.health.curves import bent, evaluations_of, line, steps_of, titles

PAIRWISE: tuple[Literal["dpo", "orpo", "kto"], ...] = ("dpo", "orpo", "kto")


def dpo(
    chosen: Sequence[float] | None = None,
    rejected: Sequence[float] | None = None,
    accuracy: Sequence[float] | None = None,
    loss: Sequence[float] | None = None,
) -> list[StepDone]:
    """A healthy run of DPO but for what is given: chosen rises a little, rejected falls, most pairs get in order."""
    chosen = chosen or line(0.0, 0.6, 0.1)
    rejected = rejected or line(0.0, -1.2, 0.1, seed=3)
    return steps_of(
        loss or line(0.69, 0.35, 0.03),
        rewards__chosen=chosen,
        rewards__rejected=rejected,
        rewards__margins=[good - bad for good, bad in zip(chosen, rejected, strict=True)],
        rewards__accuracies=accuracy or line(0.5, 0.85, 0.05),
        logps__chosen=line(-90, -84, 25),
        logps__rejected=line(-90, -102, 25, seed=4),
    )


def reward(accuracy: Sequence[float], margin: Sequence[float], loss: Sequence[float]) -> list[StepDone]:
    return steps_of(loss, accuracy=accuracy, margin=margin, mean_reward=line(0, 0.2, 0.1))


@pytest.mark.parametrize("objective", PAIRWISE)
def test_a_healthy_run_learns_as_it_should(objective: Literal["dpo", "orpo", "kto"]) -> None:
    notes = health(dpo(), evaluations_of("rewards/accuracies", [0.5, 0.7, 0.8]), objective=objective)
    assert titles(notes) == ["Learning as it should"]
    assert "Held-out pairs: 80%" in notes[0].message


def test_a_healthy_reward_model() -> None:
    steps = reward(line(0.5, 0.85, 0.05), line(0.0, 1.5, 0.1), line(0.69, 0.4, 0.03))
    assert titles(health(steps, objective="reward")) == ["Learning as it should"]


def test_chosen_falling_with_rejected_is_said_with_the_cure() -> None:
    steps = dpo(chosen=line(0.0, -2.0, 0.3), rejected=line(0.0, -4.5, 0.3, seed=3))
    (note,) = health(steps, objective="dpo")
    assert (note.tone, note.title) == ("warn", "Good answers become less likely too")
    assert "sft_weight" in note.message
    assert "to −1.86" in note.message


def test_orpo_is_judged_by_its_log_probabilities() -> None:
    falling = steps_of(line(2.0, 1.5, 0.05), logps__chosen=line(-0.8, -1.6, 0.05), logps__rejected=line(-0.9, -2.9, 0.05))
    assert titles(health(falling, objective="orpo")) == ["Good answers become less likely too"]
    rising = steps_of(line(2.0, 1.5, 0.05), logps__chosen=line(-0.8, -0.6, 0.05), logps__rejected=line(-0.9, -2.9, 0.05))
    assert titles(health(rising, objective="orpo")) == ["Learning as it should"]


def test_lengths_that_vary_are_no_fall() -> None:
    steps = dpo()
    noisy = steps_of([event.loss or 0.0 for event in steps], logps__chosen=line(-90, -95, 40), logps__rejected=line(-90, -100, 40, seed=4))
    assert titles(health(noisy, objective="dpo")) == ["Learning as it should"]


def test_a_saturated_margin_is_said_only_while_it_grows() -> None:
    sure = [1.0] * 120
    growing = dpo(chosen=line(0.0, 3.0, 0.1), rejected=line(0.0, -6.0, 0.1, seed=3), accuracy=sure)
    assert titles(health(growing, objective="dpo")) == ["It is sure of every pair"]
    settled = reward(sure, bent(0.0, 5.0, 4.5, 0.05), line(0.69, 0.02, 0.001))
    assert titles(health(settled, objective="reward")) == ["Learning as it should"]


@pytest.mark.parametrize("objective", ["dpo", "reward"])
def test_an_accuracy_near_one_half_is_guessing(objective: Literal["dpo", "reward"]) -> None:
    half, flat = line(0.5, 0.5, 0.08), line(0.69, 0.69, 0.005)
    steps = dpo(accuracy=half, loss=flat) if objective == "dpo" else reward(half, line(0, 0, 0.1), flat)
    notes = health(steps, objective=objective)
    assert titles(notes) == ["It cannot tell the answers apart"]
    assert titles(health(steps[:30], objective=objective)) == ["Learning as it should"]


def test_held_out_pairs_count_more_than_those_of_training() -> None:
    steps = reward(line(0.5, 0.95, 0.03), line(0.0, 2.0, 0.1), line(0.69, 0.2, 0.03))
    notes = health(steps, evaluations_of("accuracy", [0.5, 0.52, 0.51, 0.5]), objective="reward")
    assert titles(notes) == ["It cannot tell the answers apart"]
    assert "held-out" in notes[0].message


def test_pairs_the_wrong_way_round() -> None:
    notes = health(dpo(accuracy=line(0.4, 0.3, 0.03)), objective="dpo")
    assert (notes[0].tone, notes[0].title) == ("bad", "It prefers the worse answers")


def test_a_loss_that_rises_and_one_that_stays() -> None:
    assert titles(health(dpo(loss=line(0.69, 1.4, 0.03)), objective="dpo")) == ["The loss is rising"]
    assert titles(health(dpo(loss=line(0.69, 0.69, 0.001)), objective="dpo")) == ["The loss is not falling"]


def test_negative_losses_that_fall_are_healthy() -> None:
    assert titles(health(dpo(loss=line(-0.1, -0.9, 0.02)), objective="dpo")) == ["Learning as it should"]


def test_overfitting_of_a_reward_model() -> None:
    steps = reward(line(0.5, 0.97, 0.01), line(0.0, 3.0, 0.1), line(0.69, 0.05, 0.01))
    notes = health(steps, evaluations_of("loss", [0.69, 0.5, 0.55, 0.7, 0.9]), objective="reward")
    assert titles(notes) == ["Learning by heart"]
    assert "step 30" in notes[0].message
