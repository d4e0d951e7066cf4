"""The pages under test start in light, and no thread of theirs outlives a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.ui.kit.theme import ThemeManager
from tests.helpers.recording_service import RecordingService


@pytest.fixture
def service(themed: ThemeManager, desktop_ft_home: Path) -> Iterator[RecordingService]:
    assert themed is not None
    service = RecordingService(Workspace(desktop_ft_home))
    yield service
    assert service.shutdown()
    assert end_threads(5.0)
