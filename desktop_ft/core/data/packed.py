"""The bytes of a data file: plain, or unpacked from gzip or Zstandard while they are read, never more than a bomb may give.

pyarrow is imported only when a Zstandard file is opened.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from desktop_ft.core.data.fingerprint import unreadable_file
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PACKED_SUFFIXES: Final = (".gz", ".zst")
MOST_UNPACKED_BYTES: Final = 64 * 2**30
"""Most that is unpacked from one file."""
_HARMLESS_BYTES: Final = 64 * 2**20
_LARGEST_RATIO: Final = 100
"""Text packs 3 to 20 times smaller; what is this many times larger than its file, and more than harmless, is a bomb."""
_BUFFER_BYTES: Final = 256 * 2**10


def is_packed(path: Path) -> bool:
    """Whether a file is packed, by its name."""
    return path.name.lower().endswith(PACKED_SUFFIXES)


def unpacked_name(path: Path) -> str:
    """The file's name in lower case without .gz or .zst."""
    name = path.name.lower()
    for suffix in PACKED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


@contextmanager
def open_bytes(path: Path) -> Generator[BinaryIO]:
    """A file's bytes, unpacked.

    Raises:
        DesktopFtError: ``data_file_unreadable``, also later while it is read; ``data_file_too_large`` for a bomb.
    """
    if not is_packed(path):
        with path.open("rb", buffering=_BUFFER_BYTES) as file:
            yield file
        return
    with _open_packed(path) as inner, io.BufferedReader(_Unpacking(path, inner), _BUFFER_BYTES) as file:
        yield file


def _open_packed(path: Path) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return cast("BinaryIO", gzip.open(path, "rb"))
    import pyarrow as pa

    return cast("BinaryIO", pa.input_stream(str(path), compression="zstd"))


class _Unpacking(io.RawIOBase):
    """Counts what comes out, and gives every failure of a packer the file's name."""

    def __init__(self, path: Path, inner: BinaryIO) -> None:
        self._path = path
        self._inner = inner
        self._packed_bytes = path.stat().st_size
        self._total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = self._read(len(view))
        view[: len(data)] = data
        self._total += len(data)
        if self._total > MOST_UNPACKED_BYTES or self._total > max(_HARMLESS_BYTES, self._packed_bytes * _LARGEST_RATIO):
            raise _bomb(self._path, self._total, self._packed_bytes)
        return len(data)

    def _read(self, count: int) -> bytes:
        try:
            return self._inner.read(count)
        except EOFError as error:
            raise unreadable_file(self._path, "the packed file ends in the middle; it was cut off when it was copied or loaded.") from error
        except (OSError, ValueError, zlib.error) as error:
            raise unreadable_file(self._path, f"it cannot be unpacked ({str(error).splitlines()[0]}).") from error


def _bomb(path: Path, total: int, packed_bytes: int) -> DesktopFtError:
    return DesktopFtError(
        "data_file_too_large",
        "The data file is too large to open",
        f"{path.name} ({packed_bytes / 2**20:.1f} MiB) unpacks to at least {total / 2**20:.0f} MiB, which no text does.",
        "Unpack the file yourself and look at what is in it.",
    )
