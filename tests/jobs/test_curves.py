"""An objective's metrics as curves: kept by name, bounded in memory, cut and replaced like the loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from desktop_ft.core.events import EvaluationDone, GeneralLoss, RunStarted, SampleDone, StageStarted, StepDone
from desktop_ft.core.runs import RunDir
from desktop_ft.jobs.curves import KEPT_FIRST, METRIC_POINTS, CurveStore
from desktop_ft.jobs.run_model import MOST_SAMPLED, RunModel


def step(number: int, **metrics: float) -> StepDone:
    return StepDone(step=number, epoch=0.0, loss=1.0, metrics=metrics)


def sample(number: int, *, sampled: bool = True) -> SampleDone:
    return SampleDone(step=number, index=0, prompt="Hi", text=str(number), reward=0.5 if sampled else None, sampled=sampled)


def test_metrics_of_steps_and_evaluations_are_curves_of_their_own() -> None:
    curves = CurveStore()
    curves.add_steps([step(1, kl=0.1), step(2), step(3, kl=0.3, entropy=2.0)])
    curves.add_evaluation(EvaluationDone(step=3, loss=1.0, metrics={"kl": 0.25}))
    assert curves.metrics["kl"].steps.tolist() == [1, 3]
    assert curves.metrics["kl"].values.tolist() == [0.1, 0.3]
    assert curves.metrics["entropy"].steps.tolist() == [3]
    assert curves.eval_metrics["kl"].values.tolist() == [0.25]


def test_a_metric_that_was_not_finite_is_a_gap() -> None:
    curves = CurveStore()
    curves.add_steps([step(1, kl=0.1), StepDone(step=2, epoch=0.0, non_finite=("metrics.kl", "loss"))])
    assert curves.metrics["kl"].steps.tolist() == [1, 2]
    assert np.isnan(curves.metrics["kl"].values[1])
    assert curves.metrics.keys() == {"kl"}


def test_both_ends_tell_their_metrics_again() -> None:
    curves = CurveStore()
    curves.add_steps([step(number, kl=number / 10) for number in range(1, 41)])
    ends = curves.steps_at_both_ends(num_first=2, num_last=2)
    assert [(event.step, dict(event.metrics)) for event in ends] == [
        (1, {"kl": 0.1}),
        (2, {"kl": 0.2}),
        (39, {"kl": 3.9}),
        (40, {"kl": 4.0}),
    ]


def test_steps_done_again_replace_the_metrics_too() -> None:
    curves = CurveStore()
    curves.add_steps([step(number, kl=1.0) for number in range(1, 9)])
    curves.cut(4)
    curves.add_steps([step(5, kl=2.0)])
    assert curves.metrics["kl"].steps.tolist() == [1, 2, 3, 4, 5]
    assert curves.metrics["kl"].values.tolist() == [1.0] * 4 + [2.0]


def test_a_long_run_keeps_the_ends_of_its_metrics_and_thins_the_middle() -> None:
    curves, num_steps = CurveStore(), 100_000
    for start in range(1, num_steps, 1000):
        curves.add_steps([step(number, kl=float(number)) for number in range(start, start + 1000)])
    kept = curves.metrics["kl"]
    assert METRIC_POINTS // 2 < len(kept) <= METRIC_POINTS
    assert kept.steps[:KEPT_FIRST].tolist() == list(range(1, KEPT_FIRST + 1))
    assert kept.steps[-2000:].tolist() == list(range(num_steps - 1999, num_steps + 1))
    assert (np.diff(kept.steps) > 0).all()
    np.testing.assert_array_equal(kept.values, kept.steps.astype(float))
    assert len(curves["loss"]) == num_steps


def test_forgetting_stages_and_sampled_answers_are_folded_and_forgotten_with_a_resume() -> None:
    model = RunModel(RunDir(Path("/runs/one")))
    model.fold(
        [
            StageStarted(stage="reward", number=1, total=2, first_step=1),
            GeneralLoss(step=0, loss=2.0),
            *(sample(number) for number in range(1, MOST_SAMPLED + 11)),
            sample(3, sampled=False),
            StageStarted(stage="ppo", number=2, total=2, first_step=101),
            GeneralLoss(step=120, loss=2.5),
        ]
    )
    assert model.stage is not None
    assert (model.stage.stage, model.stage.number) == ("ppo", 2)
    assert [event.step for event in model.general_losses] == [0, 120]
    assert (len(model.sampled), model.sampled[0].step, model.sampled[-1].step) == (MOST_SAMPLED, 11, MOST_SAMPLED + 10)
    assert [found.text for found in model.samples["Hi"]] == ["3"]
    model.fold([RunStarted(pid=1, num_steps=200, start_step=50)])
    assert model.stage is None
    assert [event.step for event in model.general_losses] == [0]
    assert model.sampled[-1].step == 50
