"""Measuring a worst-case step from the Review page: what it asks for, what it shows, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from PySide6.QtWidgets import QApplication

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import ErrorRaised, PhaseChanged, ProbeMeasured, Progress, RunFinished, RunStarted
from desktop_ft.core.job import ProbeRequest, read_job
from desktop_ft.core.memory.corrections import Correction
from desktop_ft.core.memory.measured import add_measurement, measured_file
from desktop_ft.jobs.job_model import JobModel
from desktop_ft.ui.wizard.probe_box import ProbeBox, correction_words
from desktop_ft.ui.wizard.wizard import LAST, NewRunWizard
from tests.core.test_measured import measured
from tests.helpers.clipping import clipped_texts
from tests.ui.wizard.conftest import NARROW, MakeWizard
from tests.ui.wizard.stand_ins import GPU

GIB = 1 << 30
MEASURED = ProbeMeasured(fits=True, process_bytes=3 * GIB, seconds_per_step=1.5, micro_batch_size=4, sequence_length=128)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str] | None]:
    """Environments of jobs that were started; nothing runs."""
    seen: list[Mapping[str, str] | None] = []

    def start(job: JobModel, environment: Mapping[str, str] | None = None) -> None:
        seen.append(environment)
        job.status = "starting"

    monkeypatch.setattr(JobModel, "start", start)
    return seen


@pytest.fixture
def wizard(make_wizard: MakeWizard, started: list[object]) -> NewRunWizard:
    made = make_wizard()
    made.go_to(LAST)
    return made


def box_of(wizard: NewRunWizard) -> ProbeBox:
    return wizard.review.probe


def begin(wizard: NewRunWizard) -> JobModel:
    box_of(wizard).begin.click()
    job = box_of(wizard).job
    assert job is not None
    return job


def test_it_measures_the_run_as_it_is_set_up(wizard: NewRunWizard, started: list[object]) -> None:
    box = box_of(wizard)
    assert (box.bar.isHidden(), box.cancel.isHidden(), box.measured.isHidden(), box.correction.isHidden()) == (True,) * 4
    job = begin(wizard)
    request = read_job(job.folder)
    assert wizard.model.data is not None
    assert request == ProbeRequest(wizard.model.data.longest)
    assert started == [{"CUDA_VISIBLE_DEVICES": "GPU-1"}]
    assert (box.begin.isHidden(), box.bar.isHidden(), box.cancel.isHidden()) == (True, False, False)
    job.fold([RunStarted(pid=1, num_steps=0), PhaseChanged(phase="load", detail="Loading demo")])
    assert box.detail.text() == "Loading demo"
    job.fold([Progress(phase="train", done=1, total=3, detail="Measuring the longest batch")])
    assert (box.bar.value(), box.bar.maximum()) == (1, 3)
    for _ in range(5):
        QApplication.processEvents()
    assert clipped_texts(wizard) == []


def test_the_result_stands_beside_the_estimate_until_a_setting_changes(wizard: NewRunWizard) -> None:
    job = begin(wizard)
    job.fold([MEASURED, RunFinished(status="completed")])
    box = box_of(wizard)
    assert box.measured.words().startswith("Measured: 3.00 GiB at its peak. The estimate was ")
    assert box.measured.words().endswith("A step takes at most 1.50 s.")
    assert not box.begin.isHidden()
    wizard.model.set("name", "another name")
    assert not box.measured.isHidden()
    wizard.model.set("method.rank", 64)
    assert box.measured.isHidden()


def test_what_was_measured_is_the_estimate_from_then_on(wizard: NewRunWizard) -> None:
    model = wizard.model
    assert model.model is not None
    assert model.data is not None
    job = begin(wizard)
    config = model.config()
    one = measured(config, model.model, GPU, seconds_per_step=6.0)
    assert model.estimate is not None
    from desktop_ft.core.memory import make_plan

    plan = make_plan(config, model.model, GPU, model.estimate.choices, model.data.longest)
    add_measurement(replace(one, plan=plan, process_bytes=3 * GIB, evaluation_seconds=None))
    job.fold([MEASURED, RunFinished(status="completed")])
    assert model.estimate.total_bytes == 3 * GIB
    assert box_of(wizard).correction.words().startswith("The estimate is what this very run took")
    assert model.resolved is not None
    minutes = round(model.resolved.num_steps * 6 / 60)
    assert wizard.review.steps.note.text() == f"at most {minutes} min, measured here"


def test_a_full_memory_is_said_with_its_numbers(wizard: NewRunWizard) -> None:
    full = replace(MEASURED, fits=False, seconds_per_step=None, message="Training step 1 needed 2.00 GiB more; 1.00 GiB were free.")
    begin(wizard).fold([full, RunFinished(status="completed")])
    words = "Measured: the memory is too small. Training step 1 needed 2.00 GiB more; 1.00 GiB were free. The process held 3.0 GiB by then."
    assert box_of(wizard).measured.words() == words


def test_a_failure_and_a_cancelled_probe_are_said(wizard: NewRunWizard) -> None:
    begin(wizard).fold([ErrorRaised(code="x", title="No", message="It broke.", hint="Mend it."), RunFinished(status="failed")])
    assert box_of(wizard).measured.words() == "No. It broke. Mend it."
    begin(wizard).fold([RunFinished(status="stopped")])
    assert box_of(wizard).measured.words() == "The measurement was cancelled."


def test_cancel_and_leaving_the_wizard_end_it(wizard: NewRunWizard, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled: list[JobModel] = []
    monkeypatch.setattr(JobModel, "cancel", lambda job: cancelled.append(job))
    job = begin(wizard)
    box_of(wizard).cancel.click()
    wizard.model.close()
    assert cancelled == [job, job]


def test_what_keeps_it_from_being_measured_is_said(wizard: NewRunWizard) -> None:
    wizard.model.set("training.learning_rate", -1)
    assert not box_of(wizard).begin.isEnabled()
    wizard.model.set("training.learning_rate", 1e-4)
    assert box_of(wizard).begin.isEnabled()


def test_a_damaged_file_is_told_once(make_wizard: MakeWizard, started: list[object]) -> None:
    wizard = make_wizard()
    told: list[DesktopFtError] = []
    wizard.error_raised.connect(told.append)
    measured_file().parent.mkdir(parents=True, exist_ok=True)
    measured_file().write_text("{", encoding="utf-8")
    wizard.model.take_measurements()
    wizard.model.take_measurements()
    assert [error.code for error in told] == ["measurements_unreadable"]


@pytest.mark.parametrize(
    "correction, words",
    [
        (Correction("similar", 3, 0.021), "Corrected by 3 measurements on this device: + 2.1 %."),
        (Correction("similar", 1, -0.05), "Corrected by 1 measurement on this device: \N{MINUS SIGN} 5.0 %."),
        (Correction("context", 1, 0.01), "The CUDA context was measured on this card: + 1.0 %."),
    ],
)
def test_a_correction_in_words(correction: Correction, words: str) -> None:
    assert correction_words(correction) == words


def test_nothing_is_cut_in_a_narrow_window(make_wizard: MakeWizard, started: list[object]) -> None:
    wizard = make_wizard(size=NARROW)
    wizard.go_to(LAST)
    begin(wizard).fold([MEASURED, RunFinished(status="completed")])
    for _ in range(5):
        QApplication.processEvents()
    assert clipped_texts(wizard) == []
