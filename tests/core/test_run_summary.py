"""Summaries of runs from logs of any length and in any state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from desktop_ft.core.config import RunConfig, validate
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import EvaluationDone, Event, RunFinished, RunStarted, SampleDone, StepDone, encode_event
from desktop_ft.core.processes import ProcessMark, mark_of
from desktop_ft.core.run_summary import NUM_SPARKLINE_POINTS, method_words, run_folders, summarize_run
from desktop_ft.core.runs import RunDir, RunStatus, create_run, take_lock


def config(**method: object) -> RunConfig:
    return validate({"name": "n", "model": {"source": "demo"}, "data": {"train": "demo"}, "method": method})


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create_run(tmp_path / "runs" / "one", config())


def write(run: RunDir, *events: Event, tail: str = "") -> None:
    text = "".join(encode_event(event) + "\n" for event in events)
    run.events_file.write_text(text + tail, encoding="utf-8")


def started(time: float = 100.0, start_step: int = 0) -> RunStarted:
    return RunStarted(pid=1, num_steps=9, start_step=start_step, time=time)


def step(number: int, loss: float | None = 1.0) -> StepDone:
    return StepDone(step=number, epoch=0.0, loss=loss, time=100.0 + number)


FINISHED = RunFinished(status="stopped", step=2, time=103.0)


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], "new"),
        ([started(), step(1)], "crashed"),
        ([started(), step(1), FINISHED], "stopped"),
        ([started(), FINISHED, started(104.0, 2)], "crashed"),
        ([started(), FINISHED, started(104.0, 2), RunFinished(status="completed", time=110.0)], "completed"),
    ],
)
def test_the_status_is_that_of_the_last_engine(run: RunDir, events: list[Event], status: RunStatus) -> None:
    if events:
        write(run, *events)
    assert summarize_run(run).status == status


def test_a_live_engine_makes_a_run_live(run: RunDir) -> None:
    mark = mark_of(os.getpid())
    assert mark is not None
    take_lock(run, mark)
    assert summarize_run(run).status == "starting"
    write(run, started(time=mark.started + 1))
    assert summarize_run(run).status == "running"
    write(run, started(time=mark.started - 60), RunFinished(status="stopped", time=mark.started - 50))
    assert summarize_run(run).status == "starting"


def test_an_engine_that_died_before_its_first_line_has_crashed(run: RunDir) -> None:
    run.console_file.write_text("ImportError\n", encoding="utf-8")
    assert summarize_run(run).status == "crashed"
    write(run, started(), FINISHED)
    take_lock(run, ProcessMark(2**22 + 1, 200.0))
    assert summarize_run(run).status == "crashed"


def test_the_newest_numbers_are_found_behind_a_long_log(run: RunDir) -> None:
    long_sample = SampleDone(step=0, index=0, prompt="p", text='{"kind":"step","step":99}' * 4000)
    steps = [step(number, loss=1000.0 / number) for number in range(1, 3001)]
    write(run, started(), EvaluationDone(step=0, loss=9.0), *steps[:2500], EvaluationDone(step=2500, loss=3.5), *steps[2500:], long_sample)
    summary = summarize_run(run)
    assert (summary.step, summary.num_steps, summary.eval_loss) == (3000, 9, 3.5)
    assert summary.loss == pytest.approx(1 / 3)
    assert NUM_SPARKLINE_POINTS // 2 < len(summary.losses) <= NUM_SPARKLINE_POINTS
    assert list(summary.losses) == sorted(summary.losses, reverse=True)
    assert (summary.started, summary.seconds) == (100.0, 0.0)


def test_time_between_two_engines_is_not_counted(run: RunDir) -> None:
    write(run, started(100.0), step(1), FINISHED, started(1000.0, 2), RunFinished(status="completed", time=1010.0))
    summary = summarize_run(run)
    assert (summary.started, summary.seconds) == (100.0, 3.0 + 10.0)
    assert (summary.step, summary.loss) == (2, 1.0)


@pytest.mark.parametrize(
    "tail", ['{"v":1,"kind":"step","st', '{"kind":"step"}\n', "\x00\x00\n", '{"v":1,"kind":"run_started","pid":"x"}\n']
)
def test_what_is_no_event_at_the_end_is_passed_over(run: RunDir, tail: str) -> None:
    write(run, started(), step(1), step(2, loss=None), tail=tail)
    summary = summarize_run(run)
    assert (summary.step, summary.loss, summary.losses, summary.seconds) == (2, None, (1.0,), 2.0)


def test_a_newer_log_is_a_problem_and_no_end(run: RunDir) -> None:
    run.events_file.write_text('{"v":2,"kind":"run_started"}\n', encoding="utf-8")
    assert "version 2" in summarize_run(run).problem


def test_runs_are_listed_newest_first(run: RunDir, tmp_path: Path) -> None:
    other = create_run(tmp_path / "runs" / "two", config())
    os.utime(run.config_file, (1.0, 1.0))
    (tmp_path / "runs" / "no run").mkdir()
    (tmp_path / "runs" / "file").write_text("", encoding="utf-8")
    assert [found.path.name for found in run_folders(tmp_path / "runs")] == ["two", "one"]
    assert run_folders(tmp_path / "nowhere") == []
    with pytest.raises(DesktopFtError, match="can't be listed"):
        run_folders(other.config_file)


@pytest.mark.parametrize(
    ("method", "words"),
    [({"kind": "full"}, "full"), ({"use_dora": False, "rank": 8}, "LoRA, rank 8"), ({"rank": 32}, "DoRA, rank 32")],
)
def test_the_method_in_words(method: dict[str, object], words: str) -> None:
    assert method_words(config(**method)) == words
