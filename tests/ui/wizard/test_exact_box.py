"""The link "Compute exactly" in the memory panel: the job it makes, the number it shows, and when that goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop_ft.core.events import DryRunDone, ErrorRaised, RunFinished
from desktop_ft.core.job import DryRunRequest, read_job
from desktop_ft.jobs.job_model import JobModel
from tests.helpers.clipping import clipped_texts
from tests.ui.wizard.conftest import NARROW, MakeWizard, is_quiet
from tests.ui.wizard.stand_ins import write_model

GIB = 1 << 30
DONE = DryRunDone(
    total_bytes=2 * GIB, allocated_bytes=GIB, reserved_bytes=GIB, num_layers=32, num_layers_run=4, seconds=3.0, holes_bytes=GIB
)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[JobModel]:
    """Jobs that are made and never started."""
    made: list[JobModel] = []

    def start(job: JobModel, environment: Mapping[str, str] | None = None) -> None:
        assert environment == {"CUDA_VISIBLE_DEVICES": ""}
        job.status = "running"
        made.append(job)

    monkeypatch.setattr(JobModel, "start", start)
    return made


def test_the_number_is_shown_until_a_setting_changes(make_wizard: MakeWizard, jobs: list[JobModel], qtbot: QtBot, tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")), data="demo", size=NARROW)
    box = wizard.panel.exact
    assert box.isHidden()
    wizard.panel.set_page("review")
    assert (box.isHidden(), box.link.isHidden(), box.stop.isHidden()) == (False, False, True)
    box.link.click()
    assert (box.link.isHidden(), box.stop.isHidden()) == (True, False)
    request = read_job(jobs[0].folder)
    assert isinstance(request, DryRunRequest)
    assert request.device_name == wizard.model.device.name
    jobs[0].fold([DONE, RunFinished(status="completed")])
    assert box.number.text().startswith("2.00")
    assert box.detail.text() == "It fits. Rows of different lengths can add 1.0 GiB. From 4 of 32 blocks in 3 s."
    assert not jobs[0].folder.exists()
    QApplication.processEvents()
    assert clipped_texts(box) == []
    wizard.model.set("method.rank", 8)
    qtbot.waitUntil(lambda: is_quiet(wizard), timeout=20_000)
    assert (box.number.isHidden(), box.link.isHidden()) == (True, False)


def test_what_goes_wrong_is_said_and_cancelling_forgets(make_wizard: MakeWizard, jobs: list[JobModel], tmp_path: Path) -> None:
    wizard = make_wizard(model=str(write_model(tmp_path / "tiny")), data="demo")
    wizard.panel.set_page("review")
    box = wizard.panel.exact
    box.link.click()
    jobs[0].fold([ErrorRaised(code="x", title="Too slow", message="120 s.", hint="Again."), RunFinished(status="failed")])
    assert box.detail.text() == "Too slow. 120 s. Again."
    box.link.click()
    box.stop.click()
    assert (box.link.isHidden(), box.detail.isHidden()) == (False, True)
    jobs[1].fold([RunFinished(status="stopped")])
    assert not jobs[1].folder.exists()
