"""Background tasks, the GPU monitor and jobs other than training."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest
from pytestqt.qtbot import QtBot

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.runs import RunDir, live_engine
from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs.background import BackgroundTask, IsCancelled, ReportProgress, TaskProgress
from desktop_ft.jobs.gpu_monitor import GpuMonitor
from desktop_ft.jobs.job_model import JobModel
from desktop_ft.jobs.kept_thread import end_threads, running_threads
from tests.fakes.fake_engine import SCRIPT_FILE
from tests.jobs.conftest import WaitFor

pytestmark = pytest.mark.usefixtures("qapp")


# --- background tasks ------------------------------------------------------------------------------------------------


def test_a_result_comes_in_the_thread_of_the_receiver(qtbot: QtBot) -> None:
    def work(_cancelled: IsCancelled, _progress: ReportProgress) -> object:
        return threading.get_ident()

    task = BackgroundTask(work)
    with qtbot.waitSignal(task.succeeded) as signal:
        task.start()
    assert signal.args != [threading.get_ident()]
    assert task.wait(1000)


def test_a_known_error_and_an_unknown_one_take_their_own_roads(qtbot: QtBot) -> None:
    def known(_cancelled: IsCancelled, _progress: ReportProgress) -> object:
        raise DesktopFtError("x", "t", "m", "h")

    def unknown(_cancelled: IsCancelled, _progress: ReportProgress) -> object:
        raise ZeroDivisionError("seven by nothing")

    first, second = BackgroundTask(known), BackgroundTask(unknown)
    with qtbot.waitSignal(first.failed) as failed:
        first.start()
    with qtbot.waitSignal(second.crashed) as crashed:
        second.start()
    assert failed.args is not None
    assert failed.args[0].code == "x"
    assert crashed.args is not None
    assert "ZeroDivisionError: seven by nothing" in crashed.args[0]
    assert first.wait(1000)
    assert second.wait(1000)


def test_progress_is_told_ten_times_a_second_and_at_the_end(qtbot: QtBot) -> None:
    def work(_cancelled: IsCancelled, progress: ReportProgress) -> object:
        for done in range(1, 10_001):
            progress(done, 10_000, "rows")
        return None

    task = BackgroundTask(work)
    told: list[TaskProgress] = []
    task.progress_changed.connect(told.append)
    started = time.monotonic()
    with qtbot.waitSignal(task.succeeded):
        task.start()
    assert task.wait(1000)
    assert told[-1] == TaskProgress(10_000, 10_000, "rows")
    assert len(told) <= 2 + (time.monotonic() - started) * 10


def test_a_cancelled_task_says_nothing(wait_for: WaitFor) -> None:
    begun = threading.Event()

    def work(cancelled: IsCancelled, _progress: ReportProgress) -> object:
        begun.set()
        while not cancelled():
            time.sleep(0.005)
        return "too late"

    task = BackgroundTask(work)
    told: list[object] = []
    task.succeeded.connect(told.append)
    task.start()
    assert begun.wait(10)
    assert task in running_threads()
    task.cancel()
    wait_for(task.isFinished)
    assert told == []


def test_all_threads_end_together() -> None:
    def work(cancelled: IsCancelled, _progress: ReportProgress) -> object:
        while not cancelled():
            time.sleep(0.005)
        return None

    for _ in range(4):
        BackgroundTask(work).start()  # nobody keeps it: it must not be collected while it runs
    assert end_threads(5.0)
    assert running_threads() == ()


def test_a_thread_that_does_not_end_is_told() -> None:
    release = threading.Event()

    def work(_cancelled: IsCancelled, _progress: ReportProgress) -> object:
        return release.wait(10)

    BackgroundTask(work).start()
    assert not end_threads(0.05)
    release.set()
    assert end_threads(5.0)


# --- the GPU monitor -------------------------------------------------------------------------------------------------


class Source:
    def __init__(self) -> None:
        self.num_readings = 0
        self.is_closed = False
        self.thread = threading.get_ident()

    def read(self) -> object:
        self.num_readings += 1
        return self.num_readings

    def close(self) -> None:
        self.is_closed = True


def test_the_gpu_is_read_at_its_interval_and_let_go_of(wait_for: WaitFor) -> None:
    sources: list[Source] = []

    def make() -> Source:
        sources.append(Source())
        return sources[-1]

    monitor = GpuMonitor(make, interval_seconds=0.05)
    readings: list[object] = []
    monitor.reading_changed.connect(readings.append)
    monitor.start()
    wait_for(lambda: len(readings) >= 3)
    monitor.end_soon()
    assert monitor.wait(1000)
    assert readings[:3] == [1, 2, 3]
    assert sources[0].is_closed
    assert sources[0].thread != threading.get_ident()


def test_the_monitor_ends_at_once_in_the_middle_of_its_interval(wait_for: WaitFor) -> None:
    monitor = GpuMonitor(Source, interval_seconds=60.0)
    readings: list[object] = []
    monitor.reading_changed.connect(readings.append)
    monitor.start()
    wait_for(lambda: len(readings) == 1)
    started = time.monotonic()
    monitor.end_soon()
    assert monitor.wait(1000)
    assert time.monotonic() - started < 0.5


# --- jobs other than training ----------------------------------------------------------------------------------------


@pytest.fixture
def job_folder(workspace: Workspace) -> Path:
    folder = workspace.runs / "a-run" / "jobs" / "export-0001"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text("{}", encoding="utf-8")
    return folder


def test_an_export_is_followed_to_its_end(job_folder: Path, wait_for: WaitFor) -> None:
    model = JobModel(job_folder)
    told: list[tuple[int, int]] = []
    model.progress_changed.connect(lambda: told.append((model.done, model.total)))
    model.start()
    assert model.is_live
    wait_for(lambda: model.status == "completed")
    assert (model.phase, model.done, model.total) == ("export", 3, 3)
    assert [Path(exported.path) for exported in model.exported] == [job_folder / "merged"]
    assert model.verified is not None
    assert (model.verified.top1_agreement, model.error) == (1.0, None)
    again = JobModel(job_folder)
    again.open()
    wait_for(lambda: again.status == "completed")
    assert again.exported == model.exported
    assert end_threads(5.0)


def test_an_export_that_dies_says_why(job_folder: Path, wait_for: WaitFor) -> None:
    (job_folder / SCRIPT_FILE).write_text('{"die_at_step": 2, "die_how": "exit"}', encoding="utf-8")
    model = JobModel(job_folder)
    model.start()
    wait_for(lambda: model.status == "crashed")
    assert model.error is not None
    assert "exit code 3" in model.error.message
    assert "about to die" in model.error_details
    assert end_threads(5.0)


def test_an_export_can_be_cancelled(job_folder: Path, wait_for: WaitFor) -> None:
    (job_folder / SCRIPT_FILE).write_text('{"step_seconds": 0.3}', encoding="utf-8")
    model = JobModel(job_folder)
    model.start()
    wait_for(lambda: model.done >= 1)
    model.cancel()
    wait_for(lambda: model.status == "stopped")
    assert model.exported == []
    assert end_threads(5.0)


def test_an_export_goes_on_when_nobody_watches(job_folder: Path, wait_for: WaitFor) -> None:
    (job_folder / SCRIPT_FILE).write_text('{"step_seconds": 0.3}', encoding="utf-8")
    model = JobModel(job_folder)
    model.start()
    wait_for(lambda: model.status == "running")
    model.detach()
    assert end_threads(5.0)
    mark = live_engine(RunDir(job_folder))
    assert mark is not None
    assert psutil.pid_exists(mark.pid)
    again = JobModel(job_folder)
    again.open()
    wait_for(lambda: again.status == "completed")
    assert end_threads(5.0)


def test_a_result_that_waits_to_be_told_does_not_come_after_cancel(qtbot: QtBot) -> None:
    heard: list[object] = []
    task = BackgroundTask(lambda _cancelled, _progress: 7)
    task.succeeded.connect(heard.append)
    task.start()
    assert task.wait(5000)  # its end is told to this thread, which has not listened yet
    task.cancel()
    qtbot.wait(50)
    assert heard == []
