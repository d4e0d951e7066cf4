"""docs/cli.md and docs/settings.md say what the code says."""

from __future__ import annotations

import make_reference
import pytest

from desktop_ft.core.config import SETTINGS


def test_the_reference_pages_are_up_to_date() -> None:
    assert make_reference.outdated() == [], "run: python packaging/docs/make_reference.py"


def test_an_old_page_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(make_reference.PAGES, "cli.md", lambda: "something else")
    assert make_reference.outdated() == ["cli.md"]


def test_every_setting_and_command_is_in_them() -> None:
    page = make_reference.settings_page()
    assert [path for path in SETTINGS if f"`{path}`" not in page] == []
    assert "## desktop-ft data view\n" in make_reference.cli_page()
