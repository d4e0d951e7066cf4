"""Readers against mangled files: rows or a named error come out, nothing else. The long profile is run by hand (slow_bench)."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from desktop_ft.core.data.formats import resolve_format, to_example
from desktop_ft.core.data.index import build_index
from desktop_ft.core.data.read import read_rows
from desktop_ft.core.data.source import RowSource
from desktop_ft.core.errors import DesktopFtError

ROWS: list[dict[str, object]] = [
    {"messages": [{"role": "user", "content": "Grüße"}, {"role": "assistant", "content": "日本 🦊"}], "n": 1},
    {"messages": [{"role": "user", "content": 'a "quoted" \\ text'}, {"role": "assistant", "content": "x" * 50}], "n": None},
]
NAMED = {
    "data_file_empty", "data_file_unreadable", "data_file_too_large", "data_format_undetected", "data_row_malformed",
    "data_no_assistant_turn",
}  # fmt: skip


def _table(write: Callable[[pa.Table, io.BytesIO], None]) -> bytes:
    sink = io.BytesIO()
    write(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


def _write_arrow(table: pa.Table, sink: io.BytesIO) -> None:
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _write_stream(table: pa.Table, sink: io.BytesIO) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


_JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
SEEDS: dict[str, bytes] = {
    "a.jsonl": _JSONL.encode(),
    "a.json": json.dumps({"meta": {"a": [1]}, "data": ROWS}, ensure_ascii=False).encode(),
    "b.json": json.dumps(ROWS).encode(),
    "a.csv": b'prompt,completion\n"a ""b""",c\nd,"e\nf"\n',
    "a.txt": "één\n\ntwee\n".encode(),
    "u.jsonl": _JSONL.encode("utf-16"),
    "a.jsonl.gz": gzip.compress(_JSONL.encode(), mtime=0),
    "a.jsonl.zst": pa.compress(_JSONL.encode(), codec="zstd", asbytes=True),
    "a.parquet": _table(lambda table, sink: pq.write_table(table, sink)),
    "a.arrow": _table(_write_arrow),
    "b.arrow": _table(_write_stream),
}
_PIECES = st.sampled_from(
    [b"\0", b"\xff", b"[", b"]", b"{", b'"', b"\\", b"\r", b"\n", b",", b"\xef\xbb\xbf", b"\xff\xfe", b"1e999", b"[" * 3000]
)
_EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), _PIECES | st.binary(max_size=8)), min_size=1, max_size=4)
_CASES = st.tuples(st.sampled_from(sorted(SEEDS)), _EDITS, st.booleans())


def _mangled(data: bytes, edits: list[tuple[float, int, bytes]], is_cut: bool) -> bytes:
    """Cut pieces out and put others in; perhaps end early."""
    for where, removed, put_in in edits:
        at = int(where * len(data))
        data = data[:at] + put_in + data[at + removed :]
    return data[: int(edits[0][0] * len(data))] if is_cut else data


def _survives(case: tuple[str, list[tuple[float, int, bytes]], bool], folder: Path) -> None:
    name, edits, is_cut = case
    path = folder / name
    path.write_bytes(_mangled(SEEDS[name], edits, is_cut))
    codes: set[str] = set()
    try:
        rows = read_rows(path)
        assert rows.num_rows == len(rows.rows) + len(rows.malformed) == build_index(RowSource(path)).num_rows
        detection = resolve_format(rows.rows, "auto", {})
        for row, number in zip(rows.rows, rows.numbers, strict=True):
            try:
                to_example(row, number, detection.format, detection.columns)
            except DesktopFtError as error:
                codes.add(error.code)
    except DesktopFtError as error:
        codes.add(error.code)
    assert codes <= NAMED


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=_CASES)
def test_a_mangled_file_gives_rows_or_a_named_error(case: tuple[str, list[tuple[float, int, bytes]], bool], tmp_path: Path) -> None:
    _survives(case, tmp_path)


@pytest.mark.slow_bench
@pytest.mark.timeout(1800)
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=_CASES)
def test_many_mangled_files_give_rows_or_a_named_error(case: tuple[str, list[tuple[float, int, bytes]], bool], tmp_path: Path) -> None:
    _survives(case, tmp_path)
