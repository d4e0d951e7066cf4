"""What is said in each state, and the learning rate to come; no widget is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from desktop_ft.core.config import validate
from desktop_ft.jobs.pace import TimeLeft
from desktop_ft.ui.run_page.charts import smoothing_of, usual_smoothing
from desktop_ft.ui.run_page.schedule import future_rates, rate_at
from desktop_ft.ui.run_page.words import chip_of, clock_words, facts_line, method_words, progress_words, stage_of, time_left_words
from tests.helpers.synthetic_run import NUM_STEPS, STARTED, State, config, fold, resolved

pytestmark = pytest.mark.usefixtures("qapp")

SAID: dict[State, tuple[str, str, float | None]] = {
    "new": ("Not started", "Not started yet", 0.0),
    "starting": ("Starting", "Starting the engine", 0.0),
    "loading": ("Starting", "Loading the model", 0.6),
    "training": ("Training", "Step 637 of 1,062", 0.5998),
    "evaluating": ("Evaluating", "Step 637 of 1,062", 0.5998),
    "stopping": ("Stopping", "Step 637 of 1,062", 0.5998),
    "stopped": ("Stopped, kept", "Stopped at step 637 of 1,062", 0.5998),
    "completed": ("Finished", "Finished in 42 min", None),
    "failed": ("Failed", "Failed at step 137 of 1,062", 0.129),
    "crashed": ("Crashed", "Crashed at step 637 of 1,062", 0.5998),
    "crashed_early": ("Crashed", "Crashed before the first step", 0.0),
}


@pytest.mark.parametrize("state", SAID)
def test_chip_and_progress_of_each_state(state: State, tmp_path: Path) -> None:
    model = fold(state, tmp_path / "run")
    stage = stage_of(model)
    words = progress_words(model, stage, STARTED)
    chip, done, share = SAID[state]
    assert (chip_of(stage)[0], words.done) == (chip, done)
    assert words.share == (None if share is None else pytest.approx(share, abs=1e-4))


def test_a_paused_run_says_so_and_names_its_checkpoint(tmp_path: Path) -> None:
    model = fold("stopped", tmp_path / "run")
    stage = stage_of(model, was_paused=True)
    words = progress_words(model, stage)
    assert chip_of(stage)[0] == "Paused"
    assert (words.done, words.left) == ("Paused at step 637 of 1,062", "The checkpoint of step 600 is safe")


def test_the_time_left_counts_the_evaluations_to_come(tmp_path: Path) -> None:
    model = fold("training", tmp_path / "run")
    words = progress_words(model, stage_of(model), STARTED)
    left = model.time_left()
    assert left is not None
    assert 425 * 2.19 < left.seconds < 425 * 2.19 + 10 * 9.5  # 425 steps; nine evaluations of about 9 s
    assert words.left == "17 min left, ± 1"
    assert words.note == "epoch 1.8 of 3"


@pytest.mark.parametrize(
    ("seconds", "uncertainty", "words"),
    [
        (42.4, 3.2, "42 s left, ± 4"),
        (89.0, 0.0, "89 s left, ± 1"),
        (960.0, 55.0, "16 min left, ± 1"),
        (960.0, 61.0, "16 min left, ± 2"),
        (7320.0, 600.0, "2 h 02 left, ± 10 min"),
    ],
)
def test_time_left_words(seconds: float, uncertainty: float, words: str) -> None:
    assert time_left_words(TimeLeft(seconds, uncertainty)) == words


def test_a_clock_names_the_day_where_that_is_another() -> None:
    assert len(clock_words(STARTED, STARTED)) == len("14:02")
    assert clock_words(STARTED + 86400, STARTED) == f"{clock_words(STARTED, STARTED)} tomorrow"
    assert clock_words(STARTED - 86400 * 3, STARTED).startswith("2025-12-29 ")


def test_facts_line() -> None:
    started = clock_words(STARTED, STARTED)
    words = "Qwen3-8B, LoRA with DoRA (rank 16), supervised, support-replies.jsonl. Started"
    assert facts_line(config(), STARTED, STARTED) == f"{words} {started}."
    assert facts_line(None, None) == ""


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ({"kind": "full"}, "full fine-tuning"),
        ({"use_dora": False, "rank": 8, "alpha": 16}, "LoRA (rank 8)"),
        ({"use_rslora": True, "rank": 64}, "LoRA with DoRA + rsLoRA (rank 64)"),
    ],
)
def test_method_words(method: dict[str, object], words: str) -> None:
    tree = {"name": "x", "model": {"source": "demo"}, "data": {"train": "demo"}, "method": method}
    if method.get("kind") == "full":
        tree["training"] = {"learning_rate": 1e-5}
    assert method_words(validate(tree).method) == words


def test_the_schedule_rises_to_the_rate_and_falls_as_a_cosine_to_nothing() -> None:
    steps = np.array([0.0, 16.0, 32.0, 547.0, 1062.0])
    assert rate_at(resolved(), steps).tolist() == pytest.approx([0.0, 1e-4, 2e-4, 1e-4, 0.0], abs=1e-12)


def test_a_rate_changed_while_training_carries_its_factor_on() -> None:
    steps, rates = future_rates(resolved(), 547, 5e-5)
    assert (steps[0], steps[-1]) == (547, NUM_STEPS)
    assert rates[0] == pytest.approx(5e-5)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("num_steps", "window"), [(10, 1.0), (48, 2.4), (120, 6.0), (200, 10.0), (1062, 18.0), (100_000, 18.0)])
def test_the_usual_smoothing_is_a_mean_over_a_small_part_of_the_run(num_steps: int, window: float) -> None:
    keep = smoothing_of(usual_smoothing(num_steps))
    assert 1 / (1 - keep) == pytest.approx(window, rel=0.03)
