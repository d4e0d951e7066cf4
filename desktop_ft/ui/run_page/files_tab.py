"""What lies in the run's folder and how large it is; measured in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QWidget

from desktop_ft.core.runs import RunDir
from desktop_ft.jobs.background import BackgroundTask, IsCancelled, ReportProgress
from desktop_ft.ui.kit.buttons import Button, button
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.tables import Column, ListModel, TableView
from desktop_ft.ui.kit.text import ElidedLabel, Label, format_size
from desktop_ft.ui.run_page.words import clock_words


def _tr(text: str) -> str:
    return QCoreApplication.translate("run_page.files", text)


@dataclass(frozen=True)
class FileRow:
    """A file or a folder of the run."""

    name: str
    is_folder: bool
    what: str
    num_bytes: int
    time: float


def scan_files(folder: Path, cancelled: Callable[[], bool] = lambda: False) -> list[FileRow]:
    """Files and folders of a run; each checkpoint and each export on its own line."""
    rows = [_measure(folder, path, cancelled) for path in _listed(folder)]
    return sorted(rows, key=lambda line: (not line.is_folder, line.name))


def _listed(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("*")):
        if path.name.startswith("."):
            continue
        if path.name in {"checkpoints", "exports"}:
            yield from (inner for inner in sorted(path.iterdir()) if not inner.name.startswith("."))
        else:
            yield path


def _measure(folder: Path, path: Path, cancelled: Callable[[], bool]) -> FileRow:
    num_bytes, newest = 0, 0.0
    inside = path.rglob("*") if path.is_dir() else iter((path,))
    for file in inside:
        if cancelled():
            break
        try:
            facts = file.stat()
        except OSError:  # gone while we looked
            continue
        num_bytes += facts.st_size if file.is_file() else 0
        newest = max(newest, facts.st_mtime)
    name = path.relative_to(folder).as_posix()
    return FileRow(name, path.is_dir(), _what(name), num_bytes, newest)


def _what(name: str) -> str:
    known = {
        "run.yaml": _tr("the settings as written"),
        "resolved.yaml": _tr("the settings in use, with reasons"),
        "events.jsonl": _tr("everything that happened"),
        "console.log": _tr("what libraries printed"),
        "environment.json": _tr("versions, device, fingerprints"),
        "lock.json": _tr("the engine that works here"),
        "control": _tr("requests to the engine"),
        "adapter": _tr("the trained adapter"),
        "model": _tr("the trained model"),
        "jobs": _tr("logs of exports"),
        "stages": _tr("the reward model, then the policy"),
    }
    if name.startswith("checkpoints/"):
        return _tr("a checkpoint to resume from")
    return _tr("an export") if name.startswith("exports/") else known.get(name, "")


class FilesTab(QWidget):
    """The table of files.

    Attributes:
        open_folder: Shows the folder in the platform's file manager.
    """

    crashed = Signal(object)
    """Traceback (str) of an exception that nobody expected."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._run: RunDir | None = None
        self._task: BackgroundTask | None = None
        columns: list[Column[FileRow]] = [
            Column(
                self.tr("Name"), lambda line: line.name, width_em=22, icon=lambda line: ("folder" if line.is_folder else "file-text", "2")
            ),
            Column(self.tr("What it is"), lambda line: line.what),
            Column(self.tr("Size"), lambda line: format_size(line.num_bytes), "right", 8, sort=lambda line: line.num_bytes),
            Column(self.tr("Changed"), lambda line: clock_words(line.time), "right", 11, sort=lambda line: line.time),
        ]
        self.model = ListModel(columns, key=lambda line: line.name, parent=self)
        self.table = TableView(self.model, name=self.tr("Files of the run"))
        self._path, self._total = ElidedLabel(tone="2", middle=True), Label(weight=600)
        self.open_folder: Button = button(self.tr("Open the folder"), icon_name="folder-open")
        self.setLayout(column(row((self._path, 1), self._total, self.open_folder, gap=12), (self.table, 1), gap=12))

    def set_run(self, run: RunDir) -> None:
        """Show another run's folder from the next `refresh` on."""
        self._run = run
        self._path.setText(str(run.path))
        self._total.setText("")
        self.model.set_rows([])

    def refresh(self) -> None:
        """Measure anew, in a thread."""
        if self._run is None or (self._task is not None and self._task.isRunning()):
            return
        folder = self._run.path

        def work(cancelled: IsCancelled, _progress: ReportProgress) -> tuple[Path, list[FileRow]]:
            return folder, scan_files(folder, cancelled)

        self._task = BackgroundTask(work, self)
        self._task.succeeded.connect(self._on_scanned)
        self._task.crashed.connect(self.crashed)
        self._task.start()

    def _on_scanned(self, result: object) -> None:
        folder, rows = cast("tuple[Path, list[FileRow]]", result)
        if self._run is None or folder != self._run.path:
            self.refresh()
            return
        self.model.set_rows(rows)
        self._total.setText(format_size(sum(line.num_bytes for line in rows)))
