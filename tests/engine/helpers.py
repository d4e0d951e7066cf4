"""Running the engine in this process, asking it for things at a chosen moment, and reading what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from desktop_ft.core.control import Control
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import Event
from desktop_ft.core.runs import EngineDir, RunDir
from desktop_ft.engine.__main__ import work_in
from desktop_ft.engine.controls import ControlFolder

AnEvent = TypeVar("AnEvent", bound=Event)


def work(run: RunDir) -> int:
    """What the child does, in this process; the exit code."""
    return work_in(run.path)


def all_events(run: EngineDir) -> list[Event]:
    """The whole log, in order."""
    return list(EventTail(run.events_file).read_all())


def events_of(run: EngineDir, kind: type[AnEvent]) -> list[AnEvent]:
    """The events of one kind."""
    return [event for event in all_events(run) if isinstance(event, kind)]


def at_look(monkeypatch: pytest.MonkeyPatch, number: int, ask: Callable[[], object]) -> None:
    """Ask for something just before the engine looks into its control folder for the n-th time (after every micro-batch)."""
    look = ControlFolder.new
    looks = 0

    def counted(folder: ControlFolder) -> list[Control]:
        nonlocal looks
        looks += 1
        if looks == number:
            ask()
        return look(folder)

    monkeypatch.setattr(ControlFolder, "new", counted)
