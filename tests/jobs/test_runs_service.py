"""The list of runs, starting and resuming, deleting and its undo, and programs that are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from desktop_ft.core.config import RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import RunStarted
from desktop_ft.core.launcher import start_engine
from desktop_ft.core.runs import RunDir, live_engine
from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.jobs.runs_service import RunsService
from tests.fakes.fake_engine import SCRIPT_VARIABLE, loss_at
from tests.jobs.conftest import MakeRun, WaitFor

NOT_WINDOWS = pytest.mark.skipif(sys.platform == "win32", reason="signals")
WINDOW = """
import sys
from pathlib import Path
from PySide6.QtCore import QCoreApplication
from desktop_ft.core.workspace import default_workspace
from desktop_ft.core.config import load_config
from desktop_ft.jobs.runs_service import RunsService
app = QCoreApplication([])
service = RunsService(default_workspace())
model = service.start(load_config(Path(sys.argv[1])))
model.curves_changed.connect(lambda: print(model.run.path, model.step, flush=True))
app.exec()
"""


@pytest.fixture
def errors(service: RunsService) -> list[DesktopFtError]:
    found: list[DesktopFtError] = []
    service.failed.connect(found.append)
    return found


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets what the engines of folders without their own script do."""
    return lambda text: monkeypatch.setenv(SCRIPT_VARIABLE, text)


def is_done(model: RunModel) -> bool:
    return model.end is not None


def scan(service: RunsService, wait_for: WaitFor, condition: Callable[[], bool]) -> None:
    service.refresh()
    wait_for(condition)


def test_a_started_run_appears_in_the_list(
    service: RunsService, config: RunConfig, script: Callable[[str], None], wait_for: WaitFor
) -> None:
    script('{"num_steps": 12}')
    opened: list[RunModel] = []
    service.run_opened.connect(opened.append)
    model = service.start(config)
    assert model is not None
    assert opened == [model]
    assert model.status == "starting"
    assert service.open(model.run.path) is model
    wait_for(lambda: bool(service.runs()) and service.runs()[0].status == "completed")
    summary = service.runs()[0]
    assert (summary.name, summary.model, summary.method, summary.objective) == ("a run", "demo", "DoRA, rank 16", "sft")
    assert (summary.step, summary.num_steps, summary.problem) == (12, 12, "")
    assert summary.loss == pytest.approx(loss_at(12))
    assert summary.eval_loss == pytest.approx(loss_at(10) + 0.1)
    assert summary.losses == pytest.approx([loss_at(step) for step in range(1, 13)])
    assert summary.started is not None
    assert 0 < summary.seconds < 20


def test_a_run_that_cannot_be_read_is_listed_with_its_problem(service: RunsService, make_run: MakeRun, wait_for: WaitFor) -> None:
    run = make_run()
    run.config_file.write_text("trainin: {}\n", encoding="utf-8")
    scan(service, wait_for, lambda: len(service.runs()) == 1)
    assert "trainin" in service.runs()[0].problem
    assert service.runs()[0].name == run.path.name


def test_an_unchanged_run_is_not_read_again(service: RunsService, make_run: MakeRun, wait_for: WaitFor) -> None:
    make_run()
    scan(service, wait_for, lambda: len(service.runs()) == 1)
    first = service.runs()[0]
    make_run("another")
    scan(service, wait_for, lambda: len(service.runs()) == 2)
    assert any(summary is first for summary in service.runs())


def test_a_stopped_run_resumes_in_the_same_model(
    service: RunsService, config: RunConfig, script: Callable[[str], None], wait_for: WaitFor
) -> None:
    script('{"num_steps": 5000}')
    model = service.start(config)
    assert model is not None
    wait_for(lambda: model.step >= 3)
    service.stop(model.run.path)
    assert model.is_stopping
    wait_for(lambda: is_done(model))
    assert (model.status, model.is_stopping) == ("stopped", False)
    stopped_at = model.step
    script(f'{{"num_steps": {stopped_at + 5}}}')
    assert service.resume(model.run.path) is model
    assert model.status == "starting"
    wait_for(lambda: model.status == "completed")
    assert model.curves["loss"].steps.tolist() == list(range(1, stopped_at + 6))


def test_resuming_a_run_that_was_never_opened_replays_it_first(service: RunsService, make_run: MakeRun, wait_for: WaitFor) -> None:
    run = make_run(num_steps=10, die_at_step=7, die_how="exit")
    first = service.open(run.path)
    assert first is not None
    service.resume(run.path)
    wait_for(lambda: first.status == "crashed")
    service.shutdown()
    again = RunsService(service.workspace)
    model = again.resume(run.path)
    assert model is not None
    wait_for(lambda: model.status == "completed")
    assert model.curves["loss"].steps.tolist() == list(range(1, 11))
    assert model.facts is not None
    assert model.facts.start_step == 5
    assert again.shutdown()


@NOT_WINDOWS
def test_a_killed_engine_is_shown_as_crashed_and_resumes_from_its_checkpoint(
    service: RunsService, make_run: MakeRun, wait_for: WaitFor
) -> None:
    run = make_run(num_steps=400, save_every=5)
    model = service.resume(run.path)
    assert model is not None
    wait_for(lambda: model.step >= 12)
    mark = live_engine(run)
    assert mark is not None
    psutil.Process(mark.pid).kill()
    wait_for(lambda: model.status == "crashed")
    wait_for(lambda: [summary.status for summary in service.runs()] == ["crashed"])
    checkpoint = model.last_checkpoint_step
    assert checkpoint is not None
    assert checkpoint >= 10
    (run.path / "fake.json").write_text('{"num_steps": 420, "step_seconds": 0}', encoding="utf-8")
    service.resume(run.path)
    wait_for(lambda: model.status == "completed")
    sessions = [event for event in EventTail(run.events_file).read_all() if isinstance(event, RunStarted)]
    assert [session.start_step for session in sessions] == [0, checkpoint]
    assert model.curves["loss"].steps.tolist() == list(range(1, 421))


# --- programs that end -----------------------------------------------------------------------------------------------


def test_the_engine_outlives_the_service(service: RunsService, make_run: MakeRun, wait_for: WaitFor) -> None:
    run = make_run(num_steps=5000, save_every=0)
    model = service.resume(run.path)
    assert model is not None
    wait_for(lambda: model.step >= 2)
    started = time.monotonic()
    assert service.shutdown()
    assert time.monotonic() - started < 2.0
    assert live_engine(run) is not None
    again = RunsService(service.workspace)
    live = again.attach_live()
    assert [found.run for found in live] == [run]
    wait_for(lambda: live[0].status == "running" and live[0].step > model.step)
    again.stop(run.path)
    wait_for(lambda: live[0].status == "stopped")
    assert again.shutdown()


@NOT_WINDOWS
def test_a_run_goes_on_when_the_program_is_killed(
    service: RunsService, config: RunConfig, script: Callable[[str], None], wait_for: WaitFor, tmp_path: Path
) -> None:
    from desktop_ft.core.config import save_config

    script('{"num_steps": 100000, "save_every": 0, "eval_every": 0}')
    save_config(config, tmp_path / "run.yaml")
    window = subprocess.Popen([sys.executable, "-c", WINDOW, str(tmp_path / "run.yaml")], stdout=subprocess.PIPE, text=True)
    assert window.stdout is not None
    run = RunDir(Path(window.stdout.readline().rsplit(" ", 1)[0]))
    window.kill()
    window.wait(10)
    window.stdout.close()
    assert live_engine(run) is not None
    model = service.attach_live()[0]
    assert model.run == run
    wait_for(lambda: model.status == "running" and model.step > 0)
    before = model.step
    wait_for(lambda: model.step > before)
    service.stop(run.path)
    wait_for(lambda: is_done(model))
    assert model.end is not None
    assert model.status == "stopped"
    assert model.end.last_checkpoint_step == model.step


def test_a_run_that_another_program_resumes_is_followed_again(service: RunsService, make_run: MakeRun, wait_for: WaitFor) -> None:
    run = make_run(num_steps=40, die_at_step=7, die_how="exit", step_seconds=0.05)
    model = service.resume(run.path)
    assert model is not None
    wait_for(lambda: model.status == "crashed" and not service.is_live(run.path))
    child = start_engine(run)
    try:
        wait_for(lambda: live_engine(run) is not None)
        service.refresh()
        wait_for(lambda: model.status == "completed")
    finally:
        child.wait(20)
    assert model.curves["loss"].steps.tolist() == list(range(1, 41))


# --- deleting --------------------------------------------------------------------------------------------------------


def test_a_deleted_run_can_be_brought_back(
    service: RunsService, make_run: MakeRun, wait_for: WaitFor, errors: list[DesktopFtError], workspace: Workspace
) -> None:
    run = make_run()
    service.open(run.path)
    service.delete(run.path)
    assert not run.path.exists()
    assert service.deleted_runs() == (workspace.home / "trash" / run.path.name,)
    assert service.undo_delete(run.path)
    assert run.config_file.is_file()
    service.delete(run.path)
    task = service.empty_trash()
    wait_for(task.isFinished)
    assert service.deleted_runs() == ()
    assert not service.undo_delete(run.path)
    assert [error.code for error in errors] == ["run_missing"]


def test_a_live_run_is_not_deleted_but_can_be_discarded(
    service: RunsService, make_run: MakeRun, wait_for: WaitFor, errors: list[DesktopFtError]
) -> None:
    run = make_run(num_steps=5000)
    model = service.resume(run.path)
    assert model is not None
    wait_for(lambda: model.step >= 1)
    service.delete(run.path)
    assert [error.code for error in errors] == ["run_is_running"]
    deleted: list[Path] = []
    service.run_deleted.connect(deleted.append)
    service.stop_and_discard(run.path)
    wait_for(lambda: deleted == [run.path])
    assert not run.path.exists()


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_request_to_a_run_that_has_ended_is_an_error(
    service: RunsService, make_run: MakeRun, wait_for: WaitFor, errors: list[DesktopFtError]
) -> None:
    run = make_run(num_steps=2)
    model = service.resume(run.path)
    assert model is not None
    wait_for(lambda: model.status == "completed" and not service.is_live(run.path))
    service.request(run.path, "save")
    wait_for(lambda: bool(errors))
    assert [error.code for error in errors] == ["run_not_running"]


def test_a_workspace_that_cannot_be_written_is_an_error(config: RunConfig, tmp_path: Path, qapp: object) -> None:
    assert qapp is not None
    (tmp_path / "home").write_text("a file, not a folder", encoding="utf-8")
    service = RunsService(Workspace(tmp_path / "home"))
    errors: list[DesktopFtError] = []
    service.failed.connect(errors.append)
    assert service.start(config) is None
    assert [error.code for error in errors] == ["file_not_writable"]
    assert service.shutdown()


def test_a_folder_without_a_run_is_an_error(service: RunsService, errors: list[DesktopFtError], tmp_path: Path) -> None:
    assert service.open(tmp_path / "nothing") is None
    assert [error.code for error in errors] == ["run_missing"]
