"""The first rows of a file as a format and a mapping of columns would read them, read in the data worker while a person is choosing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from PySide6.QtCore import QObject, QTimer, Signal

from desktop_ft.core.worker_client import run_task
from desktop_ft.jobs.background import IsCancelled, ReportProgress, TaskSlot

NUM_ROWS: Final = 3
_SECONDS: Final = 60.0
_DELAY_MS: Final = 150


class ColumnPreview(QObject):
    """Reads again with each change, a moment after the last; what an older choice would give does not come any more.

    Args:
        path: The file or folder.
        parent: Qt's owner.
    """

    rows_read = Signal(object)
    """As `desktop_ft.core.data.preview.preview_rows` gives."""
    failed = Signal(object)
    """`DesktopFtError`."""
    crashed = Signal(object)
    """Traceback (str) of an exception that nobody expected."""

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = path
        self._wanted: dict[str, object] = {}
        self._slot = TaskSlot(self, self.crashed)
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(_DELAY_MS)
        self._delay.timeout.connect(self._read)

    def ask(self, format_name: str, columns: Mapping[str, str]) -> None:
        """Read with this format and these columns."""
        self._slot.drop()
        self._wanted = {"path": str(self._path), "format": format_name, "columns": dict(columns), "rows": NUM_ROWS}
        self._delay.start()

    def close(self) -> None:
        """End what is being read; nothing comes any more."""
        self._delay.stop()
        self._slot.drop()

    def _read(self) -> None:
        payload = self._wanted

        def work(cancelled: IsCancelled, _progress: ReportProgress) -> object:
            return run_task("preview", payload, _SECONDS, cancelled)

        self._slot.start(work, self.rows_read.emit, self.failed.emit)
