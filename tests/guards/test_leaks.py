"""The look at what a test left behind sees each kind of thing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
from PySide6.QtCore import QThread, QTimer
from PySide6.QtWidgets import QMenu, QWidget
from pytestqt.qtbot import QtBot

from tests.guards import leaks, qt_leaks

SLEEPER = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]

# Starts a child in a session of its own, names it and ends; the child reads the same input, so that closing it ends the child.
ORPHAN_MAKER = [
    sys.executable,
    "-c",
    (
        "import subprocess, sys; "
        "print(subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], start_new_session=True).pid, flush=True)"
    ),
]


def started_sleeper() -> subprocess.Popen[str]:
    process = subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("", timeout=30)
    assert process.returncode == 0


def test_thread_is_seen_until_it_ends() -> None:
    before = leaks.live_threads()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="left-behind", daemon=False)
    thread.start()
    assert leaks.outlasting(leaks.live_threads, before, 0.05) == [thread]
    release.set()
    assert leaks.outlasting(leaks.live_threads, before) == []


def test_daemon_thread_is_not_a_leak() -> None:
    before = leaks.live_threads()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, daemon=True)
    thread.start()
    assert leaks.live_threads() == before
    release.set()
    thread.join()


def test_child_process_is_seen_until_it_ends(tmp_path: Path) -> None:
    before = leaks.live_processes(tmp_path)
    process = started_sleeper()
    left = leaks.outlasting(lambda: leaks.live_processes(tmp_path), before, 0.05)
    end(process)
    assert [one.pid for one in left] == [process.pid]
    assert leaks.outlasting(lambda: leaks.live_processes(tmp_path), before) == []


def test_process_that_left_the_family_is_seen_by_its_home(tmp_path: Path) -> None:
    environment = {**os.environ, "DESKTOP_FT_HOME": str(tmp_path)}
    parent = subprocess.Popen(ORPHAN_MAKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdin is not None
    assert parent.stdout is not None
    orphan = psutil.Process(int(parent.stdout.readline()))
    assert parent.wait(30) == 0
    is_child = orphan in psutil.Process().children(recursive=True)
    seen = leaks.live_processes(tmp_path)
    seen_elsewhere = leaks.live_processes(tmp_path / "other")
    parent.stdin.close()
    parent.stdout.close()
    psutil.wait_procs([orphan], timeout=30)
    assert not is_child
    assert seen == {orphan}
    assert orphan not in seen_elsewhere


def test_left_process_is_killed() -> None:
    process = started_sleeper()
    child = psutil.Process(process.pid)
    leaks.kill([child])
    still_running = child.is_running()
    process.communicate()
    assert not still_running


def test_active_timer_is_seen(qtbot: QtBot) -> None:
    before = qt_leaks.live_objects()
    timer = QTimer()
    timer.start(60_000)
    left = leaks.outlasting(qt_leaks.live_objects, before, 0.05)
    timer.stop()
    assert left == [timer]
    assert leaks.outlasting(qt_leaks.live_objects, before) == []


def test_running_qthread_is_seen(qtbot: QtBot) -> None:
    before = qt_leaks.live_objects()
    thread = QThread()
    thread.start()
    left = leaks.outlasting(qt_leaks.live_objects, before, 0.05)
    thread.quit()
    assert thread.wait(5_000)
    assert left == [thread]
    assert leaks.outlasting(qt_leaks.live_objects, before) == []


def test_window_is_seen_until_it_is_deleted(qtbot: QtBot) -> None:
    before = qt_leaks.live_objects()
    window = QWidget()
    window.setMinimumSize(200, 100)
    window.show()
    window.raise_()
    left = leaks.outlasting(qt_leaks.live_objects, before, 0.05)
    window.deleteLater()
    assert left == [window]
    del window
    assert leaks.outlasting(qt_leaks.live_objects, before) == []


def test_a_window_in_a_dead_cycle_is_not_a_leak(qtbot: QtBot) -> None:
    before = qt_leaks.live_objects()
    holder: list[object] = [QMenu("dead")]
    holder.append(holder)
    assert any(isinstance(item, QMenu) for item in qt_leaks.live_objects())
    del holder
    assert leaks.outlasting(qt_leaks.live_objects, before, 0.0) == []
