"""Health of learning from rewards: each trouble is seen on its picture and on no other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import pytest

from desktop_ft.core.config import SETTINGS
from desktop_ft.core.events import GeneralLoss, SampleDone, StepDone
from desktop_ft.core.health import HealthNote, health
from tests.core.health.curves import NUM_STEPS, bent, evaluations_of, line, steps_of, titles

Online = Literal["grpo", "rloo", "ppo"]


def grpo(**curves: Sequence[float]) -> list[StepDone]:
    """A healthy run but for what is given; its policy loss hovers around zero."""
    healthy: dict[str, Sequence[float]] = {
        "reward": line(0.2, 0.8, 0.08),
        "reward_std": line(0.3, 0.2, 0.02),
        "frac_reward_zero_std": line(0.1, 0.3, 0.03),
        "kl": line(0.0, 0.05, 0.005),
        "entropy": line(1.5, 1.0, 0.1),
        "completions__mean_length": line(60, 70, 8),
        "completions__clipped_ratio": line(0.3, 0.1, 0.03),
        "clip_ratio__region_mean": line(0.01, 0.02, 0.002),
    }
    return steps_of(line(0.0, 0.0, 0.05), **{**healthy, **curves})


def ppo(**curves: Sequence[float]) -> list[StepDone]:
    """The same for PPO: the divergence is per answer, and there is a value model."""
    healthy: dict[str, Sequence[float]] = {
        "reward": line(0.2, 0.8, 0.08),
        "kl": line(0.0, 6.0, 0.5),
        "entropy": line(1.5, 1.0, 0.1),
        "completions__mean_length": line(60, 70, 8),
        "completions__share_finished": line(0.7, 0.9, 0.03),
        "clip_fraction": line(0.05, 0.1, 0.01),
        "explained_variance": line(-0.5, 0.6, 0.1),
    }
    return steps_of(line(0.4, 0.1, 0.05), **{**healthy, **curves})


def samples(texts: Sequence[str]) -> list[SampleDone]:
    return [SampleDone(step=index, index=0, prompt=f"p{index}", text=text, sampled=True) for index, text in enumerate(texts)]


@pytest.mark.parametrize("objective", ["grpo", "rloo", "ppo"])
def test_a_healthy_run_learns_as_it_should(objective: Online) -> None:
    notes = health(ppo() if objective == "ppo" else grpo(), evaluations_of("reward", [0.2, 0.5, 0.7, 0.75]), objective=objective)
    assert titles(notes) == ["Learning as it should"]
    assert "The reward went from 0.2" in notes[0].message
    assert "held-out prompts it went from 0.2 to 0.75" in notes[0].message


def test_nothing_is_said_about_the_policy_loss() -> None:
    steps = steps_of([*line(0.0, 0.0, 0.01, 100), *line(0.3, 3.0, 0.1, 20)], reward=line(0.2, 0.8, 0.08))
    assert titles(health(steps, objective="grpo")) == ["Learning as it should"]


PICTURES: tuple[tuple[Online, dict[str, Sequence[float]], str, str], ...] = (
    ("grpo", {"frac_reward_zero_std": line(0.5, 1.0, 0.01)}, "bad", "The rewards say nothing"),
    ("grpo", {"frac_reward_zero_std": line(0.5, 0.7, 0.01)}, "warn", "The rewards say nothing"),
    ("rloo", {"reward": line(0.6, 0.2, 0.05)}, "bad", "The reward is falling"),
    ("rloo", {"reward": line(0.4, 0.4, 0.05)}, "warn", "The reward is not rising"),
    ("grpo", {"completions__mean_length": line(60, 200, 8)}, "warn", "The reward rises with the length"),
    ("grpo", {"kl": bent(0.0, 0.1, 0.8, 0.01)}, "warn", "It is running away from its start"),
    ("rloo", {"kl": bent(0.0, 1.5, 2.0, 0.01)}, "bad", "It is running away from its start"),
    ("ppo", {"kl": bent(0.0, 5.0, 50.0, 1.0)}, "warn", "It is running away from its start"),
    ("ppo", {"kl": bent(0.0, 90.0, 160.0, 1.0)}, "bad", "It is running away from its start"),
    ("ppo", {"entropy": line(1.5, 0.1, 0.05)}, "warn", "The answers become all alike"),
    ("grpo", {"completions__clipped_ratio": [1.0] * NUM_STEPS}, "warn", "The answers are cut off"),
    ("ppo", {"completions__share_finished": line(0.02, 0.0)}, "warn", "The answers are cut off"),
    ("ppo", {"clip_fraction": line(0.1, 0.5, 0.02)}, "warn", "Most of each step is thrown away"),
    ("grpo", {"clip_ratio__region_mean": line(0.1, 0.5, 0.02)}, "warn", "Most of each step is thrown away"),
    ("ppo", {"explained_variance": line(-0.8, -0.3, 0.05)}, "warn", "The value model predicts nothing"),
)


@pytest.mark.parametrize(("objective", "curves", "tone", "title"), PICTURES, ids=[f"{case[0]}: {case[3]} ({case[2]})" for case in PICTURES])
def test_each_trouble_is_seen_alone(objective: Online, curves: dict[str, Sequence[float]], tone: str, title: str) -> None:
    notes = health((ppo if objective == "ppo" else grpo)(**curves), objective=objective)
    assert [(note.tone, note.title) for note in notes] == [(tone, title)]


def test_without_a_reference_there_is_no_divergence_to_speak_of() -> None:
    steps = [StepDone(step=event.step, epoch=0, loss=0.0, metrics={"reward": event.metrics["reward"]}) for event in grpo()]
    assert titles(health(steps, objective="grpo")) == ["Learning as it should"]


def test_short_answers_far_from_the_start_by_the_token_are_still_near_by_the_answer() -> None:
    steps = grpo(kl=bent(0.0, 0.2, 0.8, 0.01), completions__mean_length=line(5, 5, 0.2))
    assert titles(health(steps, objective="grpo")) == ["Learning as it should"]


def test_a_constant_answer_is_bad() -> None:
    notes = health(grpo(), objective="grpo", samples=samples(["Yes."] * 8))
    assert [(note.tone, note.title) for note in notes] == [("bad", "The answers become all alike")]
    assert "8 sampled answers" in notes[0].message
    assert titles(health(grpo(), objective="grpo", samples=samples(["Yes."] * 7 + ["No."]))) == ["Learning as it should"]


def test_held_out_prompts_that_get_worse() -> None:
    notes = health(grpo(), evaluations_of("reward", [0.2, 0.7, 0.6, 0.4]), objective="grpo")
    assert titles(notes) == ["Learning its prompts by heart"]
    assert "step 30" in notes[0].message


def test_rlhf_is_judged_by_its_newest_stage() -> None:
    reward_stage = steps_of(line(0.69, 0.3, 0.02, 60), accuracy=line(0.5, 0.9, 0.02, 60), margin=line(0, 1.5, 0.05, 60))
    assert titles(health(reward_stage, objective="rlhf")) == ["Learning as it should"]
    assert "pairs" in health(reward_stage, objective="rlhf")[0].message
    policy = [StepDone(step=60 + event.step, epoch=0, loss=event.loss, metrics=event.metrics) for event in ppo(reward=line(0.6, 0.1, 0.05))]
    assert titles(health([*reward_stage, *policy], objective="rlhf")) == ["The reward is falling"]


def test_a_spike_of_the_gradients_is_said_of_any_objective() -> None:
    steps = [
        StepDone(step=event.step, epoch=0, loss=0.0, grad_norm=90.0 if event.step > 110 else 1.0, metrics=event.metrics) for event in grpo()
    ]
    assert titles(health(steps, objective="grpo")) == ["The gradients are exploding"]


@pytest.mark.parametrize(
    ("last", "tone", "title"),
    [(3.7, "bad", "It forgets much of what it knew"), (3.2, "warn", "It forgets a little"), (3.01, "good", "Nothing forgotten")],
)
def test_forgetting_is_the_rise_of_the_loss_on_general_text(last: float, tone: str, title: str) -> None:
    general = [GeneralLoss(step=0, loss=3.0, num_tokens=1500), GeneralLoss(step=120, loss=last, num_tokens=1500)]
    notes = health(grpo(), objective="grpo", general=general)
    assert (tone, title) in [(note.tone, note.title) for note in notes]
    assert "+" in next(note.message for note in notes if note.title == title)


def test_one_measurement_says_nothing_about_forgetting() -> None:
    assert titles(health(grpo(), objective="grpo", general=[GeneralLoss(step=0, loss=3.0)])) == ["Learning as it should"]


def test_settings_that_are_named_exist() -> None:
    told: list[HealthNote] = []
    for objective, curves, _, _ in PICTURES:
        told += health((ppo if objective == "ppo" else grpo)(**curves), objective=objective)
    named = {path for note in told for path in re.findall(r"objective(?:\.[a-z_]+)+", note.message)}
    assert {"objective.ppo.kl_coef", "objective.grpo.beta", "objective.rloo.beta", "objective.rollout.max_completion_length"} <= named
    assert named <= set(SETTINGS)
