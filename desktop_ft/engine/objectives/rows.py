"""Core's records as the rows that TRL's preference trainers take; TRL lays them out and tokenises them itself.

What TRL 1.16 does with a row longer than ``max_length``: DPO and KTO cut the answer at its end and leave the row out where the prompt
alone is as long; the reward trainer leaves out a pair of which either side is longer; ORPO cuts the answer, and where nothing of it is
left its loss is not a number, so such rows are left out here. Core counts and tells cut and dropped rows when it reads the data;
`check_kept` says what TRL drops beyond that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from datasets import Dataset

from desktop_ft.core.data.records import Example, Judged, Message, Preference
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import WarningRaised

Part = str | tuple[Message, ...]


def pair_rows(examples: Sequence[Example]) -> Dataset:
    """Columns ``prompt``, ``chosen``, ``rejected``, of text or of messages, in the order of the examples."""
    pairs = [cast("Preference", example) for example in examples]
    return Dataset.from_list(
        [{"prompt": _plain(pair.prompt), "chosen": _plain(pair.chosen), "rejected": _plain(pair.rejected)} for pair in pairs]
    )


def whole_rows(examples: Sequence[Example]) -> Dataset:
    """Columns ``chosen`` and ``rejected``, each with the prompt before the answer; what a reward model reads."""
    pairs = [cast("Preference", example) for example in examples]
    return Dataset.from_list(
        [{"chosen": _joined(pair.prompt, pair.chosen), "rejected": _joined(pair.prompt, pair.rejected)} for pair in pairs]
    )


def judged_rows(examples: Sequence[Example]) -> Dataset:
    """Columns ``prompt``, ``completion`` and ``label`` (true: good), in the order of the examples."""
    judged = [cast("Judged", example) for example in examples]
    return Dataset.from_list([{"prompt": _plain(one.prompt), "completion": _plain(one.completion), "label": one.is_good} for one in judged])


def _plain(part: Part) -> str | list[dict[str, str]]:
    return part if isinstance(part, str) else [{"role": message.role, "content": message.content} for message in part]


def _joined(prompt: Part, answer: Part) -> str | list[dict[str, str]]:
    if isinstance(prompt, str) and isinstance(answer, str):
        return prompt + answer
    return cast("list[dict[str, str]]", [*_plain(prompt), *_plain(answer)])


def check_kept(num_given: int, num_kept: int, max_length: int, events: EventWriter) -> None:
    """Say how many rows the trainer left out for their length.

    Raises:
        DesktopFtError: ``rows_too_long`` where none is left.
    """
    if num_kept == num_given:
        return
    if num_kept == 0:
        raise DesktopFtError(
            "rows_too_long",
            "No row is short enough",
            f"All {num_given} rows are longer than data.max_length ({max_length} tokens) allows.",
            "Raise data.max_length so that prompts and answers fit.",
        )
    events.write(
        WarningRaised(
            code="rows_too_long",
            title="Some rows are too long",
            message=f"{num_given - num_kept} of {num_given} rows are left out: they are longer than {max_length} tokens allow.",
            hint="Raise data.max_length to learn from them as well.",
        )
    )
