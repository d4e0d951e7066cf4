"""Open a data file and give its rows, whatever its suffix, within bounded memory.

Reads .json, .jsonl, .ndjson, .csv, .tsv, .txt (each also as .gz) and .parquet. What a row means is decided in `formats`.
pyarrow is imported only when a Parquet file is opened.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from desktop_ft.core.data.fingerprint import missing_file, unreadable_file
from desktop_ft.core.data.text_source import (
    MAX_COLUMNS,
    MAX_ROW_BYTES,
    BadRow,
    RowStream,
    csv_rows,
    json_document_rows,
    json_line_rows,
    plain_text_rows,
)
from desktop_ft.core.errors import DesktopFtError

TEXT_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
MAX_PARQUET_BYTES = 2 * 2**30
"""Most bytes that a Parquet file may unpack to: what its own footer says, checked before anything is unpacked."""
_PARQUET_BATCH_ROWS = 256


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
    """

    rows: list[dict[str, object]]
    columns: tuple[str, ...]
    num_rows: int
    malformed: tuple[MalformedRow, ...]
    numbers: tuple[int, ...]
    is_complete: bool


def read_rows(path: Path, *, limit: int | None = None, strict: bool = False) -> Rows:
    """Read a data file.

    Args:
        path: The file; its suffix (before .gz) says how it is read.
        limit: Stop after this many rows.
        strict: Refuse the file at its first malformed row, as training does, instead of listing it.

    Raises:
        DesktopFtError: ``data_file_missing``, ``data_file_empty``, ``data_file_unreadable``, ``data_file_too_large``,
            ``data_format_unknown``, and with ``strict`` ``data_row_malformed``.
    """
    suffix = _suffix_of(path)
    if not path.is_file():
        raise missing_file(path)
    rows: list[dict[str, object]] = []
    numbers: list[int] = []
    malformed: list[MalformedRow] = []
    columns: dict[str, None] = {}
    is_complete = True
    for number, row in _guarded(path, _stream(path, suffix)):
        if limit is not None and len(rows) + len(malformed) >= limit:
            is_complete = False
            break
        problem = row.reason if isinstance(row, BadRow) else _problem_of(row)
        if isinstance(row, BadRow) or problem is not None:
            if strict:
                raise malformed_row(number, problem or "", path)
            malformed.append(MalformedRow(number, problem or ""))
            continue
        rows.append(row)
        numbers.append(number)
        columns.update(dict.fromkeys(row))
    num_rows = len(rows) + len(malformed)
    if num_rows == 0:
        raise _empty(path)
    if not rows:
        first = malformed[0]
        raise unreadable_file(path, f"none of its {num_rows} rows can be read; the first problem is in row {first.number}: {first.reason}")
    return Rows(rows, tuple(columns), num_rows, tuple(malformed), tuple(numbers), is_complete)


def malformed_row(number: int, reason: str, path: Path | None = None) -> DesktopFtError:
    """``data_row_malformed`` naming the row."""
    where = f"Row {number} of {path.name}" if path else f"Row {number}"
    return DesktopFtError(
        "data_row_malformed",
        "A row of the data is malformed",
        f"{where}: {reason}",
        "Mend or remove that row, then start again.",
    )


def _suffix_of(path: Path) -> str:
    name = path.name.lower()
    is_packed = name.endswith(".gz")
    suffix = Path(name[: -len(".gz")] if is_packed else name).suffix
    if suffix not in (TEXT_SUFFIXES if is_packed else SUFFIXES):
        raise DesktopFtError(
            "data_format_unknown",
            "This kind of data file is not known",
            f"{path.name} ends in {''.join(path.suffixes[-2:]) or 'nothing'}.",
            f"Files may end in {', '.join(SUFFIXES)}; the text ones also in .gz.",
        )
    return suffix


def _stream(path: Path, suffix: str) -> RowStream:
    match suffix:
        case ".json":
            return json_document_rows(path)
        case ".jsonl" | ".ndjson":
            return json_line_rows(path)
        case ".csv":
            return csv_rows(path, None)
        case ".tsv":
            return csv_rows(path, "\t")
        case ".txt":
            return plain_text_rows(path)
        case _:
            return _parquet_rows(path)


def _guarded(path: Path, stream: RowStream) -> RowStream:
    """Turn what the operating system, the codecs and gzip raise into one error that names the file."""
    try:
        yield from stream
    except EOFError as error:
        raise unreadable_file(path, "the packed file ends in the middle; it was cut off when it was copied or downloaded.") from error
    except UnicodeDecodeError as error:
        raise unreadable_file(path, f"it is not valid {error.encoding} text at byte {error.start}.") from error
    except (OSError, ValueError, zlib.error) as error:
        raise unreadable_file(path, str(error)) from error


def _problem_of(row: dict[str, object]) -> str | None:
    if not row:
        return "it has no columns."
    if len(row) > MAX_COLUMNS:
        return f"it has {len(row)} columns; the limit is {MAX_COLUMNS}."
    size = _size_of(row)
    if size > MAX_ROW_BYTES:
        return f"it holds {size / 2**20:.1f} MiB of text; the limit for one row is {MAX_ROW_BYTES // 2**20} MiB."
    return None


def _size_of(value: object) -> int:
    """Rough size in characters, without recursion: hostile rows nest deeply."""
    total = 0
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str | bytes):
            total += len(item)
        elif isinstance(item, dict):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        else:
            total += 8
    return total


def _empty(path: Path) -> DesktopFtError:
    return DesktopFtError(
        "data_file_empty",
        "The data file has no rows",
        f"{path.name} ({path.stat().st_size} bytes) holds no examples.",
        "Pick a file with at least one example.",
    )


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, object] | BadRow]]:
    import pyarrow as pa  # kept out of start-up: 55 MB
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        footer = file.metadata
        unpacked = sum(footer.row_group(index).total_byte_size for index in range(footer.num_row_groups))
        if unpacked > MAX_PARQUET_BYTES:
            raise too_large(path, unpacked, MAX_PARQUET_BYTES)
        if footer.num_columns > MAX_COLUMNS:
            raise unreadable_file(path, f"it has {footer.num_columns} columns; the limit is {MAX_COLUMNS}.")
        number = 0
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except pa.ArrowException as error:
        raise unreadable_file(path, f"it is not a whole Parquet file ({str(error).splitlines()[0]}).") from error


def too_large(path: Path, size_bytes: int, limit_bytes: int) -> DesktopFtError:
    """``data_file_too_large``: refused before it fills the memory."""
    return DesktopFtError(
        "data_file_too_large",
        "The data file is too large to open",
        f"{path.name} unpacks to at least {size_bytes / 2**30:.2f} GiB; the limit is {limit_bytes / 2**30:.2f} GiB.",
        "Split the file, or store it as JSON lines, which are read row by row.",
    )
