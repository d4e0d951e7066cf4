"""The program's preferences: kept whole, also those of a later version, and never a reason not to start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from desktop_ft.core.settings import Preferences, load_preferences, save_preferences


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


def test_no_file_means_the_defaults(file: Path) -> None:
    assert load_preferences(file) == Preferences()


def test_what_was_chosen_comes_back(file: Path) -> None:
    chosen = Preferences("dark", ("/models/a", "/models/b"), explain_close=False, window_geometry="AdnQ", told_crashes=("run-1",))
    save_preferences(chosen, file)
    assert load_preferences(file) == chosen


def test_keys_of_a_later_version_are_kept(file: Path) -> None:
    file.write_text(json.dumps({"v": 9, "theme": "light", "sounds": {"volume": 3}}), encoding="utf-8")
    save_preferences(load_preferences(file), file)
    stored = json.loads(file.read_text(encoding="utf-8"))
    assert (stored["sounds"], stored["theme"], stored["v"]) == ({"volume": 3}, "light", 1)


@pytest.mark.parametrize("text", ["{", "[]", "3", "\0"])
def test_a_damaged_file_is_set_aside(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    assert load_preferences(file) == Preferences()
    assert not file.exists()
    assert (file.parent / "settings.json.damaged").read_text(encoding="utf-8") == text


def test_values_of_a_wrong_kind_become_the_defaults(file: Path) -> None:
    values = {"theme": "pink", "model_folders": [1, "/m"], "explain_close": "?", "window_geometry": 5, "told_crashes": "run"}
    file.write_text(json.dumps(values), encoding="utf-8")
    assert load_preferences(file) == Preferences(model_folders=("/m",))


def test_a_folder_used_again_is_the_newest_and_the_oldest_is_forgotten() -> None:
    preferences = Preferences(model_folders=("/a", "/b", "/c"))
    assert preferences.with_model_folder("/c").model_folders == ("/c", "/a", "/b")
    assert preferences.with_model_folder("/d", keep=3).model_folders == ("/d", "/a", "/b")
