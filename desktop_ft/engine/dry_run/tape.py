"""What a dry run takes and gives back, as the allocator will see it, and what each piece is for."""

# pyright: reportPrivateUsage=false
# What torch and transformers do inside is replaced or asked here, and has no public name.

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import torch

from desktop_ft.core.memory.allocator import Alloc, Begin, EmptyCache, Free, TraceEvent

SMALLEST_LOGITS: Final = 8192
"""A last dimension from this on that is the vocabulary, or a tile of it, marks logits."""


class Tape:
    """Events of one dry run.

    Args:
        logit_widths: Last dimensions that are logits: the vocabulary, and a tile of TRL's head.
    """

    def __init__(self, logit_widths: frozenset[int] = frozenset()) -> None:
        self.events: list[TraceEvent] = []
        self.labels: list[int | None] = []
        """The model's block that each event happened in."""
        self.layer: int | None = None
        """The block that is at work."""
        self.kinds: dict[int, str] = {}
        self.outside: dict[int, int] = {}
        """Bytes of what is taken past torch's allocator: paged optimizer states."""
        self._blocks: dict[int, int] = {}
        self._next = 0
        self._logit_widths = {width for width in logit_widths if width >= SMALLEST_LOGITS}
        self._placed: dict[int, int] = {}
        self._is_outside = False
        self._is_paused = False

    def take(self, tensor: torch.Tensor) -> None:
        """Note the tensor's storage, unless it is known; it is given back when nothing refers to it any more."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if self._is_paused or key in self._blocks or not storage.nbytes():
            return
        block = self._new()
        self._blocks[key] = block
        if self._is_outside:
            self.outside[block] = storage.nbytes()
        else:
            if tensor.ndim and tensor.shape[-1] in self._logit_widths:
                self.kinds[block] = "logits"
            self._write(Alloc(block, storage.nbytes()))
        weakref.finalize(storage, self._give_back, key, block)

    def _write(self, event: TraceEvent) -> None:
        self.events.append(event)
        self.labels.append(self.layer)

    def _give_back(self, key: int, block: int) -> None:
        if self._blocks.get(key) == block:
            del self._blocks[key]
        if block not in self.outside:
            self._write(Free(block))

    def _new(self) -> int:
        self._next += 1
        return self._next

    def hold(self, num_bytes: int, kind: str = "") -> int:
        """Memory that no tensor here stands for; the block's name, to be freed with `let_go`."""
        block = self._new()
        self._write(Alloc(block, num_bytes))
        if kind:
            self.kinds[block] = kind
        return block

    def let_go(self, block: int) -> None:
        """Give back what `hold` took."""
        self._write(Free(block))

    def scratch(self, *num_bytes: int) -> None:
        """Working space of a kernel: taken together and given back at once."""
        for block in [self.hold(size) for size in num_bytes]:
            self.let_go(block)

    def begin(self, phase: str) -> None:
        """A phase begins, outside of the model's blocks."""
        self.layer = None
        self._write(Begin(phase))

    def empty_cache(self) -> None:
        """What no tensor holds goes back to the driver."""
        self._write(EmptyCache())

    def place(self, tensor: torch.Tensor | None, layer: int | None) -> None:
        """Say which of the model's blocks a tensor belongs to that was taken elsewhere, such as an optimizer's state."""
        block = None if tensor is None else self._blocks.get(tensor.untyped_storage()._cdata)
        if block is not None and layer is not None:
            self._placed[block] = layer

    def outside_bytes(self, weight: Callable[[int | None], int]) -> int:
        """Of the whole model.

        Args:
            weight: How many of the whole model's blocks a block stands for.
        """
        return sum(num_bytes * weight(self._placed.get(block)) for block, num_bytes in self.outside.items())

    def settle(self, since: int) -> None:
        """Of what was written since then keep only what is still held: making a trainer copies and casts, which is no peak."""
        written = list(zip(self.events[since:], self.labels[since:], strict=True))
        freed = {event.block for event, _ in written if isinstance(event, Free)}
        taken = {event.block for event, _ in written if isinstance(event, Alloc)}
        kept = [
            (event, label)
            for event, label in written
            if not (isinstance(event, Alloc) and event.block in freed) and not (isinstance(event, Free) and event.block in taken)
        ]
        self.events[since:], self.labels[since:] = [event for event, _ in kept], [label for _, label in kept]

    def placed_labels(self) -> list[int | None]:
        """The labels, with what `place` said."""
        return [
            self._placed.get(event.block, label) if isinstance(event, Alloc) else label
            for event, label in zip(self.events, self.labels, strict=True)
        ]

    def name(self, tensor: torch.Tensor | None, kind: str) -> None:
        """Say what a tensor is for, such as ``weights``; the first to say it counts."""
        block = None if tensor is None else self._blocks.get(tensor.untyped_storage()._cdata)
        if block is not None:
            self.kinds.setdefault(block, kind)

    @contextmanager
    def take_outside(self) -> Generator[None]:
        """New tensors lie past torch's allocator as long as the context lives."""
        self._is_outside = True
        try:
            yield
        finally:
            self._is_outside = False

    @contextmanager
    def paused(self) -> Generator[None]:
        """Nothing is noted as long as the context lives."""
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False
