"""A runs service that writes down what it is asked to do with a live run instead of doing it."""

from __future__ import annotations

from pathlib import Path

from desktop_ft.core.control import ControlKind
from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.jobs.runs_service import RunsService
from desktop_ft.jobs.training_worker import DEFAULT_GRACE_SECONDS


class RecordingService(RunsService):
    """Opening and listing are real; stopping, resuming, requests and discarding are recorded.

    Attributes:
        asked: Pairs of what was asked and the run's folder, in order.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.asked: list[tuple[str, Path]] = []

    def stop(self, run_dir: Path, grace_seconds: float = DEFAULT_GRACE_SECONDS) -> None:
        self.asked.append(("stop", run_dir))

    def resume(self, run_dir: Path) -> RunModel | None:
        self.asked.append(("resume", run_dir))
        return None

    def request(self, run_dir: Path, kind: ControlKind, values: dict[str, object] | None = None) -> None:
        self.asked.append((kind, run_dir))

    def stop_and_discard(self, run_dir: Path) -> None:
        self.asked.append(("discard", run_dir))
