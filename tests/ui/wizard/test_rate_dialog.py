"""The learning-rate finder: what a sweep tells is drawn, its suggestion is taken with a click, and where there is none that is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop_ft.core.config import Draft, load_config
from desktop_ft.core.events import ErrorRaised, LrPoint, LrSuggested, RunFinished
from desktop_ft.core.job import LrFindRequest, read_job
from desktop_ft.core.launcher import ENGINE_VARIABLE
from desktop_ft.jobs.job_model import JobModel
from desktop_ft.jobs.kept_thread import running_threads
from desktop_ft.ui.wizard.method_page import MethodPage
from desktop_ft.ui.wizard.rate_dialog import RateDialog
from tests.fakes.fake_engine import SCRIPT_VARIABLE
from tests.helpers.clipping import clipped_texts
from tests.ui.wizard.conftest import MakeWizard, is_quiet
from tests.ui.wizard.stand_ins import CPU, write_model


@pytest.fixture
def dialog(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> RateDialog:
    """A dialog whose job is made and never started."""

    def start(job: JobModel, environment: Mapping[str, str] | None = None) -> None:
        assert environment == {}
        job.status = "running"

    monkeypatch.setattr(JobModel, "start", start)
    config = Draft({"model": {"source": "demo"}, "data": {"train": "demo"}}).validated()
    made = RateDialog(config, CPU)
    qtbot.addWidget(made)
    made.show()
    return made


def sweep(dialog: RateDialog) -> JobModel:
    dialog.begin.click()
    job = dialog.job
    assert job is not None
    return job


def test_the_sweep_is_made_for_the_run_and_its_suggestion_is_used(dialog: RateDialog) -> None:
    taken: list[float] = []
    dialog.rate_chosen.connect(taken.append)
    job = sweep(dialog)
    request = read_job(job.folder)
    assert isinstance(request, LrFindRequest)
    assert (request.low, request.high) == (2e-4 / 32, 2e-4 * 32)
    assert load_config(job.folder / "run.yaml").data.train == "demo"
    job.fold([LrPoint(rate=1e-5, loss=2.0), LrPoint(rate=1e-4, loss=1.5), LrPoint(rate=1e-3, loss=9.0, has_diverged=True)])
    assert dialog.curve.accessibleDescription() == "1e-5: 2.000; 1e-4: 1.500; 1e-3: diverged"
    assert dialog.use.isHidden()
    job.fold([LrSuggested(rate=3e-5, message="The loss fell furthest at 0.0001."), RunFinished(status="completed")])
    assert dialog.detail.text() == "The loss fell furthest at 0.0001."
    assert dialog.use.text() == "&Use 3e-5"
    assert not dialog.curve.grab().isNull()
    QApplication.processEvents()
    assert clipped_texts(dialog) == []
    dialog.use.click()
    assert taken == [3e-5]
    assert not job.folder.exists()


def test_a_curve_without_a_suggestion_can_be_swept_again(dialog: RateDialog) -> None:
    job = sweep(dialog)
    job.fold([LrPoint(rate=1e-5, loss=2.0), LrSuggested(rate=None, message="No rate moves the loss."), RunFinished(status="completed")])
    assert (dialog.use.isHidden(), dialog.begin.isHidden(), dialog.detail.text()) == (True, False, "No rate moves the loss.")


def test_what_goes_wrong_is_said_in_the_dialog(dialog: RateDialog) -> None:
    job = sweep(dialog)
    job.fold([ErrorRaised(code="out_of_memory", title="Full", message="8 GiB.", hint="Shorter rows."), RunFinished(status="failed")])
    assert dialog.detail.text() == "Full. 8 GiB. Shorter rows."


def test_a_new_sweep_takes_the_place_of_the_one_before(dialog: RateDialog) -> None:
    first = sweep(dialog)
    first.fold([LrSuggested(rate=None, message="No rate moves the loss."), RunFinished(status="completed")])
    second = sweep(dialog)
    assert list(first.folder.parent.iterdir()) == [second.folder]
    assert not second.points


@pytest.mark.parametrize("is_closed", [False, True], ids=["cancelled", "cancelled, and the dialog is gone"])
def test_a_sweep_that_is_cancelled_while_it_works_leaves_nothing(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, is_closed: bool) -> None:
    """A real process, which is still there when the dialog closes."""
    monkeypatch.setenv(ENGINE_VARIABLE, "tests.fakes.fake_engine")
    monkeypatch.setenv(SCRIPT_VARIABLE, json.dumps({"step_seconds": 0.3}))
    made = RateDialog(Draft({"model": {"source": "demo"}, "data": {"train": "demo"}}).validated(), CPU)
    qtbot.addWidget(made)
    made.show()
    made.begin.click()
    job = made.job
    assert job is not None
    folder = job.folder
    qtbot.waitUntil(lambda: job.status == "running", timeout=20_000)
    made.cancel.click()
    if is_closed:
        made.deleteLater()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qtbot.waitUntil(lambda: not folder.exists(), timeout=20_000)
    qtbot.waitUntil(lambda: not running_threads(), timeout=20_000)


def test_the_method_page_offers_it_where_a_loss_says_something(make_wizard: MakeWizard, qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")))
    page = wizard.pages[3]
    assert isinstance(page, MethodPage)
    assert page.find_rate.isEnabled()
    wizard.model.set_objective("grpo")
    qtbot.waitUntil(lambda: is_quiet(wizard), timeout=20_000)
    assert not page.find_rate.isEnabled()
    assert "says nothing about the rate" in page.find_rate.toolTip()
