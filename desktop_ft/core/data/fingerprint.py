"""Fingerprints: of a file, to notice that it changed under a run, and of an example, to split and find duplicates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from desktop_ft.core.data.records import Example, canonical, canonical_prompt
from desktop_ft.core.errors import DesktopFtError


@dataclass(frozen=True)
class Fingerprint:
    """The content of a file.

    Attributes:
        sha256: Hash of its bytes as they lie on disk, hexadecimal.
        size_bytes: Its size.
    """

    sha256: str
    size_bytes: int

    def to_dict(self) -> dict[str, object]:
        """The shape kept in a run's record."""
        return {"sha256": self.sha256, "size_bytes": self.size_bytes}


def file_fingerprint(path: Path) -> Fingerprint:
    """Hash a file without holding it in memory.

    Raises:
        DesktopFtError: ``data_file_missing`` or ``data_file_unreadable``.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return Fingerprint(digest.hexdigest(), file.tell())
    except FileNotFoundError as error:
        raise missing_file(path) from error
    except OSError as error:
        raise unreadable_file(path, error.strerror or str(error)) from error


def data_fingerprint(path: Path, files: Sequence[Path]) -> Fingerprint:
    """Hash a data set: the file itself, or of a folder the names and contents of the files that are read.

    Args:
        path: The file or folder.
        files: What is read of it, in order.

    Raises:
        DesktopFtError: As `file_fingerprint`.
    """
    if not path.is_dir():
        return file_fingerprint(path)
    digest, size_bytes = hashlib.sha256(), 0
    for file in files:
        one = file_fingerprint(file)
        digest.update(f"{file.relative_to(path).as_posix()}\0{one.sha256}\n".encode("utf-8", "surrogateescape"))
        size_bytes += one.size_bytes
    return Fingerprint(digest.hexdigest(), size_bytes)


def example_fingerprint(example: Example) -> str:
    """Hash of what an example says, hexadecimal; equal for equal examples from any file or format."""
    return _hash(canonical(example))


def prompt_fingerprint(example: Example) -> str:
    """Hash of the prompt that an example answers; of all of it where it has none. Keeps the answers to one prompt together."""
    return _hash(canonical_prompt(example))


def _hash(shape: list[object]) -> str:
    text = json.dumps(shape, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def missing_file(path: Path) -> DesktopFtError:
    """``data_file_missing`` for a path that leads nowhere."""
    return DesktopFtError(
        "data_file_missing",
        "The data file is not there",
        f"There is no file at {path}.",
        "Check the path, or pick the file again.",
    )


def unreadable_file(path: Path, reason: str) -> DesktopFtError:
    """``data_file_unreadable`` with the reason in a sentence."""
    return DesktopFtError(
        "data_file_unreadable",
        "The data file cannot be read",
        f"{path.name}: {reason}",
        "Open the file in an editor and check that it is whole and in the format that its name says, or export it again.",
    )
