"""Running the engine in this process, and reading what it wrote."""

from __future__ import annotations

from typing import TypeVar

from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import Event
from desktop_ft.core.runs import RunDir
from desktop_ft.engine.__main__ import work_in

AnEvent = TypeVar("AnEvent", bound=Event)


def work(run: RunDir) -> int:
    """What the child does, in this process; the exit code."""
    return work_in(run.path)


def all_events(run: RunDir) -> list[Event]:
    """The whole log, in order."""
    return list(EventTail(run.events_file).read_all())


def events_of(run: RunDir, kind: type[AnEvent]) -> list[AnEvent]:
    """The events of one kind."""
    return [event for event in all_events(run) if isinstance(event, kind)]
