"""The dialog under test starts in light, and no thread of its outlives a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop_ft.core.launcher import ENGINE_VARIABLE
from desktop_ft.core.runs import RunDir
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.ui.kit.theme import ThemeManager
from tests.ui.export_dialog.stories import run_with_adapter


@pytest.fixture
def run(themed: ThemeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunDir]:
    assert themed is not None
    monkeypatch.setenv(ENGINE_VARIABLE, "tests.fakes.fake_engine")
    yield run_with_adapter(tmp_path / "run")
    assert end_threads(5.0)
