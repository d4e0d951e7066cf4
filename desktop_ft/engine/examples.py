"""Core's tokenised examples as the data sets that TRL trains on, and what a person should know about their number."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from desktop_ft.core.config import RunConfig
from desktop_ft.core.data.dataset import TrainingData, load_training_data
from desktop_ft.core.data.records import has_turns
from desktop_ft.core.data.signals import SIGNALS, WHOLE_ANSWERS
from desktop_ft.core.data.tokenise import TokenisedExample
from desktop_ft.core.data.tokenizer import ModelTokenizer
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import Progress, WarningRaised
from desktop_ft.core.preflight import resolve_data

_NUM_COMPARED: Final = 64
_CHUNK_ROWS: Final = 4096
_SECONDS_BETWEEN_PROGRESS: Final = 0.5


def load_examples(config: RunConfig, tokenizer: ModelTokenizer, events: EventWriter, check_stop: Callable[[], None]) -> TrainingData:
    """Both sides of a run's data: ids where core tokenises, records where TRL does.

    Args:
        config: As the person stated it.
        tokenizer: Core's own, of the model.
        events: Where the progress is told.
        check_stop: Called now and then; raises to leave.

    Raises:
        DesktopFtError: Whatever is wrong with the files or rows.
    """
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        check_stop()
        if time.monotonic() - told >= _SECONDS_BETWEEN_PROGRESS:
            told = time.monotonic()
            events.write(Progress(phase="tokenize", done=done, total=total))

    data, objective = config.data, config.objective.kind
    return load_training_data(
        resolve_data(data.train, objective),
        None if data.eval is None else resolve_data(data.eval, objective),
        fraction=data.split.fraction,
        seed=config.seed,
        format=data.format,
        columns=data.columns,
        tokenizer=tokenizer,
        max_length=data.max_length,
        assistant_only_loss=data.assistant_only_loss,
        fixes=data.fixes,
        progress=tell,
        signal=SIGNALS[objective],
        whole_answers=objective in WHOLE_ANSWERS,
    )


def are_chats(data: TrainingData) -> bool:
    """Whether the examples are written in the model's chat template, so that a prompt has to be as well."""
    return has_turns(data.train_examples[0])


def to_dataset(examples: Sequence[TokenisedExample]) -> Dataset:
    """Ids and labels in the order of the examples; TRL's collator takes both as they are."""
    ids = (example.compact_ids() for example in examples)
    labels = (example.compact_labels() for example in examples)
    return Dataset(cast("Any", pa.Table.from_arrays([_lists(ids), _lists(labels)], names=["input_ids", "labels"])))


def _lists(rows: Iterator[array[int]]) -> Any:  # noqa: ANN401 - pyarrow's types do not know nested columns
    """Lists of numbers as an Arrow column, without a Python object for each number."""
    arrow = cast("Any", pa)
    kind = arrow.list_(arrow.int32())
    chunks: list[Any] = []
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        ends = np.cumsum([0, *map(len, chunk)], dtype=np.int32)
        values = np.concatenate([np.frombuffer(row, dtype=np.int32) for row in chunk]) if ends[-1] else np.zeros(0, np.int32)
        chunks.append(arrow.ListArray.from_arrays(arrow.array(ends), arrow.array(values), type=kind))
    return arrow.chunked_array(chunks, type=kind)


@dataclass(frozen=True)
class Batches:
    """How the examples divide.

    Attributes:
        num_rows: Rows of the training set: examples, or packed rows.
        global_batch_size: Rows per optimizer step.
        is_packed: Whether a row is several examples.
    """

    num_rows: int
    global_batch_size: int
    is_packed: bool

    def warnings(self) -> Iterator[WarningRaised]:
        """What is not as the person may think."""
        rest = self.num_rows % self.global_batch_size
        rows = "packed rows" if self.is_packed else "examples"
        if self.num_rows < self.global_batch_size:
            yield WarningRaised(
                code="data_smaller_than_batch",
                title=f"There are fewer {rows} than one batch holds",
                message=f"Each step sees all {self.num_rows} {rows}, not {self.global_batch_size}; one epoch is one step.",
                hint="Lower training.global_batch_size for more steps.",
            )
        elif rest:
            yield WarningRaised(
                code="last_batch_partial",
                title="The last batch of each epoch is smaller",
                message=f"{self.num_rows} {rows} in batches of {self.global_batch_size} leave {rest} for the last one.",
                hint=f"Nothing is left out; that step's gradient is just a mean over fewer {rows}.",
            )


def check_same_tokens(own: ModelTokenizer, theirs: PreTrainedTokenizerBase, examples: Sequence[TokenisedExample]) -> None:
    """Make sure that the ids are those that the model's own tokenizer gives.

    Raises:
        DesktopFtError: ``tokenizer_differs``.
    """
    for example in examples[:_NUM_COMPARED]:
        text = own.decode(example.input_ids)
        if own.encode(text, add_special_tokens=False).ids != theirs(text, add_special_tokens=False)["input_ids"]:
            raise DesktopFtError(
                "tokenizer_differs",
                "This model's tokenizer cannot be reproduced",
                f"It splits text in a way that the program does not know: {own.inexact_reason}.",
                "Pick another copy of the model, one with a complete tokenizer.json.",
            )
