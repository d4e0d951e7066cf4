"""Rows out of Parquet and Arrow files, batch by batch. pyarrow is imported only when one is opened."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from desktop_ft.core.data.fingerprint import unreadable_file
from desktop_ft.core.data.lines import FIRST
from desktop_ft.core.data.rows import MAX_COLUMNS, Place, Read, RowStream
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

MAX_PARQUET_BYTES = 2 * 2**30
"""Most bytes that a row group of a Parquet file may unpack to: what its own footer says, checked before anything is unpacked."""
_MOST_BATCH_ROWS: Final = 256
_BATCH_BYTES: Final = 16 * 2**20


def parquet_rows(path: Path, start: Place = FIRST) -> RowStream:
    """The rows of a Parquet file; an offset is the number of rows before."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            footer = file.metadata
            _check_columns(path, footer.num_columns)
            groups, before = _groups_from(file, max(start.offset, 0))
            for group in groups:
                about = footer.row_group(group)
                if about.total_byte_size > MAX_PARQUET_BYTES:
                    raise too_large(path, about.total_byte_size, MAX_PARQUET_BYTES)
                size = min(max(1, _BATCH_BYTES * max(about.num_rows, 1) // max(about.total_byte_size, 1)), _MOST_BATCH_ROWS)
                yield from _numbered(file.iter_batches(batch_size=size, row_groups=[group]), before, start)
                before += about.num_rows
    except pa.ArrowException as error:
        raise unreadable_file(path, f"it is not a whole Parquet file ({_first_line(error)}).") from error


def arrow_rows(path: Path, start: Place = FIRST) -> RowStream:
    """The rows of an Arrow file in either form, memory-mapped; `datasets` saves the streaming one."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            yield from _numbered(_checked_batches(path, _arrow_batches(path, file)), 0, start)
    except pa.ArrowException as error:
        raise unreadable_file(path, f"it is not a whole Arrow file ({_first_line(error)}).") from error


def _arrow_batches(path: Path, file: pa.MemoryMappedFile) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    if is_file:
        reader = pa.ipc.open_file(file)
        _check_columns(path, len(reader.schema))
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)
    else:
        stream = pa.ipc.open_stream(file)
        _check_columns(path, len(stream.schema))
        yield from stream


def _checked_batches(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches in small pieces, each proven sound: a broken one would end the process."""
    import pyarrow as pa

    for index, batch in enumerate(batches):
        try:
            batch.validate(full=True)
        except pa.ArrowException as error:
            raise unreadable_file(path, f"batch {index + 1} is broken ({_first_line(error)}).") from error
        size = min(max(1, _BATCH_BYTES * max(batch.num_rows, 1) // max(batch.nbytes, 1)), _MOST_BATCH_ROWS)
        for begin in range(0, batch.num_rows, size):
            yield batch.slice(begin, size)


def _groups_from(file: ParquetFile, offset: int) -> tuple[range, int]:
    """The row groups from that of a row on, and how many rows are before them."""
    footer = file.metadata
    before = 0
    for group in range(footer.num_row_groups):
        if before + footer.row_group(group).num_rows > offset:
            return range(group, footer.num_row_groups), before
        before += footer.row_group(group).num_rows
    return range(0), before


def _numbered(batches: Iterator[pa.RecordBatch], before: int, start: Place) -> RowStream:
    """The rows of batches; those before the start are passed over without being unpacked into Python."""
    for batch in batches:
        skipped = min(max(0, start.offset - before), batch.num_rows)
        counter = itertools.count(before + skipped)
        for row in batch.slice(skipped).to_pylist():
            offset = next(counter)
            yield Read(Place(offset + 1, offset), cast("dict[str, object]", row))
        before += batch.num_rows


def _check_columns(path: Path, num_columns: int) -> None:
    if num_columns > MAX_COLUMNS:
        raise unreadable_file(path, f"it has {num_columns} columns; the limit is {MAX_COLUMNS}.")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def too_large(path: Path, size_bytes: int, limit_bytes: int) -> DesktopFtError:
    """``data_file_too_large``: refused before it fills the memory."""
    return DesktopFtError(
        "data_file_too_large",
        "The data file is too large to open",
        f"A part of {path.name} unpacks to at least {size_bytes / 2**30:.2f} GiB; the limit is {limit_bytes / 2**30:.2f} GiB.",
        "Store it in smaller parts (row groups), or as JSON lines, which are read row by row.",
    )
