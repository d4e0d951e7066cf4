"""The event log of one run: the engine appends, everyone else tails. One line, one flush, never a lock between them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Final

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import Event, decode_event, encode_event
from desktop_ft.core.files import write_error

_CHUNK_BYTES: Final = 1 << 20
_MAX_LINE_BYTES: Final = 16 << 20
_LINE_END: Final = ord("\n")


class EventWriter:
    """Appends events with their place and time.

    A log that ends in half a line (its writer was killed) gets a line end first, so that the half is one bad line and not a
    part of the next event.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._is_in_line = False
        try:
            self._next_seq = _repair_and_count(path)
            self._file = FileIO(path, "a")
        except OSError as error:
            raise write_error(path, error) from error

    def write(self, event: Event) -> Event:
        """Append one event; returns it with its ``seq`` and ``time``.

        An event that could only be written in part (the disk was full) is closed by a line end before the next one.

        Raises:
            DesktopFtError: ``disk_full`` or ``file_not_writable``.
        """
        stamped = dataclasses.replace(event, seq=self._next_seq, time=self._clock())
        data = encode_event(stamped).encode("utf-8", errors="replace") + b"\n"
        try:
            self._append(b"\n" + data if self._is_in_line else data)
        except OSError as error:
            raise write_error(self._path, error) from error
        self._next_seq += 1
        return stamped

    def _append(self, data: bytes) -> None:
        while data:
            num_written = self._file.write(data) or 0
            if num_written:
                self._is_in_line = data[num_written - 1] != _LINE_END
            data = data[num_written:]

    def close(self) -> None:
        """Close the file; writing again is a mistake."""
        self._file.close()


def _repair_and_count(path: Path) -> int:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return 0
    tail = EventTail(path)
    last = -1
    for event in tail.read_all():
        last = max(last, event.seq)
    if tail.has_unfinished_line:
        with path.open("ab") as file:
            file.write(b"\n")
    return last + 1


class EventTail:
    """Reads what was appended since the last call; keeps an unfinished last line for the next one.

    Attributes:
        num_ignored: Lines so far that were no event this version knows.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self.num_ignored = 0

    @property
    def has_unfinished_line(self) -> bool:
        """Whether the log ends in the middle of a line."""
        return bool(self._rest)

    @property
    def position(self) -> int:
        """Bytes read so far, the unfinished line with them."""
        return self._offset

    def read(self, end: int | None = None) -> list[Event]:
        """The events of at most 1 MiB of new text; an empty list when there is nothing new.

        Args:
            end: Read no further than this byte of the file; None: as far as it goes.

        Raises:
            DesktopFtError: ``events_too_new`` or ``events_unreadable``.
        """
        chunk = self._read_chunk(_CHUNK_BYTES if end is None else min(_CHUNK_BYTES, max(0, end - self._offset)))
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _MAX_LINE_BYTES:
            self._rest = b""
            self.num_ignored += 1
        return list(self._decode(lines))

    def read_all(self) -> Iterator[Event]:
        """Every event up to the end of the file as it is now."""
        end = self._path.stat().st_size if self._path.exists() else 0
        while self._offset < end:
            before = self._offset
            yield from self.read(end)
            if self._offset == before:
                return

    def _read_chunk(self, num_bytes: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read(num_bytes)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise DesktopFtError(
                "events_unreadable",
                "The run's event log can't be read",
                f"Reading {self._path} failed: {error.strerror or error}.",
                "Check that the disk is connected and that you may read the file.",
            ) from error
        self._offset += len(chunk)
        return chunk

    def _decode(self, lines: list[bytes]) -> Iterator[Event]:
        for line in lines:
            if not line.strip():
                continue
            event = decode_event(line.decode("utf-8", errors="replace"))
            if event is None:
                self.num_ignored += 1
            else:
                yield event
