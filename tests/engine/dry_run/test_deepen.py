"""Traces of deep models from shallow ones: a made model whose deep trace is known."""

from __future__ import annotations

from desktop_ft.core.memory.allocator import Alloc, Begin, Free, TraceEvent, replay
from desktop_ft.engine.dry_run.deepen import deepen
from desktop_ft.engine.dry_run.depth import choose_depth

MIB = 1 << 20


def made(num_layers: int, sizes: tuple[int, ...] = (3,)) -> tuple[list[TraceEvent], list[int | None]]:
    """A step of a made model: weights, a forward pass that keeps its inputs, a backward pass that gives gradients, an update."""
    events: list[TraceEvent] = []
    labels: list[int | None] = []
    names: dict[tuple[str, int], int] = {}

    def take(what: str, layer: int, mib: int, label: int | None) -> None:
        names[what, layer] = len(names) + 1
        events.append(Alloc(names[what, layer], mib * MIB))
        labels.append(label)

    def give(what: str, layer: int, label: int | None) -> None:
        events.append(Free(names[what, layer]))
        labels.append(label)

    def begin(phase: str) -> None:
        events.append(Begin(phase))
        labels.append(None)

    size = {layer: sizes[layer % len(sizes)] for layer in range(-1, num_layers)}
    take("weight", -1, 40, None)
    for layer in range(num_layers):
        take("weight", layer, 12 * size[layer], layer)
    begin("forward")
    take("hidden", -1, 5, None)
    for layer in range(num_layers):
        take("hidden", layer, 5, layer)
        take("inner", layer, 9 * size[layer], layer)
    begin("head")
    take("grad", num_layers, 5, None)
    begin("blocks")
    for layer in reversed(range(num_layers)):
        take("grad", layer, 5, layer)
        give("grad", layer + 1, layer)
        take("gradient", layer, 12 * size[layer], layer)
        give("inner", layer, layer)
        give("hidden", layer, layer)
    begin("optimizer")
    for layer in range(num_layers):
        give("gradient", layer, None)
    give("grad", 0, None)
    give("hidden", -1, None)
    return events, labels


def test_a_deepened_trace_is_that_of_the_deep_model() -> None:
    events, labels = made(4)
    deep, _ = deepen(events, labels, range(2, 3), 28)
    whole, _ = made(32)
    assert len(deep) == len(whole)
    assert replay(deep) == replay(whole)


def test_a_pattern_of_blocks_is_repeated_as_a_whole() -> None:
    sizes = (1, 4, 2)
    depth = choose_depth([sizes[layer % 3] for layer in range(20)])
    assert (depth.run, depth.period, depth.num_copies) == (5, range(1, 4), 5)
    events, labels = made(5, sizes)
    deep, _ = deepen(events, labels, depth.period, depth.num_copies)
    whole, _ = made(20, sizes)
    found, expected = replay(deep), replay(whole)
    assert (found.allocated, found.peak) == (expected.allocated, expected.peak)


def test_pieces_are_told_by_the_piece_that_they_are_like() -> None:
    events, labels = made(4)
    deep, models = deepen(events, labels, range(2, 3), 3)
    sizes = {event.block: event.num_bytes for event in events if isinstance(event, Alloc)}
    assert all(event.num_bytes == sizes[models[event.block]] for event in deep if isinstance(event, Alloc))


def test_depths_respect_the_pattern_of_the_blocks() -> None:
    assert choose_depth("a" * 32).run == 4
    assert choose_depth("a" * 3).period == range(0)
    mixed = choose_depth(("aaaaab" * 5)[:26])
    assert (mixed.run, mixed.period, mixed.num_copies) == (8, range(1, 7), 3)
    first_is_dense = choose_depth("b" + "a" * 27)
    assert (first_is_dense.run, first_is_dense.period) == (4, range(2, 3))
    assert choose_depth("abcdefgh").run == 8
    assert [mixed.weight(layer) for layer in (None, 0, 1, 7)] == [1, 1, 4, 1]
