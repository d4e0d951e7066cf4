"""A model of torch's caching allocator on a graphics card: what a trace of tensors makes it reserve. Pure; no torch.

The allocator asks the driver for segments and cuts blocks from them. Which block is taken, when it is cut and when neighbours are
joined decides how much is reserved beyond what tensors hold. One stream is modelled, as training uses one.

Source: torch 2.13, c10/cuda/CUDACachingAllocator.cpp (the names of its rules are in the comments), with the default settings of
PYTORCH_ALLOC_CONF but for ``expandable_segments``.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

MIB: Final = 1 << 20
MIN_BLOCK_BYTES: Final = 512
SMALL_BYTES: Final = MIB
"""Up to this a tensor lives in the pool of small blocks (kSmallSize)."""
SMALL_SEGMENT_BYTES: Final = 2 * MIB
LARGE_SEGMENT_BYTES: Final = 20 * MIB
MIN_OWN_SEGMENT_BYTES: Final = 10 * MIB
"""From this on a tensor that finds no block gets a segment of its own size (kMinLargeAlloc), in steps of `SEGMENT_STEP_BYTES`."""
SEGMENT_STEP_BYTES: Final = 2 * MIB
_ENDLESS: Final = LARGE_SEGMENT_BYTES << 36
"""Bytes of the address space that an expandable segment may grow into."""


class Alloc(NamedTuple):
    """A tensor's memory is taken; ``block`` names it until it is freed."""

    block: int
    num_bytes: int


class Free(NamedTuple):
    """The memory of ``block`` is given back."""

    block: int


class Begin(NamedTuple):
    """A phase begins; peaks are told for each."""

    phase: str


class EmptyCache(NamedTuple):
    """``torch.cuda.empty_cache()``: what no tensor holds goes back to the driver."""


TraceEvent = Alloc | Free | Begin | EmptyCache


@dataclass(frozen=True)
class Peak:
    """Most bytes at one time.

    Attributes:
        allocated: Held by tensors, in whole blocks (``torch.cuda.max_memory_allocated``).
        reserved: Taken from the driver (``torch.cuda.max_memory_reserved``).
    """

    allocated: int
    reserved: int


@dataclass(frozen=True)
class Replay:
    """What a trace came to.

    Attributes:
        peak: Over the whole trace.
        phases: Of each phase, in the order in which they began; one that begins again goes on counting.
        allocated: Held at the end.
        reserved: Taken at the end.
        num_flushes: How often the cache had to be given back because the capacity was reached.
        fits: False where a tensor did not fit even then; it was counted all the same.
    """

    peak: Peak
    phases: dict[str, Peak]
    allocated: int
    reserved: int
    num_flushes: int
    fits: bool


def replay(events: Iterable[TraceEvent], *, expandable_segments: bool = False, capacity_bytes: int | None = None) -> Replay:
    """Play a trace through the allocator.

    Args:
        events: Every block is taken before it is freed, and freed at most once.
        expandable_segments: As ``PYTORCH_ALLOC_CONF=expandable_segments:True``.
        capacity_bytes: What the device has for this process; None: enough.
    """
    allocator = CachingAllocator(expandable_segments=expandable_segments, capacity_bytes=capacity_bytes)
    held: dict[int, _Block] = {}
    phases: dict[str, list[int]] = {}
    now = phases.setdefault("", [0, 0])
    for event in events:
        match event:
            case Alloc(block, num_bytes):
                if num_bytes > 0:
                    held[block] = allocator.allocate(num_bytes)
                    now[0], now[1] = max(now[0], allocator.allocated), max(now[1], allocator.reserved)
            case Free(block):
                if block in held:
                    allocator.free(held.pop(block))
            case Begin(phase):
                now = phases.setdefault(phase, [0, 0])
                now[0], now[1] = max(now[0], allocator.allocated), max(now[1], allocator.reserved)
            case EmptyCache():
                allocator.empty_cache()
    peaks = {phase: Peak(*values) for phase, values in phases.items() if phase or any(values)}
    whole = Peak(max((peak.allocated for peak in peaks.values()), default=0), max((peak.reserved for peak in peaks.values()), default=0))
    return Replay(whole, peaks, allocator.allocated, allocator.reserved, allocator.num_flushes, allocator.fits)


def round_size(num_bytes: int) -> int:
    """Bytes of the block that a tensor needs: whole multiples of 512 (round_size)."""
    return max(MIN_BLOCK_BYTES, -(-num_bytes // MIN_BLOCK_BYTES) * MIN_BLOCK_BYTES)


def segment_size(num_bytes: int) -> int:
    """Bytes asked of the driver for a block that no free one fits (get_allocation_size)."""
    if num_bytes <= SMALL_BYTES:
        return SMALL_SEGMENT_BYTES
    if num_bytes < MIN_OWN_SEGMENT_BYTES:
        return LARGE_SEGMENT_BYTES
    return -(-num_bytes // SEGMENT_STEP_BYTES) * SEGMENT_STEP_BYTES


@dataclass(eq=False, slots=True)
class _Block:
    """A piece of a segment: held by a tensor, free, or (of an expandable segment) address space without memory."""

    address: int
    num_bytes: int
    pool: _Pool
    is_held: bool = False
    is_mapped: bool = True
    before: _Block | None = None
    after: _Block | None = None

    @property
    def is_whole_segment(self) -> bool:
        return self.before is None and self.after is None

    @property
    def growing_bytes(self) -> int:
        """Its size with the address space behind it that it could grow into."""
        grows = self.after is not None and not self.after.is_mapped
        return self.num_bytes + (self.after.num_bytes if grows and self.after is not None else 0)


_Key = tuple[int, int]


@dataclass(eq=False, slots=True)
class _Pool:
    """Small or large blocks: the free ones by size, then address."""

    step: int
    keys: list[_Key] = field(default_factory=list[_Key])
    blocks: dict[int, _Block] = field(default_factory=dict[int, "_Block"])
    unmapped: list[int] = field(default_factory=list[int])
    spaces: dict[int, _Block] = field(default_factory=dict[int, "_Block"])

    def put(self, block: _Block) -> None:
        insort(self.keys, (block.num_bytes, block.address))
        self.blocks[block.address] = block

    def take(self, block: _Block) -> None:
        del self.keys[bisect_left(self.keys, (block.num_bytes, block.address))]
        del self.blocks[block.address]

    def put_space(self, block: _Block) -> None:
        insort(self.unmapped, block.address)
        self.spaces[block.address] = block

    def take_space(self, block: _Block) -> None:
        del self.unmapped[bisect_left(self.unmapped, block.address)]
        del self.spaces[block.address]


class CachingAllocator:
    """The allocator's state.

    Args:
        expandable_segments: One growing segment a pool instead of many of fixed size.
        capacity_bytes: Most that the driver gives; None: enough.
    """

    def __init__(self, *, expandable_segments: bool = False, capacity_bytes: int | None = None) -> None:
        self._expandable = expandable_segments
        self._capacity = capacity_bytes
        self._small, self._large = _Pool(SMALL_SEGMENT_BYTES), _Pool(LARGE_SEGMENT_BYTES)
        self._next_address = 0
        self.allocated = 0
        self.reserved = 0
        self.num_flushes = 0
        self.fits = True

    def allocate(self, num_bytes: int) -> _Block:
        """Memory for a tensor."""
        size = round_size(num_bytes)
        pool = self._small if size <= SMALL_BYTES else self._large
        block = self._best_fit(pool, size) or self._new_block(pool, size)
        self._split(block, size)
        block.is_held = True
        self.allocated += block.num_bytes
        return block

    def free(self, block: _Block) -> None:
        """Give a tensor's memory back to its pool, joined with its free neighbours (free_block)."""
        assert block.is_held
        block.is_held = False
        self.allocated -= block.num_bytes
        self._settle(block)

    def empty_cache(self) -> None:
        """Give everything that no tensor holds back to the driver: whole segments; of an expandable one every whole step."""
        for pool in (self._small, self._large):
            for block in list(pool.blocks.values()):
                if self._expandable:
                    self._unmap(block)
                elif block.is_whole_segment:
                    pool.take(block)
                    self.reserved -= block.num_bytes

    # --- finding a block ---

    def _best_fit(self, pool: _Pool, size: int) -> _Block | None:
        """The smallest free block that is large enough (get_free_block).

        Of an expandable segment's last block the size counts that it could grow to, so that others are taken first.
        """
        index = bisect_left(pool.keys, (size, -1))
        if index == len(pool.keys):
            return None
        block = pool.blocks[pool.keys[index][1]]
        while self._expandable and index + 1 < len(pool.keys):
            following = pool.blocks[pool.keys[index + 1][1]]
            if following.growing_bytes >= block.growing_bytes:
                break
            block, index = following, index + 1
        pool.take(block)
        return block

    def _new_block(self, pool: _Pool, size: int) -> _Block:
        """Memory from the driver, after giving the cache back where the capacity is reached; not in any list yet."""
        wanted = -(-size // pool.step) * pool.step if self._expandable else segment_size(size)
        if self._capacity is not None and self.reserved + wanted > self._capacity:
            self.empty_cache()
            self.num_flushes += 1
            self.fits = self.fits and self.reserved + wanted <= self._capacity
        return self._grow(pool, size) if self._expandable else self._segment(pool, segment_size(size))

    def _segment(self, pool: _Pool, size: int) -> _Block:
        block = _Block(self._addresses(size), size, pool)
        self.reserved += size
        return block

    def _addresses(self, size: int) -> int:
        address = self._next_address
        self._next_address += size
        return address

    # --- expandable segments ---

    def _grow(self, pool: _Pool, size: int) -> _Block:
        """Map memory behind a free block, or where there is address space enough (try_allocate_expandable_block)."""
        block = self._place_to_grow(pool, size)
        if not block.is_mapped:
            block = self._map(block, min(block.num_bytes, size))
        while block.num_bytes < size:
            assert block.after is not None
            block = self._map(block.after, min(size - block.num_bytes, block.after.num_bytes))
        pool.take(block)
        return block

    def _place_to_grow(self, pool: _Pool, size: int) -> _Block:
        """The lowest run of free and unmapped blocks that is long enough (find_expandable_block)."""
        for address in pool.unmapped:
            block = pool.spaces[address]
            if block.before is not None and not block.before.is_held:
                block = block.before
            if _has_room(block, size):
                return block
        space = _Block(self._addresses(_ENDLESS), _ENDLESS, pool, is_mapped=False)
        pool.put_space(space)
        return space

    def _map(self, space: _Block, size: int) -> _Block:
        """Back the beginning of address space with memory, in whole steps; joined with free neighbours."""
        pool = space.pool
        size = min(-(-size // pool.step) * pool.step, space.num_bytes)
        pool.take_space(space)
        if space.num_bytes > size:
            rest = _Block(space.address + size, space.num_bytes - size, pool, is_mapped=False)
            _insert_after(space, rest)
            space.num_bytes = size
            pool.put_space(rest)
        space.is_mapped = True
        self.reserved += size
        return self._settle(space)

    def _unmap(self, block: _Block) -> None:
        """Give back the whole steps inside a free block; what is left of it at both ends stays (unmap_block)."""
        pool, step = block.pool, block.pool.step
        start, end = -(-block.address // step) * step, (block.address + block.num_bytes) // step * step
        if end <= start:
            return
        pool.take(block)
        middle = block
        if start > block.address:
            middle = _Block(start, block.address + block.num_bytes - start, pool)
            _insert_after(block, middle)
            block.num_bytes = start - block.address
            pool.put(block)
        if middle.address + middle.num_bytes > end:
            rest = _Block(end, middle.address + middle.num_bytes - end, pool)
            _insert_after(middle, rest)
            middle.num_bytes = end - start
            pool.put(rest)
        self.reserved -= middle.num_bytes
        middle.is_mapped = False
        self._settle(middle)

    # --- cutting and joining ---

    def _split(self, block: _Block, size: int) -> None:
        """Cut off what is not needed where it is worth it (should_split): 512 bytes of a small block, more than 1 MiB of a large one."""
        rest = block.num_bytes - size
        is_fine = block.pool is self._small or self._expandable
        if rest < MIN_BLOCK_BYTES or (not is_fine and rest <= SMALL_BYTES):
            return
        remainder = _Block(block.address + size, rest, block.pool)
        _insert_after(block, remainder)
        block.num_bytes = size
        block.pool.put(remainder)

    def _settle(self, block: _Block) -> _Block:
        """Join a block that became free, or unmapped, with neighbours of the same kind (try_merge_blocks), and list it."""
        pool = block.pool
        put, take = (pool.put, pool.take) if block.is_mapped else (pool.put_space, pool.take_space)
        before, after = block.before, block.after
        if before is not None and not before.is_held and before.is_mapped == block.is_mapped:
            take(before)
            block.address, block.num_bytes, block.before = before.address, before.num_bytes + block.num_bytes, before.before
            if block.before is not None:
                block.before.after = block
        if after is not None and not after.is_held and after.is_mapped == block.is_mapped:
            take(after)
            block.num_bytes, block.after = block.num_bytes + after.num_bytes, after.after
            if block.after is not None:
                block.after.before = block
        put(block)
        return block


def _has_room(block: _Block | None, size: int) -> bool:
    found = 0
    while found < size and block is not None and not block.is_held:
        found += block.num_bytes
        block = block.after
    return found >= size


def _insert_after(block: _Block, new: _Block) -> None:
    new.before, new.after = block, block.after
    if block.after is not None:
        block.after.before = new
    block.after = new
