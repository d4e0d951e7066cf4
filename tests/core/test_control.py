"""Requests to an engine as numbered files."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.control import Control, check_control_kind, read_controls, retire_controls, send_control
from desktop_ft.core.errors import DesktopFtError


def test_requests_are_numbered_and_read_in_order(tmp_path: Path) -> None:
    assert read_controls(tmp_path, 0) == []
    assert [send_control(tmp_path, "save"), send_control(tmp_path, "set", {"training.learning_rate": 1e-5})] == [1, 2]
    assert read_controls(tmp_path, 0) == [Control(1, "save"), Control(2, "set", {"training.learning_rate": 1e-5})]
    assert read_controls(tmp_path, 1) == [Control(2, "set", {"training.learning_rate": 1e-5})]


def test_files_that_are_no_request_are_passed_over(tmp_path: Path) -> None:
    send_control(tmp_path, "stop")
    folder = tmp_path / "control"
    texts = {2: "", 3: "[]", 4: '{"v":1,"kind":"dance"}', 5: '{"v":2,"kind":"stop"}', 6: '{"v":1,"kind":"set","values":[]}', 7: "\xff"}
    for number, text in texts.items():
        (folder / f"{number:06d}.json").write_text(text, encoding="latin-1")
    (folder / "000008.json.tmp").write_text("{}", encoding="utf-8")
    (folder / "notes.txt").write_text("hello", encoding="utf-8")
    assert read_controls(tmp_path, 0) == [Control(1, "stop")]
    assert send_control(tmp_path, "save") == 8


def test_retired_requests_are_not_obeyed_and_their_numbers_stay_used(tmp_path: Path) -> None:
    retire_controls(tmp_path)
    send_control(tmp_path, "stop")
    send_control(tmp_path, "save")
    retire_controls(tmp_path)
    assert read_controls(tmp_path, 0) == []
    assert send_control(tmp_path, "sample") == 3
    assert read_controls(tmp_path, 0) == [Control(3, "sample")]


def test_a_kind_is_checked_by_name() -> None:
    assert check_control_kind("stop") == "stop"
    with pytest.raises(DesktopFtError, match="'pause' is no request") as caught:
        check_control_kind("pause")
    assert (caught.value.code, caught.value.hint) == ("control_unknown", "Use one of: stop, save, sample, set.")
