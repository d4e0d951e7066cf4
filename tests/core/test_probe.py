"""Which rows are worst, how long one of the run's steps takes, and the job's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.config import load_config
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.job import ProbeRequest, create_job_in, read_job
from desktop_ft.core.probe import create_probe, longest_prompts, packed_rows, probe_config, step_seconds, worst_batch
from tests.core.test_memory import run


def test_the_longest_row_comes_with_those_that_learn_most() -> None:
    assert worst_batch([5, 9, 7, 8], 3, weights=[5, 2, 1, 3]) == [1, 0, 3]
    assert worst_batch([5, 9, 7, 8], 3) == [1, 3, 2]


def test_a_batch_of_equal_rows_gets_a_shorter_one_so_that_there_is_padding() -> None:
    assert worst_batch([9, 9, 4, 9], 2) == [0, 2]
    assert worst_batch([9, 9], 2) == [0, 1]
    assert worst_batch([9, 9, 4], 1) == [0]


def test_too_few_rows_come_again() -> None:
    assert worst_batch([3, 5], 4) == [1, 0, 1, 0]
    assert longest_prompts([3, 5, 4], 2) == [1, 2]
    assert longest_prompts([3, 5], 3) == [1, 0, 1]


def test_packed_rows_are_filled_with_one_to_spare() -> None:
    rows = packed_rows([10, 30, 20], 3, 40)
    assert rows[:3] == [1, 2, 0]
    assert sum([10, 30, 20][row] for row in rows) >= 160


@pytest.mark.parametrize(
    "steps, first, probed, accumulation, cycle, expected",
    [
        ([9.0, 2.0], None, 1, 1, 1, 2.0),
        ([9.0, 2.0], 0.75, 2, 2, 1, 2.0),
        ([9.0, 2.0], 0.75, 2, 8, 1, 2.0 + 6 * 0.75),
        ([9.0, 2.0], None, 2, 4, 1, 4.0),
        ([9.0, 1.0], None, 2, 2, 4, 3.0),
    ],
)
def test_the_time_of_one_of_the_runs_steps(
    steps: list[float], first: float | None, probed: int, accumulation: int, cycle: int, expected: float
) -> None:
    assert step_seconds(steps, first, probed, accumulation, cycle) == expected


def test_the_probe_accumulates_twice_and_an_objective_that_samples_keeps_its_batch() -> None:
    config = probe_config(run(micro=2, whole=64, evaluation__sample_prompts=["Hello"], output__keep_best=True))
    assert (config.training.global_batch_size, config.training.max_steps, config.evaluation.eval_steps, config.output.save_steps) == (
        4,
        2,
        2,
        2,
    )
    assert (config.evaluation.sample_prompts, config.output.keep_best, config.seed) == ((), False, run().seed)
    assert probe_config(run(micro=2, whole=2)).training.global_batch_size == 2
    online = run(micro=2, whole=64, objective__kind="grpo", objective__rewards__rules=[{"kind": "length"}])
    assert probe_config(online).training.global_batch_size == 64


def test_a_probes_folder_holds_the_run_and_goes_with_the_next_one(desktop_ft_home: Path) -> None:
    config = run(micro=2)
    first = create_probe(config, longest=77)
    assert first.path == desktop_ft_home / "jobs" / "probe-0001"
    assert read_job(first.path) == ProbeRequest(77)
    assert load_config(first.path / "run.yaml").training == config.training
    second = create_probe(config)
    assert second.path.name == "probe-0002", "one that has not begun may be about to"
    first.events_file.touch()
    second.events_file.touch()
    assert create_probe(config).path.name == "probe-0001"
    assert not second.path.exists()


def test_a_length_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DesktopFtError) as caught:
        create_job_in(tmp_path, ProbeRequest(longest=0))
    assert caught.value.code == "request_invalid"
