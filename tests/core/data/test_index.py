"""The index: any row is read from the mark before it, and equals what reading from the start gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from desktop_ft.core.data.browse import rows_numbered
from desktop_ft.core.data.index import ROWS_BETWEEN_MARKS, build_index, indexed, kept_index, row_slice
from desktop_ft.core.data.source import RowSource
from desktop_ft.core.workspace import default_workspace

NUM_ROWS = 3 * ROWS_BETWEEN_MARKS + 17


def _jsonl(path: Path) -> None:
    lines = [json.dumps({"text": f"Zeile {index} ü"}, ensure_ascii=False) + ("\r\n" if index % 7 else "\n\n") for index in range(NUM_ROWS)]
    lines[40] = "broken\n"
    path.write_text("".join(lines), encoding="utf-8-sig", newline="")


def _csv(path: Path) -> None:
    path.write_text("text,n\n" + "".join(f'"a\n{index}",{index}\n' for index in range(NUM_ROWS)), encoding="utf-8")


def _json(path: Path) -> None:
    path.write_text(json.dumps([{"text": f"日本 {index}"} for index in range(NUM_ROWS)], ensure_ascii=False), encoding="utf-8")


def _nested(path: Path) -> None:
    path.write_text(json.dumps({"a": 1, "data": [{"text": f"é {index}"} for index in range(NUM_ROWS)]}), encoding="utf-8")


def _text(path: Path) -> None:
    path.write_text("".join(f"paragraph {index}\nsecond line\n\n" for index in range(NUM_ROWS)), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "write"), [("a.jsonl", _jsonl), ("a.csv", _csv), ("a.json", _json), ("b.json", _nested), ("a.txt", _text)]
)
def test_rows_from_the_middle_are_those_of_the_whole(name: str, write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / name)
    source = RowSource(tmp_path / name)
    whole = list(source.items())
    index = build_index(source)
    assert index.num_rows == len(whole) == NUM_ROWS
    assert len(index.marks) == 4
    for start, stop in ((0, 3), (250, 260), (511, 514), (NUM_ROWS - 2, NUM_ROWS + 5), (NUM_ROWS, NUM_ROWS + 1)):
        assert row_slice(source, start, stop, index) == whole[start:stop]


def test_an_index_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    _jsonl(tmp_path / "a.jsonl")
    source = RowSource(tmp_path / "a.jsonl")
    assert kept_index(source) is None
    made = indexed(source)
    assert kept_index(source) == made
    assert (made.num_malformed, made.columns) == (1, ("text",))
    assert len(list(default_workspace().data_cache.iterdir())) == 1
    with (tmp_path / "a.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "more"}\n')
    assert kept_index(RowSource(tmp_path / "a.jsonl")) is None


def test_progress_ends_with_all_bytes_and_may_stop_the_work(tmp_path: Path) -> None:
    _csv(tmp_path / "a.csv")
    source = RowSource(tmp_path / "a.csv")
    seen: list[tuple[int, int]] = []
    build_index(source, lambda done, total: seen.append((done, total)))
    assert seen == [(source.size_bytes, source.size_bytes)]

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(source, stop)


def test_rows_by_number_come_with_and_without_an_index(tmp_path: Path) -> None:
    _jsonl(tmp_path / "a.jsonl")
    source = RowSource(tmp_path / "a.jsonl")
    numbers = {item.number: item.row for item in source.items()}
    wanted = [1, *sorted(numbers)[600:603], max(numbers), max(numbers) + 1]
    plain = rows_numbered(source, wanted)
    indexed(source)
    assert rows_numbered(source, wanted) == plain
    assert plain.rows == [numbers[number] for number in wanted[:-1]]
    assert plain.numbers == tuple(wanted[:-1])


def test_the_rows_of_a_folder_run_on(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        _jsonl(tmp_path / "d" / name)
    source = RowSource(tmp_path / "d")
    whole = list(source.items())
    index = build_index(source)
    assert row_slice(source, NUM_ROWS - 1, NUM_ROWS + 300, index) == whole[NUM_ROWS - 1 : NUM_ROWS + 300]
