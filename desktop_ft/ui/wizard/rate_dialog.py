"""The learning-rate finder: a short sweep in a job of the engine, drawn as it goes; what it suggests is one click away."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QProgressBar, QWidget

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.gpu import environment_for
from desktop_ft.core.lr_finder import NUM_RATES, NUM_STEPS, create_sweep, usual_range
from desktop_ft.core.workspace import default_workspace
from desktop_ft.jobs.job_model import JobModel
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import Label, format_learning_rate
from desktop_ft.ui.wizard.rate_curve import RateCurve


class RateDialog(QDialog):
    """Sweeps learning rates for a run that is being set up.

    Args:
        config: The run.
        device: What it would train on.
        parent: Qt's owner.
    """

    rate_chosen = Signal(float)

    def __init__(self, config: RunConfig, device: DeviceFacts, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._config, self._device = config, device
        self.job: JobModel | None = None
        self.setWindowTitle(self.tr("Find a learning rate"))
        low, high = usual_range(config)
        words = self.tr(
            "Tries {0} rates from {1} to {2} for {3} steps each, every time from the same start, and stops where the loss diverges. "
            "Nothing of it is kept."
        ).format(NUM_RATES, format_learning_rate(low), format_learning_rate(high), NUM_STEPS)
        self.curve = RateCurve(low, high)
        self.detail = Label("", tone="2", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(self.tr("Progress of the sweep"))
        self.begin = button(self.tr("&Start the sweep"), "primary", on_click=self.start)
        self.use = button(self.tr("&Use it"), "primary", on_click=self._on_use_clicked)
        self.cancel = button(self.tr("&Cancel"), on_click=self.reject)
        heading = Label(self.tr("Loss after a few steps, by learning rate"), "section")
        buttons = row(None, self.cancel, self.begin, self.use)
        explained = Label(words, tone="2", wrap=True)
        self.setLayout(column(explained, heading, (self.curve, 1), self.bar, self.detail, buttons, gap=10, pad=(16, 16, 16, 12)))
        self.resize(em(46), em(34))
        self._show_state()

    def start(self) -> None:
        """Begin the sweep; what the one before wrote goes."""
        self._drop_job()
        try:
            folder = create_sweep(default_workspace().home / "jobs", self._config).path
        except DesktopFtError as error:
            self._say(error)
            return
        job = self.job = JobModel(folder, self)
        for signal in (job.status_changed, job.progress_changed, job.result_changed, job.messages_changed):
            signal.connect(self._show_state)
        job.start(environment_for(self._device) if self._device.kind == "cuda" else {})
        self._show_state()

    def done(self, result: int) -> None:
        """Closed: the sweep ends, and its folder goes once nothing works in it."""
        self._drop_job()
        super().done(result)

    def _drop_job(self) -> None:
        if self.job is not None:
            self.job.cancel()
            self.job.remove_folder()

    def suggested(self) -> float | None:
        """The rate that the curve suggests; None before the end, or where it shows none."""
        found = None if self.job is None else self.job.suggested
        return None if found is None else found.rate

    def _show_state(self) -> None:
        job = self.job
        is_live = job is not None and job.is_live
        self.begin.setVisible(job is None or (not is_live and self.suggested() is None))
        self.use.setVisible(self.suggested() is not None)
        self.bar.setVisible(is_live)
        if job is None:
            return
        self.curve.show_points(job.points, self.suggested())
        self.bar.setRange(0, job.total)
        self.bar.setValue(job.done)
        if job.error is not None:
            self._say(job.error)
        elif job.suggested is not None:
            self.detail.setText(job.suggested.message)
        else:
            self.detail.setText(job.detail or self.tr("Starting; its libraries take some seconds to load"))
        rate = self.suggested()
        if rate is not None:
            self.use.setText(self.tr("&Use {0}").format(format_learning_rate(rate)))

    def _say(self, error: DesktopFtError) -> None:
        self.detail.setText(f"{error.title}. {error.message} {error.hint}")

    def _on_use_clicked(self) -> None:
        rate = self.suggested()
        if rate is not None:
            self.rate_chosen.emit(rate)
        self.accept()
