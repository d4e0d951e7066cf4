"""The exact estimate of a run that is being set up: one job at a time, its answer kept until a setting changes."""

from __future__ import annotations

import shutil

from PySide6.QtCore import QObject, Signal

from desktop_ft.core.config import RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import DryRunDone
from desktop_ft.core.memory.dry_run import create_dry_run
from desktop_ft.core.workspace import default_workspace
from desktop_ft.jobs.job_model import JobModel
from desktop_ft.jobs.new_run_model import NewRunModel

Asked = tuple[RunConfig, str, str, int]
"""What the answer holds for: settings, the device's kind and name, the longest example."""


class DryRunModel(QObject):
    """The state behind "Compute exactly".

    Attributes:
        done: The answer for the settings as they are; None before it.
        error: Why there is none.
    """

    changed = Signal()

    def __init__(self, model: NewRunModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._job: JobModel | None = None
        self._asked: Asked | None = None
        self.done: DryRunDone | None = None
        self.error: DesktopFtError | None = None
        model.memory_changed.connect(self._on_memory_changed)

    @property
    def is_live(self) -> bool:
        """Whether it is being computed."""
        return self._job is not None

    @property
    def can_start(self) -> bool:
        """Whether a model is known and the settings say enough of a run."""
        return self._model.model is not None and self._wanted() is not None

    def start(self) -> None:
        """Begin; nothing happens where it is being computed."""
        asked = self._wanted()
        if asked is None or self.is_live:
            return
        self._asked, self.done, self.error = asked, None, None
        config, device = asked[0], self._model.device
        try:
            folder = create_dry_run(default_workspace().home / "jobs", config, device, asked[3]).path
        except DesktopFtError as error:
            self.error = error
            self.changed.emit()
            return
        job = self._job = JobModel(folder, self)
        job.status_changed.connect(self._on_job_changed)
        job.start({"CUDA_VISIBLE_DEVICES": ""})
        self.changed.emit()

    def cancel(self) -> None:
        """End it without an answer."""
        job, self._job = self._job, None
        self._asked = None
        if job is not None:
            job.status_changed.disconnect(self._on_job_changed)
            job.status_changed.connect(lambda: _clear(job))
            job.cancel()
        self.changed.emit()

    def _wanted(self) -> Asked | None:
        config, device = self._model.workable, self._model.device
        data = self._model.data
        return None if config is None else (config, device.kind, device.name, (data.longest if data else None) or 0)

    def _on_memory_changed(self) -> None:
        if self._asked is None or self._wanted() == self._asked:
            return
        self.done, self.error = None, None
        self.cancel()

    def _on_job_changed(self) -> None:
        job = self._job
        if job is None or job.is_live:
            return
        self._job, self.done, self.error = None, job.exact, job.error
        _clear(job)
        self.changed.emit()


def _clear(job: JobModel) -> None:
    """Remove the folder of a job that has ended."""
    if not job.is_live:
        shutil.rmtree(job.folder, ignore_errors=True)
