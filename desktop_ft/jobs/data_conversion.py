"""Writing a data file in another format, in the data worker. Must not import widgets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from PySide6.QtCore import QObject, Signal

from desktop_ft.core.worker_client import run_task
from desktop_ft.jobs.background import IsCancelled, ReportProgress, TaskSlot

_SECONDS: Final = 3600.0


class DataConversion(QObject):
    """One conversion at a time; `cancel` ends it, and then no file is written.

    Args:
        source: The payload of a file as the data worker takes it: path, format, columns, model_dir.
        parent: Qt's owner.
    """

    converted = Signal(object)
    """As ``data convert --json`` gives."""
    failed = Signal(object)
    """`DesktopFtError`."""
    crashed = Signal(object)
    """Traceback (str) of an exception that nobody expected."""

    def __init__(self, source: Mapping[str, object], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._source = dict(source)
        self._slot = TaskSlot(self, self.crashed)

    @property
    def is_busy(self) -> bool:
        """Whether a file is being written."""
        return self._slot.is_busy

    def start(self, out: Path, target: str) -> None:
        """Write the file; the person has agreed to replace one that is there."""
        payload = {**self._source, "out": str(out), "to": target, "overwrite": True}

        def work(cancelled: IsCancelled, _progress: ReportProgress) -> object:
            return run_task("convert", payload, _SECONDS, cancelled)

        self._slot.start(work, self.converted.emit, self.failed.emit)

    def cancel(self) -> None:
        """Stop; nothing comes any more."""
        self._slot.drop()
