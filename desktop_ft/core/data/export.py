"""Write a data file anew in another format and kind of file. The source stays as it is; the new file appears whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from desktop_ft.core.data.formats import AUTO, SAMPLED_ROWS, Detection, resolve_format, to_example
from desktop_ft.core.data.read import MalformedRow, none_readable
from desktop_ft.core.data.records import Conversation
from desktop_ft.core.data.rows import BadRow
from desktop_ft.core.data.source import RowSource
from desktop_ft.core.data.targets import TARGETS, Render, TargetName, TargetRow, as_turns_column, plain_value, target_rows
from desktop_ft.core.data.tokenise import template_of
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import atomic_file

if TYPE_CHECKING:
    from desktop_ft.core.data.tokenizer import ModelTokenizer

OUT_SUFFIXES: Final = (".jsonl", ".json", ".csv", ".parquet")
MOST_PROBLEMS: Final = 100
"""Rows that could not be converted, of which the reason is told."""
_BATCH_ROWS: Final = 1024


@dataclass(frozen=True)
class Converted:
    """What became of a file.

    Attributes:
        path: The new file.
        format: Of the source.
        format_reason: Why.
        target: Of the new file.
        num_rows: Rows of the source.
        num_written: Rows of the new file.
        num_left_out: Rows that could not be converted.
        num_unwanted: Rows that say nothing in the new format, such as an answer marked bad where answers are learnt.
        problems: The first rows that could not be converted.
        notes: What was guessed or chosen when reading.
    """

    path: Path
    format: str
    format_reason: str
    target: str
    num_rows: int
    num_written: int
    num_left_out: int
    num_unwanted: int
    problems: tuple[MalformedRow, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """The shape that ``data convert --json`` documents."""
        return {
            "path": str(self.path),
            "format": self.format,
            "format_reason": self.format_reason,
            "to": self.target,
            "num_rows": self.num_rows,
            "num_written": self.num_written,
            "num_left_out": self.num_left_out,
            "num_unwanted": self.num_unwanted,
            "problems": [{"row": problem.number - 1, "reason": problem.reason} for problem in self.problems],
            "notes": list(self.notes),
        }


def convert_file(
    path: Path,
    out: Path,
    target: str,
    *,
    format_name: str = AUTO,
    columns: Mapping[str, str] | None = None,
    tokenizer: ModelTokenizer | None = None,
    overwrite: bool = False,
) -> Converted:
    """Convert a file.

    Args:
        path: A file or folder that `RowSource` reads.
        out: The new file; its suffix says of which kind.
        target: One of `TARGETS`.
        format_name: Of the source, or ``auto``.
        columns: Roles of the source mapped to columns by hand.
        tokenizer: Whose chat template writes conversations as text.
        overwrite: Whether a file that exists may be replaced.

    Raises:
        DesktopFtError: ``data_target_unknown``, ``data_output_unusable``, ``data_nothing_converted``; as reading and writing do.
    """
    known = _checked(path, out, target, overwrite=overwrite)
    source = RowSource(path)
    first = [row for _, row in islice(source, SAMPLED_ROWS) if not isinstance(row, BadRow)]
    if not first:
        raise none_readable(path, [])
    detection = resolve_format(first, format_name, columns or {})
    work = _Work(source, detection, known, None if tokenizer is None else _renderer(tokenizer))
    shape = _Shape()
    for row in work.rows():
        shape.add(row)
    if not shape.num_rows:
        raise _nothing(path, known, work.problems)
    with atomic_file(out) as temporary:
        _WRITERS[out.suffix.lower()](temporary, (shape.plain(row) for row in work.rows()), shape)
    return Converted(
        path=out,
        format=detection.format,
        format_reason=detection.reason,
        target=known,
        num_rows=work.num_rows,
        num_written=shape.num_rows,
        num_left_out=work.num_left_out,
        num_unwanted=work.num_unwanted,
        problems=tuple(work.problems),
        notes=source.notes,
    )


@dataclass
class _Work:
    """One pass over the source, which may be made again."""

    source: RowSource
    detection: Detection
    target: TargetName
    render: Render | None
    num_rows: int = 0
    num_left_out: int = 0
    num_unwanted: int = 0
    problems: list[MalformedRow] = field(default_factory=list[MalformedRow])

    def rows(self) -> Iterator[TargetRow]:
        """The rows of the new file; counts anew what is left out."""
        self.num_rows, self.num_left_out, self.num_unwanted = 0, 0, 0
        self.problems.clear()
        for number, row in self.source:
            self.num_rows += 1
            if isinstance(row, BadRow):
                self._leave_out(number, row.reason)
                continue
            try:
                example = to_example(row, number, self.detection.format, self.detection.columns)
                found = target_rows(example, number, self.target, self.render)
            except DesktopFtError as error:
                self._leave_out(number, error.message.removeprefix(f"Row {number}: "))
                continue
            self.num_unwanted += not found
            yield from found

    def _leave_out(self, number: int, reason: str) -> None:
        self.num_left_out += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(MalformedRow(number, reason))


@dataclass
class _Shape:
    """What the new file's columns are, known after the first pass."""

    names: dict[str, None] = field(default_factory=dict[str, None])
    is_flat: bool = True
    has_extra: bool = False
    num_rows: int = 0

    def add(self, row: TargetRow) -> None:
        """Look at one more row."""
        self.names.update(dict.fromkeys(row.columns))
        self.is_flat = self.is_flat and row.is_flat and "messages" not in row.columns
        self.has_extra = self.has_extra or row.has_extra
        self.num_rows += 1

    def plain(self, row: TargetRow) -> dict[str, object]:
        """The row as it is written; every column that holds turns somewhere holds turns here."""
        values = row.columns if self.is_flat else {name: as_turns_column(name, value) for name, value in row.columns.items()}
        return {name: plain_value(value, flat=self.is_flat) for name, value in values.items()}


class _Writer(Protocol):
    def __call__(self, path: Path, rows: Iterator[dict[str, object]], shape: _Shape) -> None: ...


def _write_jsonl(path: Path, rows: Iterator[dict[str, object]], shape: _Shape) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(_json(_with_lists(row)) + "\n")


def _write_json(path: Path, rows: Iterator[dict[str, object]], shape: _Shape) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for index, row in enumerate(rows):
            file.write(("[\n" if index == 0 else ",\n") + _json(_with_lists(row)))
        file.write("\n]\n")


def _write_csv(path: Path, rows: Iterator[dict[str, object]], shape: _Shape) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(list(shape.names))
        for row in rows:
            writer.writerow([_cell(row.get(name)) for name in shape.names])


def _write_parquet(path: Path, rows: Iterator[dict[str, object]], shape: _Shape) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = cast("Any", pa)
    turns = arrow.list_(arrow.struct([("role", arrow.string()), ("content", arrow.string())]))
    is_text = shape.is_flat or shape.has_extra
    kinds = {
        name: arrow.bool_() if name == "label" else arrow.string() if is_text or name in ("text", "tools", "answer") else turns
        for name in shape.names
    }
    schema = arrow.schema(list(kinds.items()))
    with pq.ParquetWriter(path, schema) as writer:
        while batch := list(islice(rows, _BATCH_ROWS)):
            cells = [{name: _cell(value) if isinstance(value, list) and is_text else value for name, value in row.items()} for row in batch]
            writer.write_table(arrow.Table.from_pylist(cells, schema=schema))


_WRITERS: Final[Mapping[str, _Writer]] = {
    ".jsonl": _write_jsonl,
    ".json": _write_json,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _with_lists(row: dict[str, object]) -> dict[str, object]:
    """Tools as a list where JSON can hold one."""
    return {**row, "tools": json.loads(str(row["tools"]))} if row.get("tools") else row


def _cell(value: object) -> object:
    """A value of a table of text: turns as JSON, marks as true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None or isinstance(value, str) else _json(value)


def _renderer(tokenizer: ModelTokenizer) -> Render:
    template = template_of(tokenizer)

    def render(chat: Conversation) -> str:
        return template.with_tools(chat.tools).render(chat.messages)

    return render


def _checked(path: Path, out: Path, target: str, *, overwrite: bool) -> TargetName:
    known: TargetName | None = next((name for name in TARGETS if name == target), None)
    if known is None:
        raise DesktopFtError(
            "data_target_unknown",
            "Files are not converted to that",
            f"The target is given as {target!r}.",
            f"Write one of {', '.join(TARGETS)}.",
        )
    problem = None
    if out.suffix.lower() not in _WRITERS:
        problem = f"{out.name} ends in {out.suffix or 'nothing'}."
    elif out.exists() and path.exists() and out.samefile(path):
        problem = f"{out.name} is the file that is read."
    elif out.is_dir() or (out.exists() and not overwrite):
        problem = f"{out.name} is there already."
    if problem is not None:
        hint = f"Name a new file that ends in {', '.join(OUT_SUFFIXES)}, or allow that the old one is replaced."
        raise DesktopFtError("data_output_unusable", "The new file cannot be written there", problem, hint)
    return known


def _nothing(path: Path, target: TargetName, problems: list[MalformedRow]) -> DesktopFtError:
    why = f"the first reason, in row {problems[0].number}: {problems[0].reason}" if problems else "every answer is marked bad."
    return DesktopFtError(
        "data_nothing_converted",
        "No row can be converted",
        f"None of the rows of {path.name} becomes {target}; {why}",
        "Choose another target, name the source's format, or say which column holds what.",
    )
