"""Cyclic garbage goes in the window's thread alone, also when another thread is the one that allocates."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest
import shiboken6
from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot

from desktop_ft.jobs.gui_garbage import GuiGarbage, collect_due


class Knot:
    """Holds itself; notes in which thread it is taken apart."""

    ended_in: list[str]

    def __init__(self, ended_in: list[str]) -> None:
        self.itself = self
        self.ended_in = ended_in

    def __del__(self) -> None:
        self.ended_in.append(threading.current_thread().name)


def allocate(much: list[list[int]]) -> None:
    much.extend([] for _ in range(3 * gc.get_threshold()[0]))


@pytest.fixture
def owner(qapp: object) -> Iterator[QObject]:
    made = QObject()
    yield made
    if shiboken6.isValid(made):
        made.deleteLater()


def test_a_thread_that_allocates_takes_nothing_apart(owner: QObject, qtbot: QtBot) -> None:
    garbage = GuiGarbage(owner)
    ended_in: list[str] = []
    Knot(ended_in)
    much: list[list[int]] = []
    thread = threading.Thread(target=allocate, args=(much,), name="reader")
    thread.start()
    thread.join()
    assert ended_in == []
    qtbot.waitUntil(lambda: ended_in == [threading.main_thread().name], timeout=10_000)
    assert garbage.parent() is owner


def test_only_what_is_due_is_collected(owner: QObject) -> None:
    GuiGarbage(owner)
    gc.collect()
    assert collect_due() == 0
    knot = Knot([])
    watch = weakref.ref(knot)
    del knot
    much: list[list[int]] = []
    allocate(much)
    assert watch() is not None
    assert collect_due() > 0
    assert watch() is None


def test_the_automatic_collector_comes_back_with_the_owners_end(owner: QObject, qtbot: QtBot) -> None:
    gc.enable()
    GuiGarbage(owner)
    assert not gc.isenabled()
    with qtbot.waitSignal(owner.destroyed):
        owner.deleteLater()
    assert gc.isenabled()
