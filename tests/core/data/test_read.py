"""Reading files: every suffix and encoding, and what a broken or hostile file does."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from desktop_ft.core.data.read import SUFFIXES, Rows, read_rows
from desktop_ft.core.errors import DesktopFtError

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
ROWS: list[dict[str, object]] = [{"prompt": "Grüße", "completion": "日本 🦊"}, {"prompt": "a,b", "completion": 'say "c"\nd'}]


def _jsonl(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _csv(delimiter: str) -> str:
    return delimiter.join(["prompt", "completion"]) + f'\r\nGrüße{delimiter}日本 🦊\r\n"a,b"{delimiter}"say ""c""\nd"\r\n'


def _write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    data = text.encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def _code(read: Callable[[], Rows]) -> str:
    with pytest.raises(DesktopFtError) as caught:
        read()
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps(ROWS, ensure_ascii=False)),
        ("a.json.gz", json.dumps({"version": 1, "data": ROWS}, ensure_ascii=False, indent=1)),
        ("b.json", _jsonl(ROWS)),
        ("a.jsonl", _jsonl(ROWS).replace("\n", "\r\n")),
        ("a.ndjson.gz", _jsonl(ROWS)),
        ("a.csv", _csv(",")),
        ("b.csv", _csv(";")),
        ("a.tsv.gz", _csv("\t")),
    ],
)
def test_the_same_rows_come_out_of_every_text_file(name: str, text: str, encoding: str, tmp_path: Path) -> None:
    rows = read_rows(_write(tmp_path / name, text, encoding))
    assert rows.rows == ROWS
    assert (rows.columns, rows.num_rows, rows.malformed) == (("prompt", "completion"), 2, ())
    assert rows.numbers == (1, 2)


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    assert read_rows(path).rows == ROWS
    assert read_rows(path, limit=1).rows == ROWS[:1]
    path.write_bytes(path.read_bytes()[:-20])
    assert _code(lambda: read_rows(path)) == "data_file_unreadable"


def test_plain_text_is_one_example_per_line_or_per_paragraph(tmp_path: Path) -> None:
    lines = read_rows(_write(tmp_path / "lines.txt", "\none\r\ntwo\n\n"))
    assert lines.rows == [{"text": "one"}, {"text": "two"}]
    paragraphs = read_rows(_write(tmp_path / "paragraphs.txt", "one\ntwo\n\n\nthree"))
    assert paragraphs.rows == [{"text": "one\ntwo"}, {"text": "three"}]


def test_a_single_conversation_in_a_json_file_is_one_row(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    assert read_rows(_write(tmp_path / "a.json", json.dumps(row))).rows == [row]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.json", b"", "data_file_empty"),
        ("a.json", b"[]", "data_file_empty"),
        ("a.jsonl", b"\n\n", "data_file_empty"),
        ("a.csv", b"prompt,completion\n", "data_file_empty"),
        ("a.txt", b"  \n", "data_file_empty"),
        ("a.json", b'[{"text": "a"}, {"te', "data_file_unreadable"),
        ("a.json", b'"text"', "data_file_unreadable"),
        ("a.json", b'{"a": [{"b": 1}], "c": [{"d": 1}]}', "data_file_unreadable"),
        ("a.json", b"[" * 100_000, "data_file_unreadable"),
        ("a.jsonl", b"nothing here is JSON\nnor here\n", "data_file_unreadable"),
        ("a.jsonl", b"\x00\x01\x02\x03" * 50, "data_file_unreadable"),
        ("a.txt", b"\xff\xfea", "data_file_unreadable"),
        ("a.jsonl.gz", b"not gzip at all", "data_file_unreadable"),
        ("a.jsonl.gz", gzip.compress(_jsonl(ROWS).encode() * 50, mtime=0)[:-15], "data_file_unreadable"),
        ("a.jsonl.gz", gzip.compress(b"a" * 1000, mtime=0)[:10] + b"\xff" * 40, "data_file_unreadable"),
        ("a.csv", b"text,text\na,b\n", "data_file_unreadable"),
        ("a.csv", b",".join([b"c%d" % i for i in range(50_000)]) + b"\n1\n", "data_file_unreadable"),
        ("a.parquet", b"PAR1 and no more", "data_file_unreadable"),
        ("a.docx", b"x", "data_format_unknown"),
        ("a.parquet.gz", b"x", "data_format_unknown"),
        ("noname", b"x", "data_format_unknown"),
    ],
)
def test_files_that_cannot_be_used_are_named_errors(name: str, data: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert _code(lambda: read_rows(path)) == code


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert _code(lambda: read_rows(tmp_path / "a.jsonl")) == "data_file_missing"
    assert _code(lambda: read_rows(tmp_path)) == "data_file_empty"


@pytest.mark.parametrize(
    ("name", "data", "number", "words"),
    [
        ("a.jsonl", b'{"text": "a"}\n\n{"text": \n{"text": "b"}\n', 3, "not whole JSON"),
        ("a.jsonl", b'{"text": "a"}\n[1]\n{"text": "b"}\n', 2, "a list"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff\xfe"}\n{"text": "b"}\n', 2, "UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\x00"}\n{"text": "b"}\n', 2, "zero bytes"),
        ("a.jsonl", b'{"text": "a"}\n' + b"[" * 100_000 + b'\n{"text": "b"}\n', 2, "nests"),
        ("a.jsonl", b'{"text": "a"}\n{}\n{"text": "b"}\n', 2, "no columns"),
        ("a.json", b'[{"text": "a"}, null, {"text": "b"}]', 2, "null"),
        ("a.csv", b"text,n\na,1\nx\nb,1\n", 2, "1 cells; the header has 2"),
        ("a.csv", b"text\na\n\xff\nb\n", 2, "UTF-8"),
        ("a.txt", b"a\n zero: \x00\nb\n", 2, "zero bytes"),
    ],
)
def test_a_malformed_row_is_named_by_number(name: str, data: bytes, number: int, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data + b" " * 5000 if name == "a.json" else data)
    rows = read_rows(path)
    assert [row["text"] for row in rows.rows] == ["a", "b"]
    assert rows.num_rows == 3
    assert [row.number for row in rows.malformed] == [number]
    assert words in rows.malformed[0].reason
    with pytest.raises(DesktopFtError, match=f"Row {number} of {name}") as caught:
        read_rows(path, strict=True)
    assert caught.value.code == "data_row_malformed"


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_row_of_ten_megabytes_and_one_of_many_columns_are_malformed(name: str, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": "a"}, {"text": "x" * 10_000_000}, {f"c{index}": 1 for index in range(50_000)}]
    text = json.dumps(rows) if name == "a.json" else _jsonl(rows)
    read = read_rows(_write(tmp_path / name, text))
    assert read.rows == [{"text": "a"}]
    assert [row.number for row in read.malformed] == [2, 3]


def test_a_gzip_bomb_ends_soon_and_small(tmp_path: Path) -> None:
    bomb = gzip.compress(b" " * (200 * 2**20), compresslevel=1)
    started = time.monotonic()
    for name in ("a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.txt.gz"):
        (tmp_path / name).write_bytes(bomb)
        assert _code(lambda name=name: read_rows(tmp_path / name)) in {"data_file_too_large", "data_file_unreadable"}
    assert time.monotonic() - started < 10


def test_an_unclosed_quote_does_not_swallow_the_memory(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", 'text\na\n"' + "x,\n" * 7_000_000)
    with pytest.raises(DesktopFtError) as caught:
        read_rows(path, strict=True)
    assert caught.value.code in {"data_row_malformed", "data_file_unreadable"}


def test_limit_stops_early_and_says_so(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", '{"text": "a"}\n' * 100)
    limited = read_rows(path, limit=7)
    assert (len(limited.rows), limited.is_complete) == (7, False)
    assert read_rows(path, limit=100).is_complete


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), suffix=st.sampled_from([*SUFFIXES, ".jsonl.gz", ".csv.gz"]))
def test_any_bytes_give_rows_or_a_named_error(data: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"fuzz{suffix}"
    path.write_bytes(data)
    code = "read"
    try:
        rows = read_rows(path)
        assert rows.num_rows == len(rows.rows) + len(rows.malformed) > 0
    except DesktopFtError as error:
        code = error.code
    assert code in {"read", "data_file_empty", "data_file_unreadable", "data_file_too_large"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared data are not here")
@pytest.mark.parametrize(("name", "num_rows"), [("alpaca_en_demo.json", 999), ("dpo_en_demo.json", 300)])
def test_shared_files_open_whole(name: str, num_rows: int) -> None:
    rows = read_rows(SHARED / name)
    assert (rows.num_rows, rows.malformed) == (num_rows, ())
