"""The worker against an engine that does what engines do: finish, die, stall, lie."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time

import numpy as np
import pytest

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail, EventWriter
from desktop_ft.core.events import RunFinished, RunStarted, StepDone, encode_event
from desktop_ft.core.runs import RunDir, live_engine
from desktop_ft.jobs.engine_process import exit_words
from desktop_ft.jobs.training_worker import EngineEnd, TrainingWorker, console_tail
from tests.fakes.fake_engine import SAMPLE_PROMPT, loss_at
from tests.jobs.conftest import Follow, Followed, MakeRun, WaitFor

NOT_WINDOWS = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def ended(followed: Followed) -> EngineEnd:
    """The only end that was told."""
    assert len(followed.ends) == 1
    end = followed.ends[0]
    assert isinstance(end, EngineEnd)
    return end


def has_ended(followed: Followed) -> bool:
    return bool(followed.ends) and followed.worker.isFinished()


def test_a_run_is_followed_to_its_end(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    followed = follow(make_run(num_steps=12, eval_every=4, save_every=6))
    wait_for(lambda: has_ended(followed))
    model = followed.model
    assert ended(followed) == EngineEnd("completed", exit_code=0, last_checkpoint_step=12)
    assert (model.status, model.step, model.num_steps, model.device) == ("completed", 12, 12, "Fake device")
    assert model.curves["loss"].steps.tolist() == list(range(1, 13))
    np.testing.assert_allclose(model.curves["loss"].values, [loss_at(step) for step in range(1, 13)])
    assert model.curves["eval_loss"].steps.tolist() == [0, 4, 8, 12]
    assert [sample.step for sample in model.samples[SAMPLE_PROMPT]] == [0, 4, 8, 12]
    assert sorted(model.checkpoints) == [6, 12]
    assert model.best_evaluation is not None
    assert model.best_evaluation.step == 12
    assert model.error is None
    assert not followed.errors


def test_batches_come_at_most_ten_a_second(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    started = time.monotonic()
    followed = follow(make_run(num_steps=100, step_seconds=0.005, eval_every=0, save_every=0))
    wait_for(lambda: has_ended(followed))
    assert len(followed.batches) <= (time.monotonic() - started) * 10 + 1
    assert len(followed.model.curves["loss"]) == 100


def test_a_line_written_in_halves_is_one_event(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    followed = follow(make_run(num_steps=6, half_line_at_step=3, half_line_seconds=0.25))
    wait_for(lambda: has_ended(followed))
    assert followed.model.curves["loss"].steps.tolist() == [1, 2, 3, 4, 5, 6]


def test_garbage_in_the_log_is_passed_over(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    followed = follow(make_run(num_steps=6, garbage_at_step=2))
    wait_for(lambda: has_ended(followed))
    assert len(followed.model.curves["loss"]) == 6
    assert [warning.code for warning in followed.model.warnings] == ["odd"]


def test_a_loss_that_is_no_number_is_a_gap(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    followed = follow(make_run(num_steps=6, nan_at_step=4))
    wait_for(lambda: has_ended(followed))
    values = followed.model.curves["loss"].values
    assert [bool(np.isnan(value)) for value in values] == [False, False, False, True, False, False]
    assert math.isclose(followed.model.curves["loss"].last or 0.0, loss_at(6))


# --- engines that die ------------------------------------------------------------------------------------------------


def test_an_exception_in_the_engine_is_told_with_its_traceback(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    followed = follow(make_run(die_at_step=7, die_how="exception"))
    wait_for(lambda: has_ended(followed))
    end, model = ended(followed), followed.model
    assert (end.status, end.exit_code, end.last_checkpoint_step) == ("failed", 1, 5)
    assert model.error is not None
    assert model.error.code == "fake_failure"
    assert "RuntimeError: the script says so" in model.error_details


@NOT_WINDOWS
@pytest.mark.parametrize(("how", "code", "words"), [("kill", -9, "SIGKILL"), ("segfault", -11, "SIGSEGV"), ("exit", 3, "exit code 3")])
def test_an_engine_that_dies_without_a_word_is_a_crash(
    make_run: MakeRun, follow: Follow, wait_for: WaitFor, how: str, code: int, words: str
) -> None:
    followed = follow(make_run(die_at_step=7, die_how=how))
    wait_for(lambda: has_ended(followed))
    end, model = ended(followed), followed.model
    assert (end.status, end.exit_code, end.last_checkpoint_step) == ("crashed", code, 5)
    assert words in end.reason
    assert f"about to die: {how}" in end.console_tail
    assert model.status == "crashed"
    assert model.error is not None
    assert "at step 6 of 10" in model.error.message
    assert "checkpoint at step 5" in model.error.hint
    assert "about to die" in model.error_details


def test_an_engine_that_dies_before_its_first_event_is_a_crash(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run(die_at_step=0, die_how="exit")
    followed = follow(run)
    wait_for(lambda: has_ended(followed))
    assert ended(followed).status == "crashed"
    replayed = follow(run, launch=False)
    wait_for(lambda: has_ended(replayed))
    assert ended(replayed).status == "crashed"


@NOT_WINDOWS
def test_half_a_line_of_a_killed_engine_is_repaired_by_the_next(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run(num_steps=10, half_line_at_step=7, half_line_seconds=30.0)
    first = follow(run)
    wait_for(lambda: first.model.step == 6)
    wait_for(lambda: run.events_file.read_bytes()[-1:] != b"\n")
    mark = live_engine(run)
    assert mark is not None
    kill(mark.pid)
    wait_for(lambda: has_ended(first))
    assert ended(first).status == "crashed"
    (run.path / "fake.json").write_text("{}", encoding="utf-8")
    second = follow(run)
    wait_for(lambda: has_ended(second))
    assert ended(second).status == "completed"
    assert second.model.curves["loss"].steps.tolist() == list(range(1, 11))


def kill(pid: int) -> None:
    import psutil

    psutil.Process(pid).kill()


# --- stopping --------------------------------------------------------------------------------------------------------


def test_a_stop_saves_and_ends_the_run(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    followed = follow(make_run(num_steps=5000, save_every=0))
    wait_for(lambda: followed.model.step >= 3)
    followed.worker.request_stop(60.0)
    wait_for(lambda: has_ended(followed))
    end = ended(followed)
    assert (end.status, end.exit_code) == ("stopped", 0)
    assert end.last_checkpoint_step == followed.model.step
    assert followed.model.can_resume


def test_an_engine_that_ignores_a_stop_is_killed_after_the_grace(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run(num_steps=5000, ignore_stop=True)
    followed = follow(run)
    wait_for(lambda: followed.model.step >= 6)
    followed.worker.request_stop(0.3)
    wait_for(lambda: has_ended(followed))
    end = ended(followed)
    assert (end.status, end.last_checkpoint_step is not None) == ("stopped", True)
    assert [warning.code for warning in followed.model.warnings] == ["engine_killed"]
    assert live_engine(run) is None
    replayed = follow(run, launch=False)
    wait_for(lambda: has_ended(replayed))
    assert ended(replayed).status == "stopped"


def test_a_stop_during_a_slow_start_is_obeyed(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    followed = follow(make_run(num_steps=5000, start_seconds=0.5))
    followed.worker.request_stop(60.0)
    wait_for(lambda: has_ended(followed))
    assert ended(followed).status == "stopped"
    assert followed.model.step == 1


def test_a_stop_for_an_earlier_engine_does_not_end_the_next(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run(num_steps=400, ignore_stop=True, save_every=5)
    first = follow(run)
    wait_for(lambda: first.model.step >= 6)
    first.worker.request_stop(0.0)
    wait_for(lambda: has_ended(first))
    (run.path / "fake.json").write_text(json.dumps({"num_steps": 20}), encoding="utf-8")
    second = follow(run)
    wait_for(lambda: has_ended(second))
    assert ended(second).status == "completed"


def test_requests_are_answered_by_events(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    followed = follow(make_run(num_steps=5000, save_every=0, eval_every=0))
    answers: list[object] = []
    followed.model.request_answered.connect(answers.append)
    wait_for(lambda: followed.model.step >= 1)
    followed.worker.request("save")
    wait_for(lambda: len(answers) == 1)
    assert len(followed.model.checkpoints) == 1
    followed.worker.request_stop()
    wait_for(lambda: has_ended(followed))


# --- attaching and replaying -----------------------------------------------------------------------------------------


def test_a_second_worker_attaches_where_the_first_let_go(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run(num_steps=5000, save_every=0)
    first = follow(run)
    wait_for(lambda: first.model.step >= 3)
    first.worker.detach()
    assert first.worker.wait(1000)
    assert not first.ends
    assert live_engine(run) is not None
    second = follow(run, launch=False)
    wait_for(lambda: second.model.status == "running" and second.model.engine is not None and second.model.step >= 3)
    second.worker.request_stop()
    wait_for(lambda: has_ended(second))
    assert (ended(second).status, ended(second).exit_code) == ("stopped", 0)


def test_two_workers_follow_one_run(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run(num_steps=60, step_seconds=0.02)
    first = follow(run)
    wait_for(lambda: live_engine(run) is not None)
    second = follow(run, launch=True)
    wait_for(lambda: has_ended(first) and has_ended(second))
    for followed in (first, second):
        assert ended(followed).status == "completed"
        assert followed.model.curves["loss"].steps.tolist() == list(range(1, 61))
    assert sum(isinstance(event, RunStarted) for event in EventTail(run.events_file).read_all()) == 1


def test_two_launches_at_once_follow_the_engine_that_took_the_lock(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run(num_steps=40, step_seconds=0.02, start_seconds=0.3)
    both = [follow(run), follow(run)]
    wait_for(lambda: all(has_ended(followed) for followed in both))
    assert [ended(followed).status for followed in both] == ["completed", "completed"]
    assert sum(isinstance(event, RunStarted) for event in EventTail(run.events_file).read_all()) == 1


def test_a_finished_run_is_replayed(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run(num_steps=8)
    first = follow(run)
    wait_for(lambda: has_ended(first))
    replayed = follow(run, launch=False)
    wait_for(lambda: has_ended(replayed))
    assert ended(replayed) == EngineEnd("completed", last_checkpoint_step=8, was_seen=False)
    assert replayed.model.curves["loss"].values.tolist() == first.model.curves["loss"].values.tolist()


def test_a_run_that_was_never_started_stays_new(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    followed = follow(make_run(), launch=False)
    wait_for(followed.worker.isFinished)
    assert (followed.model.status, followed.ends, followed.errors) == ("new", [], [])


def test_a_log_of_a_newer_version_is_refused(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    followed = follow(make_run(num_steps=10, newer_version_at_step=3))
    wait_for(lambda: bool(followed.errors))
    error = followed.errors[0]
    assert isinstance(error, DesktopFtError)
    assert error.code == "events_too_new"
    assert followed.model.error is error
    wait_for(followed.worker.isFinished)


def test_a_folder_that_is_deleted_is_told(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run(num_steps=5000, save_every=0, eval_every=0)
    followed = follow(run)
    wait_for(lambda: followed.model.step >= 2)
    mark = live_engine(run)
    assert mark is not None
    kill(mark.pid)
    shutil.rmtree(run.path)
    wait_for(lambda: bool(followed.errors or followed.ends))
    told = [error.code for error in followed.errors if isinstance(error, DesktopFtError)]
    assert told == ["run_folder_gone"] or ended(followed).status == "crashed"
    assert not followed.model.is_live


def test_a_huge_log_is_replayed_in_pieces(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run()
    num_steps = 60_000
    write_long_log(run, num_steps)
    followed = follow(run, launch=False)
    wait_for(lambda: has_ended(followed))
    assert ended(followed).status == "completed"
    assert len(followed.model.curves["loss"]) == num_steps
    assert max(followed.batches) < num_steps / 2


def write_long_log(run: RunDir, num_steps: int) -> None:
    with run.events_file.open("w", encoding="utf-8") as file:
        file.write(encode_event(RunStarted(pid=1, num_steps=num_steps, time=1.0)) + "\n")
        for step in range(1, num_steps + 1):
            file.write(encode_event(StepDone(seq=step, time=1.0 + step, step=step, epoch=0.0, loss=1.0, seconds=1.0)) + "\n")
        file.write(encode_event(RunFinished(seq=num_steps + 1, time=num_steps + 2.0, status="completed", step=num_steps)) + "\n")


def test_nothing_piles_up_while_the_owner_is_busy(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run()
    write_long_log(run, 60_000)
    followed = follow(run, launch=False)
    assert not followed.worker.wait(1500)  # The event loop stands still meanwhile, so the worker must wait.
    assert followed.batches == []
    wait_for(lambda: has_ended(followed))
    assert len(followed.model.curves["loss"]) == 60_000


def test_detaching_is_prompt_in_the_middle_of_a_replay(make_run: MakeRun, follow: Follow) -> None:
    run = make_run()
    write_long_log(run, 60_000)
    followed = follow(run, launch=False)
    followed.worker.detach()
    assert followed.worker.wait(1000)


def test_a_worker_that_takes_over_tells_everything_once(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run()
    write_long_log(run, 60_000)
    first = follow(run, launch=False)
    wait_for(lambda: first.model.step > 0)
    first.worker.detach()
    assert first.worker.wait(1000)
    assert first.model.step < 60_000
    second = TrainingWorker(run, launch=False, after=first.worker)
    told: list[StepDone] = []
    second.events_received.connect(lambda events: told.extend(event for event in events if isinstance(event, StepDone)))
    first.model.follow(second)
    second.start()
    wait_for(lambda: first.model.end is not None)
    assert first.model.curves["loss"].steps.tolist() == list(range(1, 60_001))
    assert [told[0].step, told[-1].step, len(told)] == [60_001 - len(told), 60_000, len(told)]


def test_a_stop_that_cannot_be_written_is_told_and_still_ends_the_run(make_run: MakeRun, follow: Follow, wait_for: WaitFor) -> None:
    run = make_run(num_steps=5000, save_every=0, eval_every=0)
    (run.path / "control").write_text("a file where the requests should go", encoding="utf-8")
    followed = follow(run)
    told: list[DesktopFtError] = []
    followed.worker.request_failed.connect(told.append)
    wait_for(lambda: followed.model.step >= 1)
    followed.worker.request_stop(0.2)
    wait_for(lambda: has_ended(followed))
    assert [error.code for error in told] == ["file_not_writable"]
    assert ended(followed).status == "stopped"


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [(None, "without a word"), (1, "exit code 1"), (-15, "SIGTERM"), (-99, "signal 99"), (0xC0000005 - (1 << 32), "access violation")],
)
def test_exit_codes_are_put_into_words(code: int | None, words: str) -> None:
    assert words in exit_words(code)


def test_the_tail_of_the_console_starts_with_a_whole_line(make_run: MakeRun) -> None:
    run = make_run()
    assert console_tail(run) == ""
    run.console_file.write_bytes(b"first line\nsecond \xff line\n")
    assert console_tail(run, 16) == "second \ufffd line\n"
    assert console_tail(run, 1000) == "first line\nsecond \ufffd line\n"


def test_events_of_a_killed_run_go_on_counting(make_run: MakeRun) -> None:
    run = make_run()
    writer = EventWriter(run.events_file)
    writer.write(RunStarted(pid=1, num_steps=1))
    writer.close()
    again = EventWriter(run.events_file)
    assert again.write(RunFinished(status="stopped")).seq == 1
    again.close()
