"""The model of torch's caching allocator: each of its rules, and what holds whatever the trace is."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desktop_ft.core.memory.allocator import Alloc, Begin, EmptyCache, Free, Peak, Replay, TraceEvent, replay, round_size, segment_size

MIB = 1 << 20


def played(*events: TraceEvent, expandable: bool = False, capacity: int | None = None) -> Replay:
    return replay(events, expandable_segments=expandable, capacity_bytes=capacity)


def reserved(*events: TraceEvent, expandable: bool = False) -> int:
    return played(*events, expandable=expandable).peak.reserved


# --- rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "rounded"), [(1, 512), (512, 512), (513, 1024), (5 * MIB + 1, 5 * MIB + 512)])
def test_sizes_are_whole_multiples_of_512(asked: int, rounded: int) -> None:
    assert round_size(asked) == rounded


@pytest.mark.parametrize(
    ("size", "segment"),
    [(512, 2 * MIB), (MIB, 2 * MIB), (MIB + 512, 20 * MIB), (10 * MIB - 512, 20 * MIB), (10 * MIB, 10 * MIB), (33 * MIB, 34 * MIB)],
)
def test_segments_by_size(size: int, segment: int) -> None:
    assert segment_size(size) == segment
    assert reserved(Alloc(1, size)) == segment


def test_small_and_large_tensors_have_pools_of_their_own() -> None:
    assert reserved(Alloc(1, 5 * MIB), Free(1), Alloc(2, 4096)) == 22 * MIB


def test_a_small_block_is_cut_to_the_last_512_bytes() -> None:
    assert reserved(*(Alloc(number, 512) for number in range(4096))) == 2 * MIB
    assert reserved(*(Alloc(number, 512) for number in range(4097))) == 4 * MIB


def test_a_large_block_is_cut_only_where_more_than_a_mebibyte_is_left() -> None:
    kept = played(Alloc(1, 12 * MIB), Free(1), Alloc(2, 11 * MIB))
    assert (kept.allocated, kept.reserved) == (12 * MIB, 12 * MIB)
    cut = played(Alloc(1, 14 * MIB), Free(1), Alloc(2, 12 * MIB), Alloc(3, 2 * MIB))
    assert (cut.allocated, cut.reserved) == (14 * MIB, 14 * MIB)


def test_the_smallest_block_that_fits_is_taken() -> None:
    events = [Alloc(1, 40 * MIB), Alloc(2, 20 * MIB), Alloc(3, 30 * MIB), Free(1), Free(2), Free(3), Alloc(4, 20 * MIB), Alloc(5, 40 * MIB)]
    assert played(*events, Alloc(6, 30 * MIB)).reserved == 90 * MIB


def test_neighbours_are_joined_when_they_are_free() -> None:
    parts = [Alloc(1, 8 * MIB), Alloc(2, 8 * MIB)]
    assert reserved(*parts, Free(1), Free(2), Alloc(3, 16 * MIB)) == 20 * MIB
    assert reserved(*parts, Free(1), Alloc(3, 16 * MIB)) == 36 * MIB


def test_a_hole_between_held_blocks_costs_a_new_segment() -> None:
    load = [Alloc(0, 100 * MIB), Free(0), Alloc(1, 40 * MIB), Alloc(2, 20 * MIB), Alloc(3, 40 * MIB)]
    assert reserved(*load, Free(2), Alloc(4, 24 * MIB)) == 124 * MIB


def test_emptying_the_cache_gives_whole_free_segments_back() -> None:
    events = [Alloc(1, 40 * MIB), Alloc(2, 8 * MIB), Alloc(3, 8 * MIB), Free(1), Free(2), EmptyCache()]
    after = played(*events)
    assert (after.reserved, after.peak.reserved, after.allocated) == (20 * MIB, 60 * MIB, 8 * MIB)


def test_an_expandable_segment_grows_by_its_steps_behind_what_is_free() -> None:
    assert reserved(Alloc(1, 30 * MIB), expandable=True) == 40 * MIB
    assert reserved(Alloc(1, 30 * MIB), Alloc(2, 10 * MIB), expandable=True) == 40 * MIB
    grown = [Alloc(1, 40 * MIB), Free(1), Alloc(2, 64 * MIB)]
    assert (reserved(*grown), reserved(*grown, expandable=True)) == (104 * MIB, 80 * MIB)
    assert reserved(Alloc(1, 512), expandable=True) == 2 * MIB


def test_an_expandable_segment_gives_back_the_middle_and_takes_it_again() -> None:
    events = [Alloc(1, 60 * MIB), Alloc(2, 20 * MIB), Free(1), EmptyCache()]
    assert played(*events, expandable=True).reserved == 20 * MIB
    again = played(*events, Alloc(3, 30 * MIB), expandable=True)
    assert (again.reserved, again.peak.reserved) == (60 * MIB, 80 * MIB)


def test_at_its_capacity_the_cache_is_given_back_first() -> None:
    events = [Alloc(1, 40 * MIB), Free(1), Alloc(2, 60 * MIB)]
    flushed = played(*events, capacity=64 * MIB)
    assert (flushed.reserved, flushed.num_flushes, flushed.fits) == (60 * MIB, 1, True)
    assert not played(*events, capacity=50 * MIB).fits


def test_peaks_are_told_for_each_phase() -> None:
    events = [
        Alloc(1, 20 * MIB),
        Begin("forward"),
        Alloc(2, 40 * MIB),
        Free(2),
        Begin("optimizer"),
        Free(1),
        Begin("forward"),
        Alloc(3, 512),
    ]
    result = played(*events)
    assert result.phases[""] == Peak(20 * MIB, 20 * MIB)
    assert result.phases["forward"] == Peak(60 * MIB, 62 * MIB)
    assert result.phases["optimizer"] == Peak(20 * MIB, 60 * MIB)
    assert result.peak == Peak(60 * MIB, 62 * MIB)


# --- whatever the trace -----------------------------------------------------------------------------------------------

SIZES = st.one_of(st.integers(1, 4096), st.integers(1, 3 * MIB), st.integers(1, 64 * MIB))


@st.composite
def traces(draw: st.DrawFn) -> list[TraceEvent]:
    events: list[TraceEvent] = []
    held: list[int] = []
    for block in range(draw(st.integers(1, 40))):
        events.append(Alloc(block, draw(SIZES)))
        held.append(block)
        while held and draw(st.booleans()):
            events.append(Free(held.pop(draw(st.integers(0, len(held) - 1)))))
        if draw(st.integers(0, 9)) == 0:
            events.append(EmptyCache())
    return events


@settings(max_examples=150, deadline=None)
@given(traces(), st.booleans())
def test_more_is_reserved_than_held_and_all_of_it_comes_back(events: list[TraceEvent], expandable: bool) -> None:
    asked = {event.block: event.num_bytes for event in events if isinstance(event, Alloc)}
    live = set(asked) - {event.block for event in events if isinstance(event, Free)}
    result = played(*events, expandable=expandable)
    assert result.reserved >= result.allocated >= sum(asked[block] for block in live)
    assert result.peak.reserved >= result.peak.allocated >= result.allocated
    ended = played(*events, *(Free(block) for block in live), EmptyCache(), expandable=expandable)
    assert (ended.allocated, ended.reserved) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(SIZES, min_size=1, max_size=30), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_giving_back_does_not_matter(sizes: list[int], random: Random, expandable: bool) -> None:
    taken = [Alloc(number, size) for number, size in enumerate(sizes)]
    order = sorted(range(len(sizes)), key=lambda _: random.random())
    one = played(*taken, *(Free(number) for number in range(len(sizes))), EmptyCache(), *taken, expandable=expandable)
    other = played(*taken, *(Free(number) for number in order), EmptyCache(), *taken, expandable=expandable)
    assert (one.reserved, one.allocated) == (other.reserved, other.allocated)
