"""Kinds of files beyond text: Arrow, Zstandard, folders; encodings that are guessed and said; JSON documents read as streams."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from desktop_ft.core.data.fingerprint import data_fingerprint
from desktop_ft.core.data.read import read_rows
from desktop_ft.core.data.source import RowSource
from desktop_ft.core.errors import DesktopFtError

ROWS: list[dict[str, object]] = [{"prompt": "Grüße", "completion": "été"}, {"prompt": "naïve", "completion": "ça va"}]


def _lines(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _many(count: int) -> list[dict[str, object]]:
    return [{"text": f"row {index}"} for index in range(count)]


def _write(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def _error(path: Path) -> DesktopFtError:
    with pytest.raises(DesktopFtError) as caught:
        read_rows(path)
    return caught.value


# --- packed ----------------------------------------------------------------------------------------------------------


def test_zstandard_is_read_and_a_cut_or_broken_file_is_named(tmp_path: Path) -> None:
    packed = pa.compress(_lines(ROWS).encode() * 200, codec="zstd", asbytes=True)
    path = _write(tmp_path / "a.jsonl.zst", packed)
    assert read_rows(path).rows == ROWS * 200
    _write(path, b"not packed at all")
    assert _error(path).code == "data_file_unreadable"


def test_a_zstandard_bomb_is_refused(tmp_path: Path) -> None:
    bomb = pa.compress(b" " * (200 * 2**20), codec="zstd", asbytes=True)
    assert len(bomb) < 2**20
    for name in ("a.jsonl.zst", "a.json.zst", "a.csv.zst"):
        assert _error(_write(tmp_path / name, bomb)).code == "data_file_too_large"


# --- tables ----------------------------------------------------------------------------------------------------------


def test_arrow_files_and_streams_are_read_from_any_row(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(_many(2000))
    with pa.OSFile(str(tmp_path / "file.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=700)
    with pa.OSFile(str(tmp_path / "stream.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=700)
    pq.write_table(table, tmp_path / "table.parquet", row_group_size=700)
    for name in ("file.arrow", "stream.arrow", "table.parquet"):
        source = RowSource(tmp_path / name)
        items = list(source.items())
        assert [item.row for item in items] == _many(2000)
        assert [item.number for item in source.items(items[1399].mark)] == list(range(1400, 2001))
    whole = (tmp_path / "file.arrow").read_bytes()
    for data in (whole[: len(whole) // 2], b"ARROW1\0\0" + b"\xff" * 200, b"junk"):
        assert _error(_write(tmp_path / "broken.arrow", data)).code == "data_file_unreadable"


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_is_one_data_set_in_name_order(tmp_path: Path) -> None:
    _write(tmp_path / "data" / "b.jsonl.gz", gzip.compress(_lines(_many(2)).encode()))
    _write(tmp_path / "data" / "a.jsonl", '{"text": "first"}\n\nnot JSON\n')
    _write(tmp_path / "data" / "README.md", "about")
    _write(tmp_path / "data" / ".hidden.csv", "a,b")
    rows = read_rows(tmp_path / "data")
    assert [row["text"] for row in rows.rows] == ["first", "row 0", "row 1"]
    assert rows.numbers == (1, 4, 5)
    assert rows.malformed[0].number == 3
    assert rows.malformed[0].reason.startswith("(row 3 of a.jsonl) it is not whole JSON")


def test_of_a_folder_with_splits_the_training_files_are_read_and_said(tmp_path: Path) -> None:
    for name in ("train-00001-of-00002", "train-00000-of-00002", "test-00000-of-00001"):
        _write(tmp_path / f"{name}.jsonl", _lines([{"text": name}]))
    rows = read_rows(tmp_path)
    assert [row["text"] for row in rows.rows] == ["train-00000-of-00002", "train-00001-of-00002"]
    assert rows.notes == ("Of the folder the training files are read (2); test is left out.",)


def test_what_datasets_saved_is_read(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    DatasetDict({"test": Dataset.from_list(_many(1)), "train": Dataset.from_list(_many(3))}).save_to_disk(str(tmp_path / "dict"))
    Dataset.from_list(_many(3)).save_to_disk(str(tmp_path / "one"), num_shards=2)
    assert read_rows(tmp_path / "dict").rows == _many(3)
    assert read_rows(tmp_path / "dict").notes == ("Of the saved data set the part train is read; it also has test.",)
    assert (read_rows(tmp_path / "one").rows, read_rows(tmp_path / "one").notes) == (_many(3), ())


def test_files_of_several_kinds_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "a.jsonl", "{}")
    _write(tmp_path / "b.csv", "a")
    error = _error(tmp_path)
    assert (error.code, "1 .csv, 1 .jsonl" in error.message) == ("data_folder_mixed", True)


def test_a_folder_has_a_fingerprint_of_names_and_contents(tmp_path: Path) -> None:
    def fingerprint() -> str:
        return data_fingerprint(tmp_path, RowSource(tmp_path).files).sha256

    _write(tmp_path / "a.jsonl", _lines(_many(1)))
    seen = {fingerprint()}
    _write(tmp_path / "b.jsonl", _lines(_many(1)))
    seen.add(fingerprint())
    (tmp_path / "b.jsonl").rename(tmp_path / "c.jsonl")
    seen.add(fingerprint())
    _write(tmp_path / "c.jsonl", _lines(_many(2)))
    seen.add(fingerprint())
    assert len(seen) == 4


# --- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("cp1252", "The text is not UTF-8; it is read as Windows-1252 (Latin-1), guessed from its letters."),
        ("utf-16-le", "The text is read as UTF-16-LE, guessed: the file has no mark."),
        ("utf-16-be", "The text is read as UTF-16-BE, guessed: the file has no mark."),
        ("utf-32", None),
        ("utf-8", None),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_an_encoding_is_guessed_and_said(name: str, encoding: str, note: str | None, tmp_path: Path) -> None:
    texts = {
        "a.jsonl": _lines(ROWS),
        "a.json": json.dumps(ROWS, ensure_ascii=False),
        "a.csv": "prompt,completion\r\n" + "".join(f"{row['prompt']},{row['completion']}\r\n" for row in ROWS),
    }
    rows = read_rows(_write(tmp_path / name, texts[name].encode(encoding)))
    assert (rows.rows, rows.notes) == (ROWS, () if note is None else (note,))


def test_one_bad_byte_does_not_change_the_encoding(tmp_path: Path) -> None:
    rows = read_rows(_write(tmp_path / "a.jsonl", _lines(ROWS).encode() + b'{"text": "a\xe9b"}\n'))
    assert rows.rows == ROWS
    assert (rows.malformed[0].number, rows.malformed[0].reason, rows.notes) == (3, "it is not valid UTF-8 text.", ())


def test_lone_carriage_returns_end_lines(tmp_path: Path) -> None:
    assert read_rows(_write(tmp_path / "a.jsonl", _lines(ROWS).replace("\n", "\r"))).rows == ROWS
    assert read_rows(_write(tmp_path / "a.csv", "a,b\r1,2\r3,4\r")).rows == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


# --- CSV -------------------------------------------------------------------------------------------------------------


def test_bars_a_stated_delimiter_and_blank_names(tmp_path: Path) -> None:
    assert read_rows(_write(tmp_path / "a.csv", 'a|"b,c"\n1|2\n')).rows == [{"a": "1", "b,c": "2"}]
    assert read_rows(_write(tmp_path / "b.csv", "sep=;\na;b,c\n1;2\n")).rows == [{"a": "1", "b,c": "2"}]
    assert read_rows(_write(tmp_path / "c.csv", ",text\n0,a\n1,b\n")).rows[1] == {"column_1": "1", "text": "b"}


def test_ragged_rows_are_numbered_and_the_others_stay(tmp_path: Path) -> None:
    rows = read_rows(_write(tmp_path / "a.csv", 'a,b\n1,2\n1\n"x\ny",2,3\n\n5,6\n'))
    assert [row["a"] for row in rows.rows] == ["1", "5"]
    assert [(row.number, row.reason) for row in rows.malformed] == [
        (2, "it has 1 cells; the header has 2."),
        (3, "it has 3 cells; the header has 2."),
    ]


# --- JSON documents --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"meta": [1], "data": {"train": [{"a": 1}, {"a": 2}], "test": [{"a": 3}]}}', [{"a": 1}, {"a": 2}]),
        ('{"test": [{"a": 3}], "train": [{"a": 1}]}', [{"a": 1}]),
        ('{\n "a": 1\n}\n{\n "a": 2\n}\n', [{"a": 1}, {"a": 2}]),
        ('{"a": 1}', [{"a": 1}]),
        ('{"tools": [{"b": 1}], "messages": [{"role": "user", "content": "x"}]}', None),
        ('[{"a": "]}\\\\\\" ["}, {"a": []}]', [{"a": ']}\\" ['}, {"a": []}]),
    ],
)
def test_rows_are_found_in_nested_documents(text: str, rows: list[dict[str, object]] | None, tmp_path: Path) -> None:
    assert read_rows(_write(tmp_path / "a.json", text)).rows == ([json.loads(text)] if rows is None else rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"a": 1}, {"a": nul}, {"a": 3}' + " " * 200 + "]", "at row 2"),
        ('[{"a": 1} {"a": 2}]', "a comma is missing"),
        ('[{"a": 1},]', "a comma with no row behind it"),
        ('[{"a": 1}', "the document ends inside the list"),
        ("17", "it is a number"),
    ],
)
def test_a_broken_document_names_the_row(text: str, words: str, tmp_path: Path) -> None:
    error = _error(_write(tmp_path / "a.json", text))
    assert error.code == "data_file_unreadable"
    assert words in error.message


def test_a_large_object_around_the_rows_is_passed_through(tmp_path: Path) -> None:
    filler = ["x" * 1000] * 9000
    for names, document in (
        (("data",), {"about": {"text": 'q"[{'}, "filler": filler, "data": _many(3)}),
        (("things",), {"filler": filler, "things": _many(3)}),
        (("data", "train"), {"data": {"test": filler, "train": _many(3)}, "filler": filler}),
    ):
        path = _write(tmp_path / f"{len(names)}{names[0]}.json", json.dumps(document))
        assert RowSource(path).head(2) == [(1, {"text": "row 0"}), (2, {"text": "row 1"})]
        assert read_rows(path).rows == _many(3)


def test_a_row_beyond_the_limit_and_one_too_deep_cost_only_themselves(tmp_path: Path) -> None:
    deep = '{"a": ' * 100_000 + "1" + "}" * 100_000
    text = f'[{{"text": "a"}}, {deep}, {{"text": "{"x" * 20_000_000}"}}, {{"n": {"1" * 5000}}}, {{"text": "\0"}}, {{"text": "b"}}]'
    rows = read_rows(_write(tmp_path / "a.json", text))
    assert [row["text"] for row in rows.rows] == ["a", "b"]
    assert [row.number for row in rows.malformed] == [2, 3, 4, 5]
