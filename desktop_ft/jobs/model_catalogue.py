"""Models that a run can start from: the demo, the Hugging Face cache and folders used before. Must not import widgets.

Scanning reads headers of many files and runs in a background task; so does the estimate of every model on this device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from PySide6.QtCore import QObject, Signal

from desktop_ft.core.config import DEMO, validate
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.hub_cache import CachedModel, scan_hub_cache
from desktop_ft.core.memory.corrections import estimate_here
from desktop_ft.core.memory.terms import Verdict
from desktop_ft.core.models import ModelInfo, read_model, resolve_model
from desktop_ft.jobs.background import BackgroundTask, IsCancelled, ReportProgress, Work
from desktop_ft.jobs.new_run_model import demo_draft

Place = Literal["demo", "cache", "folder"]
NEW_ESTIMATE_BYTES: Final = 256 << 20
"""A change of the free memory by less does not estimate every model anew."""


@dataclass(frozen=True)
class Need:
    """Memory of a model with the default settings on the present device."""

    total_bytes: int
    verdict: Verdict


@dataclass(frozen=True)
class ModelEntry:
    """One row of the list.

    Attributes:
        source: For ``model.source``.
        revision: For ``model.revision``.
        name: What people call it.
        place: Where it lies.
        info: None where it cannot be trained, or is not read yet.
        problem: Why it cannot be trained.
        need: None until it is estimated, or where that cannot be done.
    """

    source: str
    revision: str
    name: str
    place: Place
    info: ModelInfo | None = None
    problem: DesktopFtError | None = None
    need: Need | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells entries apart."""
        return self.source, self.revision


class ModelCatalogue(QObject):
    """What is on this computer. Call `scan`; `changed` comes when entries or their needs did.

    Args:
        device: For what each model would need.
        folders: Folders used before, the latest first.
        cache_dir: Another Hugging Face cache than the person's own.
        parent: Qt's owner.
    """

    changed = Signal()
    folder_used = Signal(str)
    """A folder that is new in the list."""
    crashed = Signal(object)
    """Traceback (str)."""

    def __init__(
        self, device: DeviceFacts, folders: Sequence[str] = (), cache_dir: Path | None = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.entries: tuple[ModelEntry, ...] = (ModelEntry(DEMO, "main", DEMO, "demo"),)
        self._folders = tuple(folders)
        self._cache_dir = cache_dir
        self._device = device
        self._remembered: list[ModelEntry] = []
        """Folders used since the program began; a scan that began before does not know them."""
        self._tasks: dict[str, BackgroundTask] = {}

    @property
    def is_scanning(self) -> bool:
        """Whether the disk is being read; the entries of before stay until then."""
        return "scan" in self._tasks

    def scan(self) -> None:
        """Look at the disk anew."""
        folders = self._folders

        def work(cancelled: IsCancelled, _progress: ReportProgress) -> object:
            entries = [_demo_entry()]
            for cached in scan_hub_cache(self._cache_dir):
                if cancelled():
                    break
                entries.append(_cached_entry(cached))
            return (*entries, *(_folder_entry(folder) for folder in folders))

        self._run("scan", work, self._on_entries)
        self.changed.emit()

    def folders(self) -> tuple[str, ...]:
        """Folders whose models are offered, those used since the program began last."""
        used = [entry.source for entry in self._remembered if entry.source not in self._folders]
        return (*self._folders, *used)

    def set_folders(self, folders: Sequence[str]) -> None:
        """Offer other folders; nothing happens where they are the same."""
        if set(folders) == set(self.folders()):
            return
        self._folders = tuple(folders)
        self._remembered = [entry for entry in self._remembered if entry.source in folders]
        self.scan()

    def remember(self, folder: str, info: ModelInfo) -> None:
        """Put a folder that was used into the list; `folder_used` asks for it to be kept."""
        if any(entry.source == folder for entry in self.entries):
            return
        entry = ModelEntry(folder, "main", info.name, "folder", info)
        self._remembered.append(entry)
        self.entries = (*self.entries, entry)
        self.changed.emit()
        self.folder_used.emit(folder)
        self._estimate()

    def set_device(self, device: DeviceFacts) -> None:
        """Estimate anew where the device or its free memory is another."""
        before, self._device = self._device, device
        same = (before.kind, before.name) == (device.kind, device.name)
        if not same or abs(before.free_bytes - device.free_bytes) >= NEW_ESTIMATE_BYTES:
            self._estimate()

    def close(self) -> None:
        """End what runs in the background."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    def _run(self, name: str, work: Work, succeeded: Callable[[object], None]) -> None:
        if (old := self._tasks.pop(name, None)) is not None:
            old.cancel()
        task = BackgroundTask(work, self)
        task.succeeded.connect(succeeded)
        task.crashed.connect(self.crashed)
        self._tasks[name] = task
        task.start()

    def _on_entries(self, entries: object) -> None:
        self._tasks.pop("scan", None)
        found = cast("tuple[ModelEntry, ...]", entries)
        known = {entry.key for entry in found}
        self.entries = (*found, *(entry for entry in self._remembered if entry.key not in known))
        self.changed.emit()
        self._estimate()

    def _estimate(self) -> None:
        entries, device = self.entries, self._device

        def work(cancelled: IsCancelled, _progress: ReportProgress) -> object:
            return {} if cancelled() else needs(entries, device, cancelled)

        self._run("estimate", work, self._on_needs)

    def _on_needs(self, found: object) -> None:
        self._tasks.pop("estimate", None)
        by_key = cast("Mapping[tuple[str, str], Need]", found)
        self.entries = tuple(ModelEntry(e.source, e.revision, e.name, e.place, e.info, e.problem, by_key.get(e.key)) for e in self.entries)
        self.changed.emit()


def needs(
    entries: Sequence[ModelEntry], device: DeviceFacts, cancelled: Callable[[], bool] = lambda: False
) -> Mapping[tuple[str, str], Need]:
    """What each model would need with the default settings; models that cannot be estimated are not in it."""
    found: dict[tuple[str, str], Need] = {}
    for entry in entries:
        if cancelled():
            break
        if entry.info is not None and entry.info.shape is not None:
            plain = validate({"model": {"source": entry.source}, "data": {"train": DEMO}})
            config = demo_draft().validated() if entry.source == DEMO else plain
            bill = estimate_here(config, entry.info, device).estimate
            found[entry.key] = Need(bill.total_bytes, bill.verdict)
    return found


def _demo_entry() -> ModelEntry:
    try:
        return ModelEntry(DEMO, "main", DEMO, "demo", read_model(resolve_model(DEMO)))
    except DesktopFtError as error:
        return ModelEntry(DEMO, "main", DEMO, "demo", problem=error)


def _cached_entry(cached: CachedModel) -> ModelEntry:
    is_main = "main" in cached.refs
    name = cached.repo_id if is_main else f"{cached.repo_id} @ {(cached.refs or (cached.revision[:8],))[0]}"
    return ModelEntry(cached.repo_id, "main" if is_main else cached.revision, name, "cache", cached.model, cached.problem)


def _folder_entry(folder: str) -> ModelEntry:
    try:
        info = read_model(Path(folder))
    except (DesktopFtError, OSError) as error:
        problem = error if isinstance(error, DesktopFtError) else DesktopFtError("model_missing", "The model can't be read", str(error), "")
        return ModelEntry(folder, "main", Path(folder).name, "folder", problem=problem)
    return ModelEntry(folder, "main", info.name, "folder", info)
