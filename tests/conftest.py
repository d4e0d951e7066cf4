"""What every test gets: a home of its own, no net, no display, and a look at what it left behind."""

from __future__ import annotations

import faulthandler
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.guards import leaks

if TYPE_CHECKING:
    from PySide6.QtCore import QObject

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
FAILED: pytest.StashKey[bool] = pytest.StashKey()
SESSION_HOME: pytest.StashKey[Path] = pytest.StashKey()
REAL_STDERR: pytest.StashKey[int] = pytest.StashKey()
HANG_GRACE_SECONDS = 20.0
"""Beyond a test's own time limit, which pytest-timeout enforces as long as Python runs."""


def pytest_configure(config: pytest.Config) -> None:
    home = Path(tempfile.mkdtemp(prefix="desktop-ft-tests-"))
    config.stash[SESSION_HOME] = home
    config.stash[REAL_STDERR] = os.dup(2)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.update(
        DESKTOP_FT_HOME=str(home),
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
        OMP_WAIT_POLICY="PASSIVE",  # threads that spin while they wait make the suite ten times slower on a busy machine
        PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring",
        # children import this tree, also where no installed copy of the project is
        PYTHONPATH=os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[SESSION_HOME], ignore_errors=True)
    os.close(config.stash[REAL_STDERR])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longest comes first, so that no process works on it alone at the end."""
    items.sort(key=_time_limit, reverse=True)


def _time_limit(item: pytest.Item) -> float:
    """Seconds."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None and marker.args else float(str(item.config.getini("timeout")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Ends a process whose test stands still with the interpreter's lock held, where no Python code can run to end it."""
    faulthandler.dump_traceback_later(_time_limit(item) + HANG_GRACE_SECONDS, file=item.config.stash[REAL_STDERR], exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The demo data that lies beside the checkout; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("there is no ../shared/data beside the checkout")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def desktop_ft_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The empty folder that this test's DESKTOP_FT_HOME names."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("DESKTOP_FT_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(request: pytest.FixtureRequest, desktop_ft_home: Path) -> Iterator[None]:
    uses_qt = "qapp" in request.fixturenames
    if uses_qt:
        request.getfixturevalue("_qt_baseline")
    threads, processes = leaks.live_threads(), leaks.live_processes(desktop_ft_home)
    qt_objects = _live_qt_objects(uses_qt)
    if uses_qt:
        gc.disable()  # as in the program (jobs/gui_garbage.py): a widget must not be destroyed by a thread that happens to allocate
    yield
    if uses_qt:
        gc.collect()
        gc.enable()
    # a failed test's traceback keeps its objects alive; its failure is message enough
    grace_seconds = 0.0 if request.node.stash.get(FAILED, False) else leaks.GRACE_SECONDS
    left_processes = leaks.outlasting(lambda: leaks.live_processes(desktop_ft_home), processes, grace_seconds)
    names = [f"process {leaks.describe(process)}" for process in left_processes]
    leaks.kill(left_processes)
    if request.node.stash.get(FAILED, False):
        return
    names += [f"thread {thread.name}" for thread in leaks.outlasting(leaks.live_threads, threads)]
    names += _left_qt_objects(uses_qt, qt_objects)
    if names:
        pytest.fail("the test left behind: " + "; ".join(names), pytrace=False)


@pytest.fixture(scope="session")
def _qt_baseline(qapp: object) -> None:
    from tests.guards import qt_leaks

    qt_leaks.hide_older_objects()


def _live_qt_objects(uses_qt: bool) -> list[QObject]:
    if not uses_qt:
        return []
    from tests.guards import qt_leaks

    return qt_leaks.live_objects()


def _left_qt_objects(uses_qt: bool, before: list[QObject]) -> list[str]:
    if not uses_qt:
        return []
    from tests.guards import qt_leaks

    return [qt_leaks.describe(item) for item in leaks.outlasting(qt_leaks.live_objects, before)]
