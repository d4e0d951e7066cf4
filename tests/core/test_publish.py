"""A folder appears whole or not at all, also where the process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.processes import mark_of
from desktop_ft.core.publish import partial_folder, publish, remove_leftovers

KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from pathlib import Path
from desktop_ft.core.publish import partial_folder
with partial_folder(Path(sys.argv[1])) as partial:
    (partial / "half.bin").write_bytes(b"half")
    os._exit(9)
"""
DEAD = "999999999-5"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_published_folder_has_its_name_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "my-models" / "out-1"
    with partial_folder(target) as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "a.txt").write_text("whole", encoding="utf-8")
        (partial / "sub" / "a.txt").chmod(0o600)
        assert not target.exists()
        publish(partial, target, overwrite=False)
    assert (target / "sub" / "a.txt").read_text(encoding="utf-8") == "whole"
    assert names(target.parent) == ["out-1"]
    assert os.name != "posix" or (target / "sub" / "a.txt").stat().st_mode & 0o777 == 0o644


def test_error_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with partial_folder(tmp_path / "out") as partial:
            (partial / "a.txt").write_text("half", encoding="utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert names(tmp_path) == []


def test_killed_process_leaves_only_what_the_next_one_removes(tmp_path: Path) -> None:
    target = tmp_path / "my-out"
    root = Path(__file__).resolve().parents[2]
    child = subprocess.run([sys.executable, "-c", KILLED_IN_THE_MIDDLE, str(target)], cwd=root, check=False)
    assert child.returncode == 9
    (left,) = names(tmp_path)
    assert left.startswith(".partial-")
    with partial_folder(target) as partial:
        assert names(tmp_path) == [partial.name]
    assert names(tmp_path) == []


def test_partial_folder_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    with partial_folder(tmp_path / "a") as first, partial_folder(tmp_path / "b") as second:
        assert first.is_dir()
        assert second.is_dir()


def test_empty_folder_may_be_the_target(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with partial_folder(target) as partial:
        (partial / "a").write_text("x", encoding="utf-8")
        publish(partial, target, overwrite=False)
    assert names(target) == ["a"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_target_with_something_in_it_is_kept(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out"
    if kind == "file":
        target.write_text("precious", encoding="utf-8")
    else:
        target.mkdir()
        (target / "precious").write_text("x", encoding="utf-8")
    with partial_folder(target) as partial, pytest.raises(DesktopFtError) as raised:
        publish(partial, target, overwrite=False)
    assert raised.value.code == "export_exists"
    assert names(tmp_path) == ["out"]


def test_replaced_folder_is_put_back_where_the_swap_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / f".replaced-{DEAD}-abcd1234-my-out").mkdir()
    (tmp_path / f".replaced-{DEAD}-abcd1234-my-out" / "old").write_text("x", encoding="utf-8")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["my-out"]


def test_replaced_folder_goes_where_its_successor_is_there(tmp_path: Path) -> None:
    (tmp_path / f".replaced-{DEAD}-abcd1234-out").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / ".partial-notes").mkdir()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".partial-notes", "out"]


def test_name_carries_who_writes(tmp_path: Path) -> None:
    mark = mark_of(os.getpid())
    assert mark is not None
    with partial_folder(tmp_path / "out") as partial:
        assert partial.name.startswith(f".partial-{mark.pid}-{round(mark.started)}-")
        assert partial.name.endswith("-out")
