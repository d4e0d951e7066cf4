"""The trace of a deep model from that of a shallow one: what one period of its blocks takes is played as often as the model has it.

Every event of a shallow trace is labelled with the block that it happened in. A block's part of a pass is repeated for each block that
is added, and what it gives back is translated: memory of the same block, or of the block below or above, becomes that of the copy's own
neighbour. The order of taking and giving back is then that of the deep model, so the allocator's holes are as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from desktop_ft.core.memory.allocator import Alloc, EmptyCache, Free, TraceEvent

Label = int | None
_Id = tuple[int, int, int]
"""A piece of memory: which pass over the blocks, which block, which of its pieces."""


@dataclass(frozen=True)
class _Segment:
    """What happened in one block at a stretch."""

    label: Label
    number: int
    events: list[TraceEvent]


def deepen(
    events: Sequence[TraceEvent], labels: Sequence[Label], period: range, num_copies: int
) -> tuple[list[TraceEvent], dict[int, int]]:
    """Add blocks to a trace.

    Args:
        events: Of the shallow model.
        labels: The block of each event; None outside of the blocks.
        period: The blocks to repeat; at least one block lies below and one above them.
        num_copies: How often.

    Returns:
        The deep trace, and for each of its pieces of memory the piece of the shallow trace that it is like.
    """
    segments = _segments(events, labels)
    deep = _Deep(period, num_copies, _identities(segments))
    place = 0
    while place < len(segments):
        run = _run_through(segments, place, period)
        if not run:
            deep.play(segments[place], 0)
            place += 1
            continue
        place += len(run)
        if len(run) < len(period):
            for segment in run:
                deep.play(segment, 0)
        else:
            ascends = _ascends(segments, place - len(run), place)
            for copy in range(num_copies + 1) if ascends else range(num_copies, -1, -1):
                for segment in run:
                    deep.play(segment, copy)
    return deep.whole(), deep.models


def _segments(events: Sequence[TraceEvent], labels: Sequence[Label]) -> list[_Segment]:
    found: list[_Segment] = []
    counts: dict[int, int] = {}
    for event, label in zip(events, labels, strict=True):
        if not found or found[-1].label != label:
            number = 0
            if label is not None:
                number = counts.get(label, 0)
                counts[label] = number + 1
            found.append(_Segment(label, number, []))
        found[-1].events.append(event)
    return found


def _identities(segments: Sequence[_Segment]) -> dict[int, _Id]:
    """Of every piece that a block takes."""
    found: dict[int, _Id] = {}
    for segment in segments:
        if segment.label is not None:
            taken = (event for event in segment.events if isinstance(event, Alloc))
            found.update((event.block, (segment.number, segment.label, place)) for place, event in enumerate(taken))
    return found


def _run_through(segments: Sequence[_Segment], start: int, period: range) -> list[_Segment]:
    """The parts of one pass through the period that begin here."""
    run: list[_Segment] = []
    seen: set[int] = set()
    for segment in segments[start : start + len(period)]:
        if segment.label is None or segment.label not in period or segment.label in seen:
            break
        run.append(segment)
        seen.add(segment.label)
    return run


def _ascends(segments: Sequence[_Segment], start: int, end: int) -> bool:
    """Whether a pass goes from the lowest block to the highest."""
    near = [segment.label for segment in segments[max(0, start - 1) : end + 1] if segment.label is not None]
    return near[0] <= near[-1]


@dataclass
class _Deep:
    """The deep trace as it is written."""

    period: range
    num_copies: int
    identities: dict[int, _Id]
    events: list[TraceEvent] = field(default_factory=list[TraceEvent])
    models: dict[int, int] = field(default_factory=dict[int, int])
    names: dict[_Id, int] = field(default_factory=dict[_Id, int])
    freed: dict[int, int] = field(default_factory=dict[int, int])

    @property
    def added(self) -> int:
        return self.num_copies * len(self.period)

    def place_of(self, label: int, copy: int) -> int:
        """Where a block of the shallow model, or a copy of it, lies in the deep one."""
        if label >= self.period.stop:
            return label + self.added
        return label + copy * len(self.period)

    def play(self, segment: _Segment, copy: int) -> None:
        """Write a segment's events for a block or its copy."""
        for event in segment.events:
            match event:
                case Alloc(block, num_bytes):
                    self._take(block, num_bytes, copy)
                case Free(block):
                    self._give(block, segment.label, copy)
                case _:
                    if copy == 0 or isinstance(event, EmptyCache):
                        self.events.append(event)

    def _take(self, block: int, num_bytes: int, copy: int) -> None:
        name = len(self.models) + 1
        self.models[name] = block
        number, label, piece = self.identities.get(block, (-1, -1, block))
        self.names[number, self.place_of(label, copy) if label >= 0 else -1, piece] = name
        self.events.append(Alloc(name, num_bytes))

    def _give(self, block: int, inside: Label, copy: int) -> None:
        found = self.identities.get(block)
        if found is None:
            if copy == 0:
                self._free(-1, -1, block)
            return
        number, label, piece = found
        offset = None if inside is None else label - inside
        if inside is not None and offset is not None and abs(offset) <= len(self.period):
            self._free(number, self.place_of(inside, copy) + offset, piece)
        elif copy == 0:
            for each in range(self.num_copies + 1) if label in self.period else (0,):
                self._free(number, self.place_of(label, each), piece)

    def _free(self, *identity: int) -> None:
        name = self.names.get((identity[0], identity[1], identity[2]))
        if name is not None and name not in self.freed:
            self.freed[name] = len(self.events)
            self.events.append(Free(name))

    def whole(self) -> list[TraceEvent]:
        """The trace; a copy that was not given back goes when the block that it copies does."""
        late: dict[int, list[int]] = {}
        for (number, label, piece), name in self.names.items():
            if label not in self.period or name not in self.freed:
                continue
            for copy in range(1, self.num_copies + 1):
                twin = self.names.get((number, self.place_of(label, copy), piece))
                if twin is not None and twin not in self.freed:
                    late.setdefault(self.freed[name], []).append(twin)
        return list(_with_late(self.events, late))


def _with_late(events: Sequence[TraceEvent], late: dict[int, list[int]]) -> Iterator[TraceEvent]:
    for place, event in enumerate(events):
        yield event
        for name in late.get(place, ()):
            yield Free(name)
