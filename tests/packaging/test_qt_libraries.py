"""What Qt misses on a system, and what is done about it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import qt_libraries

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems' Qt brings everything itself")


def has_all_but(*missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qt_libraries, "can_load", lambda library: library not in missing)
    monkeypatch.setattr(qt_libraries, "has_font", lambda: True)


def test_absent_library_cannot_be_loaded() -> None:
    assert not qt_libraries.can_load("libno-such-library.so.9")


@linux_only
def test_missing_libraries_are_named_by_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    has_all_but("libxcb-keysyms.so.1", "libEGL.so.1", monkeypatch=monkeypatch)
    assert qt_libraries.missing_packages() == ["libegl1", "libxcb-keysyms1"]


@linux_only
def test_person_is_told_what_to_install_where_nobody_may(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    has_all_but("libxcb-cursor.so.0", monkeypatch=monkeypatch)
    monkeypatch.setattr(qt_libraries, "administrator_prefix", lambda: None)
    assert not qt_libraries.ensure()
    assert "sudo apt-get install libxcb-cursor0" in capsys.readouterr().out


def test_other_systems_miss_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    has_all_but(*qt_libraries.PACKAGE_BY_LIBRARY, monkeypatch=monkeypatch)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert qt_libraries.missing_packages() == []
    assert qt_libraries.ensure()


def test_font_is_seen_below_its_folder(tmp_path: Path) -> None:
    assert not qt_libraries.has_font([str(tmp_path), str(tmp_path / "absent")])
    (tmp_path / "truetype").mkdir()
    (tmp_path / "truetype" / "Any.TTF").touch()
    assert qt_libraries.has_font([str(tmp_path)])
