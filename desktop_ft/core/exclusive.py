"""One process at a time: a lock of the operating system on a file, let go of by the system itself when its holder dies."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from pathlib import Path

from desktop_ft.core.files import write_error

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_LOCK, 1)

    def _unlock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)


@contextlib.contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Wait for one's turn and hold the file; for moments only. A file system without locks gives no protection.

    Raises:
        DesktopFtError: ``file_not_writable`` or ``disk_full`` where the file cannot be made.
    """
    try:
        file = path.open("ab")
    except OSError as error:
        raise write_error(path, error) from error
    with file:
        with contextlib.suppress(OSError):
            _lock(file.fileno())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                _unlock(file.fileno())
