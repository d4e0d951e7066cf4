"""Open a data file and give its rows as a list, whatever its kind. What a row means is decided in `formats`.

Reads .json, .jsonl, .ndjson, .csv, .tsv, .txt (each also as .gz and .zst), .parquet, .arrow and folders of them. `source.RowSource`
gives the same rows one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from desktop_ft.core.data.fingerprint import unreadable_file
from desktop_ft.core.data.rows import BadRow
from desktop_ft.core.data.source import SUFFIXES, TEXT_SUFFIXES, RowSource
from desktop_ft.core.errors import DesktopFtError

__all__ = ["SUFFIXES", "TEXT_SUFFIXES", "MalformedRow", "Rows", "malformed_row", "none_readable", "read_rows"]


@dataclass(frozen=True)
class MalformedRow:
    """A row that cannot be used, in a file that otherwise can.

    Attributes:
        number: 1-based: the line in files of JSON lines, the row elsewhere (a header does not count).
        reason: What is wrong with it.
    """

    number: int
    reason: str


@dataclass(frozen=True)
class Rows:
    """The rows of a file.

    Attributes:
        rows: The readable ones, in order.
        columns: Their column names, in order of first appearance.
        num_rows: Rows seen, the malformed ones included.
        malformed: The ones that could not be read.
        numbers: The number of each row in ``rows``, counted as in `MalformedRow`.
        is_complete: False if reading stopped at ``limit``.
        notes: What was guessed or chosen (an encoding, the part of a folder), in sentences.
    """

    rows: list[dict[str, object]]
    columns: tuple[str, ...]
    num_rows: int
    malformed: tuple[MalformedRow, ...]
    numbers: tuple[int, ...]
    is_complete: bool
    notes: tuple[str, ...] = ()


def read_rows(path: Path, *, limit: int | None = None, strict: bool = False) -> Rows:
    """Read a data file.

    Args:
        path: The file or folder; a file's suffix (before .gz or .zst) says how it is read.
        limit: Stop after this many rows.
        strict: Refuse the file at its first malformed row, as training does, instead of listing it.

    Raises:
        DesktopFtError: ``data_file_missing``, ``data_file_empty``, ``data_file_unreadable``, ``data_file_too_large``,
            ``data_format_unknown``, ``data_folder_mixed``, and with ``strict`` ``data_row_malformed``.
    """
    source = RowSource(path)
    rows: list[dict[str, object]] = []
    numbers: list[int] = []
    malformed: list[MalformedRow] = []
    columns: dict[str, None] = {}
    is_complete = True
    for number, row in source:
        if limit is not None and len(rows) + len(malformed) >= limit:
            is_complete = False
            break
        if isinstance(row, BadRow):
            if strict:
                raise malformed_row(number, row.reason, path)
            malformed.append(MalformedRow(number, row.reason))
            continue
        rows.append(row)
        numbers.append(number)
        columns.update(dict.fromkeys(row))
    if not rows:
        raise none_readable(path, malformed)
    num_rows = len(rows) + len(malformed)
    return Rows(rows, tuple(columns), num_rows, tuple(malformed), tuple(numbers), is_complete, source.notes)


def malformed_row(number: int, reason: str, path: Path | None = None) -> DesktopFtError:
    """``data_row_malformed`` naming the row."""
    where = f"Row {number} of {path.name}" if path else f"Row {number}"
    return DesktopFtError(
        "data_row_malformed",
        "A row of the data is malformed",
        f"{where}: {reason}",
        "Mend or remove that row, then start again.",
    )


def none_readable(path: Path, malformed: list[MalformedRow]) -> DesktopFtError:
    """``data_file_empty``, or ``data_file_unreadable`` with the first problem."""
    if malformed:
        first = malformed[0]
        reason = f"none of its {len(malformed)} rows can be read; the first problem is in row {first.number}: {first.reason}"
        return unreadable_file(path, reason)
    return DesktopFtError(
        "data_file_empty",
        "The data file has no rows",
        f"{path.name} ({path.stat().st_size} bytes) holds no examples.",
        "Pick a file with at least one example.",
    )
