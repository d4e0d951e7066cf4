"""Where runs live and what their folders are called."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.workspace import Workspace, default_workspace, slug

NOON = datetime(2026, 3, 1, 12, 0, 0)  # noqa: DTZ001 # the person's own clock names folders


def test_folders_are_named_by_name_and_start_and_never_shared(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    names = [workspace.new_run_dir("My Größe: run", NOON).name for _ in range(3)]
    assert names == ["my-groe-run-20260301-120000", "my-groe-run-20260301-120000-2", "my-groe-run-20260301-120000-3"]
    assert (workspace.runs, workspace.labeling) == (tmp_path / "runs", tmp_path / "labeling")


@given(st.text())
def test_any_name_makes_a_folder_name(name: str) -> None:
    made = slug(name)
    assert 1 <= len(made) <= 48
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not made.startswith("-")
    assert not made.endswith("-")


def test_a_name_without_letters_is_run() -> None:
    assert slug("日本語") == "run"


def test_the_home_is_the_variables_else_the_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DESKTOP_FT_HOME", str(tmp_path / "here"))
    assert default_workspace().home == tmp_path / "here"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DESKTOP_FT_HOME", "relative")
    assert default_workspace().home == tmp_path / "relative"
    monkeypatch.setenv("DESKTOP_FT_HOME", "")
    assert default_workspace().home == Path(platformdirs.user_data_dir("desktop-ft", appauthor=False))


def test_a_home_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("", encoding="utf-8")
    with pytest.raises(DesktopFtError) as caught:
        Workspace(tmp_path / "home").new_run_dir("run")
    assert caught.value.code == "file_not_writable"
