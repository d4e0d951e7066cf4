"""Measuring one worst-case step of the run being set up: the button, how far it is, what was measured, and what that corrects."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QProgressBar, QWidget

from desktop_ft.core.config import RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import ProbeMeasured
from desktop_ft.core.gpu import environment_for
from desktop_ft.core.job import JobDir
from desktop_ft.core.memory import MemoryEstimate
from desktop_ft.core.memory.corrections import Correction
from desktop_ft.core.probe import create_probe, remove_probe
from desktop_ft.jobs.job_model import JobModel
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import Label, format_gib, format_number, format_size
from desktop_ft.ui.wizard.notices import AdviceLine

_SETTINGS = {"model", "data", "method", "objective", "training"}
"""What a measurement holds for; the name and where checkpoints go change nothing."""


class ProbeBox(QWidget):
    """Measures the model's run in a job of the engine; the estimate follows.

    Args:
        model: The run being set up.
    """

    def __init__(self, model: NewRunModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self.job: JobModel | None = None
        self._config: RunConfig | None = None
        self._expected: MemoryEstimate | None = None
        self.begin = button(self.tr("&Measure one worst-case step"), "", "gauge", on_click=self.start)
        self.begin.setToolTip(
            self.tr("Puts the longest rows of the data through the run's own trainer: two steps, an evaluation and a checkpoint.")
        )
        self.cancel = button(self.tr("Cancel"), on_click=self.stop)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(self.tr("Progress of the measurement"))
        self.detail = Label("", "caption", "2")
        self.measured, self.correction = AdviceLine(), AdviceLine()
        line = row(self.begin, self.cancel, (self.bar, 1), self.detail, None, gap=10)
        self.setLayout(column(line, self.measured, self.correction, gap=6))
        for signal in (model.memory_changed, model.draft_changed, model.data_changed, model.model_changed):
            signal.connect(self.refresh)
        model.closed.connect(self.stop)
        self.refresh()

    # --- doing -----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to measure; what was measured before is no longer shown."""
        model = self._model
        try:
            config = model.config()
            folder = create_probe(config, None if model.data is None else model.data.longest).path
        except DesktopFtError as error:
            model.error_raised.emit(error)
            return
        self._config, self._expected = config, model.estimate
        job = self.job = JobModel(folder, self)
        for signal in (job.progress_changed, job.messages_changed):
            signal.connect(self.refresh)
        job.status_changed.connect(self._on_status_changed)
        job.start(environment_for(model.device) if model.device.kind == "cuda" else {})
        self.refresh()

    def stop(self) -> None:
        """End the measurement, if one goes."""
        if self.job is not None and self.job.is_live:
            self.job.cancel()

    def _on_status_changed(self) -> None:
        job = self.job
        if job is not None and not job.is_live:
            remove_probe(JobDir(Path(job.folder)))
            self._model.take_measurements()
        self.refresh()

    # --- showing ---------------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the state of the job and what it measured."""
        self._tell_note()
        job, is_live = self.job, self.job is not None and self.job.is_live
        self.begin.setVisible(not is_live)
        self.begin.set_reason(self._model.why_not_probed())
        for widget in (self.cancel, self.bar, self.detail):
            widget.setVisible(is_live)
        if job is not None and is_live:
            self.bar.setRange(0, job.total)
            self.bar.setValue(job.done)
            self.detail.setText(job.detail or self.tr("Starting; its libraries take some seconds to load"))
        self._show_measured()
        correction = self._model.correction
        self.correction.show_words("" if correction is None else correction_words(correction), "info")

    def _show_measured(self) -> None:
        job, now = self.job, self._model.workable
        holds = self._config is not None and now is not None and _settings(now) == _settings(self._config)
        if job is None or job.is_live or not holds:
            self.measured.show_words("")
        elif job.error is not None:
            self.measured.show_words(f"{job.error.title}. {job.error.message} {job.error.hint}", "bad")
        elif job.probed is None:
            self.measured.show_words(self.tr("The measurement was cancelled."), "info")
        elif not job.probed.fits:
            self.measured.show_words(self._full_words(job.probed), "bad")
        else:
            self.measured.show_words(self._measured_words(job.probed), "good")

    def _full_words(self, probed: ProbeMeasured) -> str:
        words = self.tr("Measured: the memory is too small. {0} The process held {1} by then.")
        return words.format(probed.message, format_size(probed.process_bytes))

    def _measured_words(self, probed: ProbeMeasured) -> str:
        words = [self.tr("Measured: {0} at its peak.").format(format_gib(probed.process_bytes, 2))]
        expected = self._expected
        if expected is not None:
            half = (expected.high_bytes - expected.low_bytes) / 2
            compared = self.tr("The estimate was {0} ± {1}.")
            words.append(compared.format(format_gib(expected.total_bytes, 2), format_gib(half, 2)))
        if probed.seconds_per_step is not None:
            words.append(self.tr("A step takes at most {0} s.").format(format_number(probed.seconds_per_step, 2)))
        return " ".join(words)

    def _tell_note(self) -> None:
        """A damaged file of measurements is said once."""
        note, self._model.measurements_note = self._model.measurements_note, ""
        if note:
            title, hint = self.tr("What was measured can't be used"), self.tr("Measure again; training itself is not affected.")
            self._model.error_raised.emit(DesktopFtError("measurements_unreadable", title, note, hint))


def _settings(config: RunConfig) -> object:
    return config.model_dump(include=_SETTINGS)


def correction_words(correction: Correction) -> str:
    """How what was measured moved the estimate, in a sentence."""
    share = f"{format_number(100 * correction.share, 1, signed=True)} %"
    if correction.basis == "context":
        return QCoreApplication.translate("ProbeBox", "The CUDA context was measured on this card: {0}.").format(share)
    if correction.basis == "exact":
        words = QCoreApplication.translate(
            "ProbeBox", "The estimate is what this very run took when it was measured on this device: {0} against the formulas."
        )
        return words.format(share)
    if correction.num_measurements == 1:
        return QCoreApplication.translate("ProbeBox", "Corrected by 1 measurement on this device: {0}.").format(share)
    words = QCoreApplication.translate("ProbeBox", "Corrected by {1} measurements on this device: {0}.")
    return words.format(share, correction.num_measurements)
