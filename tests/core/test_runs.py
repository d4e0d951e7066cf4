"""A run's folder: one engine at a time, and checkpoints that are whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from desktop_ft.core.config import validate
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.processes import ProcessMark, is_alive, kill_tree, mark_of
from desktop_ft.core.runs import (
    RunDir,
    create_run,
    damage_of,
    list_checkpoints,
    live_engine,
    open_run,
    read_lock,
    release_lock,
    sound_checkpoints,
    take_lock,
    write_manifest,
)

CONFIG = validate({"model": {"source": "demo"}, "data": {"train": "demo"}})


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create_run(tmp_path / "run", CONFIG)


def own_mark() -> ProcessMark:
    mark = mark_of(os.getpid())
    assert mark is not None
    return mark


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_run_is_created_once_and_opened_by_its_folder(run: RunDir) -> None:
    assert open_run(run.path).config() == CONFIG
    with pytest.raises(DesktopFtError) as caught:
        create_run(run.path, CONFIG)
    assert caught.value.code == "run_exists"
    with pytest.raises(DesktopFtError) as caught:
        open_run(run.path / "elsewhere")
    assert caught.value.code == "run_missing"


def test_a_folder_with_events_is_a_run_too(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(DesktopFtError, match="has a run already"):
        create_run(tmp_path, CONFIG)


def test_steps_are_padded_so_that_names_sort(run: RunDir) -> None:
    assert run.checkpoint(100).name == "step-000100"


# --- the lock --------------------------------------------------------------------------------------------------------


def test_a_lock_is_taken_seen_and_released(run: RunDir) -> None:
    assert (read_lock(run), live_engine(run)) == (None, None)
    take_lock(run, own_mark())
    take_lock(run, own_mark())
    assert read_lock(run) == live_engine(run) == own_mark()
    release_lock(run)
    release_lock(run)
    assert live_engine(run) is None


def test_a_second_engine_is_refused(run: RunDir) -> None:
    child = sleeper()
    try:
        mark = mark_of(child.pid)
        assert mark is not None
        take_lock(run, mark)
        with pytest.raises(DesktopFtError, match=f"Process {child.pid} works") as caught:
            take_lock(run, own_mark())
        assert caught.value.code == "run_is_running"
    finally:
        child.kill()
        child.wait()
    take_lock(run, own_mark())
    assert live_engine(run) == own_mark()


def test_an_id_that_is_used_again_is_not_the_old_process(run: RunDir) -> None:
    mine = own_mark()
    earlier = ProcessMark(mine.pid, mine.started - 100, None if mine.since_boot is None else mine.since_boot - 100)
    take_lock(run, earlier)
    assert read_lock(run) == earlier
    assert live_engine(run) is None
    assert not is_alive(ProcessMark(mine.pid, mine.started - 100))


@pytest.mark.skipif(sys.platform != "linux", reason="only there is the start told since boot")
def test_a_clock_that_is_set_does_not_end_a_process() -> None:
    mine = own_mark()
    assert mine.since_boot is not None
    assert is_alive(ProcessMark(mine.pid, mine.started + 3600, mine.since_boot))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"pid": "1", "started": 1}',
        '{"pid": true, "started": 1}',
        '{"pid": -5, "started": 1}',
        f'{{"pid": {2**70}, "started": 1}}',
    ],
)
def test_a_damaged_lock_is_none(run: RunDir, content: str) -> None:
    run.lock_file.write_text(content, encoding="utf-8")
    assert read_lock(run) is None
    take_lock(run, own_mark())
    assert live_engine(run) == own_mark()


def test_a_lock_of_the_first_layout_is_read(run: RunDir) -> None:
    mine = own_mark()
    run.lock_file.write_text(json.dumps({"v": 1, "pid": mine.pid, "started": mine.started}), encoding="utf-8")
    assert live_engine(run) == ProcessMark(mine.pid, mine.started)


TAKE = """
import os, sys
from pathlib import Path
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.processes import mark_of
from desktop_ft.core.runs import RunDir, take_lock
sys.stdin.readline()
try:
    take_lock(RunDir(Path(sys.argv[1])), mark_of(os.getpid()))
    print("taken", flush=True)
except DesktopFtError as error:
    print(error.code, flush=True)
sys.stdin.readline()
"""


def test_of_engines_that_start_together_one_gets_the_folder(run: RunDir) -> None:
    command = [sys.executable, "-c", TAKE, str(run.path)]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        said = [tell(child) for child in children] and [hear(child) for child in children]
        assert sorted(said) == ["run_is_running"] * 3 + ["taken"]
    finally:
        for child in children:
            child.communicate("\n", timeout=20)


def tell(child: subprocess.Popen[str]) -> bool:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
    return True


def hear(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_a_process_is_killed_with_its_children() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1); print(p.pid, flush=True); p.wait()",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    grandchild = psutil.Process(int(parent.stdout.readline()))
    mark = mark_of(parent.pid)
    assert mark is not None
    assert is_alive(mark)
    kill_tree(mark)
    assert parent.wait(10) != 0
    assert psutil.wait_procs([grandchild], timeout=10)[1] == []
    kill_tree(mark)
    parent.stdout.close()
    assert not is_alive(mark)
    assert mark_of(2**31 - 1) is None


# --- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.fixture
def save(run: RunDir) -> Callable[[int], Path]:
    def save(step: int) -> Path:
        folder = run.checkpoint(step)
        (folder / "inner").mkdir(parents=True)
        (folder / "adapter.bin").write_bytes(b"weights")
        (folder / "inner" / "state.json").write_bytes(b"{}")
        assert write_manifest(folder, step) == 9
        return folder

    return save


def test_only_sealed_checkpoints_count(run: RunDir, save: Callable[[int], Path]) -> None:
    assert list_checkpoints(run) == []
    for step in (10, 5):
        save(step)
    (run.checkpoint(15)).mkdir()
    (run.checkpoint(15) / "adapter.bin").write_bytes(b"half")
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [5, 10]
    assert [checkpoint.step for checkpoint in sound_checkpoints(run)] == [10, 5]


def test_a_checkpoint_that_is_saved_again_stays_sound(run: RunDir, save: Callable[[int], Path]) -> None:
    write_manifest(save(5), 5)
    assert [checkpoint.step for checkpoint in sound_checkpoints(run)] == [5]


@pytest.mark.parametrize(
    ("damage", "told", "needs_content"),
    [
        (lambda folder: (folder / "adapter.bin").unlink(), "adapter.bin is missing", False),
        (lambda folder: (folder / "adapter.bin").write_bytes(b"weight"), "adapter.bin is not what was saved", False),
        (lambda folder: (folder / "adapter.bin").write_bytes(b"WEIGHTS"), "adapter.bin is not what was saved", True),
        (lambda folder: (folder / "inner" / "state.json").write_bytes(b"[]"), "inner/state.json is not what was saved", True),
        (
            lambda folder: (folder / "manifest.json").write_text('{"step": 10, "files": {}}', encoding="utf-8"),
            "its manifest lists no files",
            False,
        ),
    ],
)
def test_damage_is_found_and_the_checkpoint_before_is_used(
    run: RunDir, save: Callable[[int], Path], damage: Callable[[Path], None], told: str, needs_content: bool
) -> None:
    save(5)
    damage(save(10))
    newest = list_checkpoints(run)[-1]
    assert damage_of(newest) == told
    assert damage_of(newest, read_content=False) == (None if needs_content else told)
    assert [checkpoint.step for checkpoint in sound_checkpoints(run)] == [5]


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", '{"step": "10", "files": {}}', '{"step": 10, "files": {"adapter.bin": 7}}', '{"step": 10, "files": {"../../run.yaml": {}}}'],
)
def test_a_damaged_manifest_is_no_sound_checkpoint(run: RunDir, save: Callable[[int], Path], manifest: str) -> None:
    (save(10) / "manifest.json").write_text(manifest, encoding="utf-8")
    assert list(sound_checkpoints(run)) == []
