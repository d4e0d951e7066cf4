"""A write that fails at any moment leaves the old content, and nothing beside it."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_atomic, write_json, write_text


class FailingCalls:
    """Lets the n-th call into the file system fail, whichever it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int, code: int) -> None:
        self.num_calls = 0
        self._fail_at, self._code = fail_at, code
        for owner, name in ((Path, "mkdir"), (Path, "open"), (os, "fsync"), (Path, "replace")):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            self.num_calls += 1
            if self.num_calls == self._fail_at:
                raise OSError(self._code, os.strerror(self._code))
            return call(*args, **kwargs)

        return counted


@pytest.mark.parametrize(("code", "told"), [(errno.ENOSPC, "disk_full"), (errno.EACCES, "file_not_writable")])
@pytest.mark.parametrize("fail_at", [1, 2, 3, 4])
def test_a_failure_at_any_call_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int, code: int, told: str
) -> None:
    target = tmp_path / "run.yaml"
    target.write_text("old", encoding="utf-8")
    with monkeypatch.context() as patch:
        FailingCalls(patch, fail_at, code)
        with pytest.raises(DesktopFtError) as caught:
            write_atomic(target, b"new")
    assert caught.value.code == told
    assert str(target) in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]
    assert target.read_text(encoding="utf-8") == "old"


def test_a_folder_that_cannot_be_synced_does_not_spoil_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        calls = FailingCalls(patch, 5, errno.EINVAL)
        write_atomic(tmp_path / "a.json", b"new")
        assert calls.num_calls == (5 if os.name == "posix" else 4)
    assert (tmp_path / "a.json").read_bytes() == b"new"


def test_folders_are_made_and_line_ends_kept(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "one\ntwo ü\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "one\ntwo ü\n".encode()


def test_json_holds_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ü": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ü": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": math.nan})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ü": [1, None]}


@pytest.mark.skipif(sys.platform == "win32", reason="modes")
def test_a_file_has_the_mode_that_the_person_set_for_all_files(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250)
    write_text(target, "x")
    assert target.read_text(encoding="utf-8") == "x"
