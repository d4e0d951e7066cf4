"""Which rates a sweep tries, when one has diverged, and what a curve suggests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from desktop_ft.core.config import RunConfig, load_config, validate
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import LrPoint
from desktop_ft.core.job import LrFindRequest, read_job
from desktop_ft.core.lr_finder import create_sweep, final_loss, has_diverged, suggest, sweep_config, sweep_rates, usual_range


def config_with(objective: str = "sft", method: str = "lora") -> RunConfig:
    rewards = {"rewards": {"rules": [{"kind": "length"}]}} if objective in {"grpo", "rloo", "ppo"} else {}
    return validate(
        {
            "model": {"source": "demo"},
            "data": {"train": "demo"},
            "method": {"kind": method},
            "objective": {"kind": objective, **rewards},
            "training": {"micro_batch_size": 4, "global_batch_size": 16},
        }
    )


def curve(losses: Sequence[float], diverged: bool = False) -> list[LrPoint]:
    """Points at 1e-5, 1e-4, ...; the last one may have diverged."""
    return [
        LrPoint(rate=10.0 ** (index - 5), loss=loss, first_loss=3.0, num_steps=8, has_diverged=diverged and index == len(losses) - 1)
        for index, loss in enumerate(losses)
    ]


def test_rates_are_evenly_spaced_on_a_logarithmic_scale() -> None:
    assert sweep_rates(1e-5, 1e-1, 5) == (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    rates = sweep_rates(2e-6, 6e-3)
    assert (len(rates), rates[0], rates[-1]) == (11, 2e-6, 6e-3)
    assert [math.log10(b / a) for a, b in itertools.pairwise(rates)] == pytest.approx([math.log10(3000) / 10] * 10, abs=5e-3)


@pytest.mark.parametrize(("objective", "method", "usual"), [("sft", "lora", 2e-4), ("sft", "full", 1e-5), ("dpo", "lora", 5e-6)])
def test_it_looks_around_the_usual_rate(objective: str, method: str, usual: float) -> None:
    assert usual_range(config_with(objective, method)) == (usual / 32, usual * 32)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], False),
        ([3.0, 2.9, 3.3], False),
        ([3.0, 4.4], False),
        ([3.0, 4.6], True),
        ([0.69, 1.1], False),
        ([0.69, 1.3], True),
        ([3.0, math.nan], True),
        ([3.0, math.inf], True),
        ([-0.1, 0.2], False),
        ([-0.1, 0.5], True),
    ],
)
def test_divergence_is_no_number_or_far_above_the_start(losses: list[float], expected: bool) -> None:
    assert has_diverged(losses) is expected


def test_a_rate_comes_to_the_mean_of_its_last_third() -> None:
    assert final_loss([9.0, 8.0, 7.0, 4.0, 2.0, 1.0]) == 1.5
    assert final_loss([5.0, 4.0]) == 4.0


def test_the_suggestion_is_a_third_of_the_best_and_never_what_diverged() -> None:
    found = suggest(curve([2.98, 2.8, 2.0, 2.4, 40.0], diverged=True))
    assert found.rate == 3e-4
    assert "at 0.001" in found.message
    assert "From 0.1 on it diverges." in found.message


def test_a_best_that_is_the_last_says_that_more_may_be_higher() -> None:
    found = suggest(curve([2.98, 2.8, 2.0]))
    assert found.rate == 3e-4
    assert "No higher rate was tried" in found.message


def test_a_suggestion_is_never_below_what_was_tried() -> None:
    points = [LrPoint(rate=rate, loss=loss) for rate, loss in ((1e-4, 3.0), (2e-4, 2.0), (4e-4, 2.5))]
    assert suggest(points).rate == 1e-4


@pytest.mark.parametrize(
    ("losses", "diverged", "words"),
    [
        ([3.0, 3.0, 2.99], False, "higher rates"),
        ([3.0, 2.99, 9.0], True, "more steps"),
        ([2.0, 2.4, 2.9, 9.0], True, "lower rates"),
        ([9.0], True, "Even the lowest rate"),
    ],
)
def test_a_curve_that_shows_nothing_suggests_nothing(losses: list[float], diverged: bool, words: str) -> None:
    found = suggest(curve(losses, diverged))
    assert found.rate is None
    assert words in found.message


@pytest.mark.parametrize("objective", ["grpo", "rloo", "ppo", "rlhf"])
def test_objectives_that_sample_are_refused_with_the_reason(objective: str, tmp_path: Path) -> None:
    with pytest.raises(DesktopFtError) as caught:
        create_sweep(tmp_path, config_with(objective))
    assert caught.value.code == "lr_find_online"
    assert "1e-05" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_job_holds_the_run_and_the_range(tmp_path: Path) -> None:
    job = create_sweep(tmp_path, config_with(), high=1e-2, num_steps=5)
    assert read_job(job.path) == LrFindRequest(2e-4 / 32, 1e-2, 5, 11)
    assert load_config(job.path / "run.yaml").objective.kind == "sft"


@pytest.mark.parametrize(("low", "high", "steps"), [(1e-3, 1e-4, 8), (0.0, 1e-3, 8), (1e-5, 2.0, 8), (1e-5, 1e-3, 0)])
def test_ranges_that_make_no_sense_are_refused(low: float, high: float, steps: int, tmp_path: Path) -> None:
    with pytest.raises(DesktopFtError) as caught:
        create_sweep(tmp_path, config_with(), low, high, steps)
    assert caught.value.code == "request_invalid"


def test_the_sweep_is_the_run_with_a_constant_rate_and_nothing_around_it() -> None:
    swept, stated = sweep_config(config_with(), 8), config_with()
    assert (swept.training.max_steps, swept.training.lr_scheduler_type, swept.training.warmup_steps) == (8, "constant", 0.0)
    assert (swept.training.micro_batch_size, swept.training.global_batch_size) == (4, 16)
    assert swept.method == stated.method
    assert swept.objective == stated.objective
