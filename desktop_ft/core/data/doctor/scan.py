"""Every row looked at once: its tokens, its faults, its language, its signature; on all cores where a file is large.

The processes are spawned, so that this works on every system, and end with the one that started them.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from desktop_ft.core.data.doctor.faults import faults_of
from desktop_ft.core.data.doctor.language import languages_of
from desktop_ft.core.data.doctor.near_duplicates import signatures
from desktop_ft.core.data.doctor.texts import seen
from desktop_ft.core.data.prepared import count_tokens
from desktop_ft.core.data.records import Example
from desktop_ft.core.data.signals import Signal, adapt
from desktop_ft.core.data.tokenise import ROW_ERRORS, naming_row
from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.data.tokenizer import ModelTokenizer

Numbered = Sequence[tuple[int, Example]]
Progress = Callable[[int, int], None]

_CHUNK_CHARACTERS: Final = 400_000
_CHUNK_ROWS: Final = 1000
_POOL_CHARACTERS: Final = 12_000_000
"""Below so much text one process is done before others have started."""
_MOST_PROCESSES: Final = 16


@dataclass(frozen=True)
class RowFacts:
    """What was found out about one row.

    Attributes:
        index: 0-based.
        num_tokens: Of its longest sequence; 0 without a tokenizer; None where the objective learns nothing of it.
        refusal: Why it cannot be used, or None.
        codes: Its faults.
        asked: Language of its last request, or None.
        said: Language of its answers, or None.
        signature: For near duplicates.
    """

    index: int
    num_tokens: int | None
    refusal: str | None
    codes: tuple[str, ...]
    asked: str | None
    said: str | None
    signature: bytes = field(repr=False)


@dataclass(frozen=True)
class Examiner:
    """How rows are looked at.

    Attributes:
        signal: What the objective learns from.
        tokenizer: The model's, or None.
    """

    signal: Signal
    tokenizer: ModelTokenizer | None

    def __call__(self, rows: Numbered) -> list[RowFacts]:
        """Look at some rows.

        Raises:
            DesktopFtError: ``data_wrong_for_objective``, or what comes of the model and not of a row.
        """
        signed = signatures(rows)
        return [self._facts(index, example, signature) for (index, example), signature in zip(rows, signed, strict=True)]

    def _facts(self, index: int, example: Example, signature: bytes) -> RowFacts:
        try:
            with naming_row(index + 1):
                num_tokens = self._num_tokens(example, index + 1)
        except DesktopFtError as error:
            if error.code not in ROW_ERRORS:
                raise
            return RowFacts(index, None, error.message, (), None, None, b"")
        row = seen(example)
        return RowFacts(index, num_tokens, None, faults_of(row), *languages_of(row), signature)

    def _num_tokens(self, example: Example, number: int) -> int | None:
        as_chat = self.tokenizer is None or self.tokenizer.chat_template is not None
        learnt = adapt(example, number, self.signal, as_chat=as_chat)
        if not learnt:
            return None
        tokenizer = self.tokenizer
        return 0 if tokenizer is None else max(count_tokens(one, tokenizer) for one in learnt)


def examine(rows: Numbered, examiner: Examiner, progress: Progress | None = None) -> list[RowFacts]:
    """Look at every row, in order.

    Args:
        rows: The rows.
        examiner: How.
        progress: Called with (rows done, rows in all).

    Raises:
        DesktopFtError: As `Examiner`.
    """
    chunks, num_characters = _chunks(rows)
    num_processes = min(num_cores(), _MOST_PROCESSES, len(chunks))
    results = (
        _in_processes(chunks, examiner, num_processes)
        if num_characters >= _POOL_CHARACTERS and num_processes > 1
        else map(examiner, chunks)
    )
    made: list[RowFacts] = []
    for result in results:
        made += result
        if progress is not None:
            progress(len(made), len(rows))
    return made


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chunks(rows: Numbered) -> tuple[list[Numbered], int]:
    """The rows in pieces of about equal work, and the characters of all."""
    chunks: list[list[tuple[int, Example]]] = []
    total = size = 0
    for row in rows:
        length = sum(len(text) for text in seen(row[1]).texts)
        if not chunks or size + length > _CHUNK_CHARACTERS or len(chunks[-1]) >= _CHUNK_ROWS:
            chunks.append([])
            size = 0
        chunks[-1].append(row)
        size += length
        total += length
    return [*chunks], total


def _in_processes(chunks: Sequence[Numbered], examiner: Examiner, num_processes: int) -> Iterator[list[RowFacts]]:
    with multiprocessing.get_context("spawn").Pool(num_processes, _set_examiner, (examiner,)) as pool:
        for result in pool.imap(_examine_here, chunks):
            if isinstance(result, dict):
                raise DesktopFtError(**result)
            yield result


_examiners: list[Examiner] = []


def _set_examiner(examiner: Examiner) -> None:
    _examiners[:] = [examiner]


def _examine_here(rows: Numbered) -> list[RowFacts] | dict[str, str]:
    """What a process of the pool does; an error travels as its fields."""
    try:
        return _examiners[0](rows)
    except DesktopFtError as error:
        return {"code": error.code, "title": error.title, "message": error.message, "hint": error.hint}
