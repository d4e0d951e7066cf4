"""The archive of measured peaks: one JSON line a run, with everything that an estimate of the same run needs. `README.md` has the format.

Reads neither torch nor a GPU, so that a test can hold the estimate against every row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmarks.vram.shapes import HELD_OUT_FAMILIES
from desktop_ft.core.config import RunConfig, set_value, validate
from desktop_ft.core.device import DeviceFacts, DeviceKind
from desktop_ft.core.memory.autos import choose, make_plan
from desktop_ft.core.memory.plan import Plan
from desktop_ft.core.memory.terms import Prediction, predict
from desktop_ft.core.models import ModelInfo, model_from_config

ROW_VERSION: Final = 1
ROOT: Final = Path(__file__).resolve().parents[2]
ARCHIVE: Final = ROOT / "docs" / "measurements" / "vram"
Outcome = Literal["completed", "out_of_memory", "failed", "timed_out"]
Split = Literal["fit", "score", "held_out"]
RowKind = Literal["dense", "ragged", "varied"]
Values = Mapping[str, object]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Peak(_Part):
    """The most that was alive, and that the allocator held, within one phase; on a CPU both are the resident memory."""

    allocated_bytes: int
    reserved_bytes: int


class Device(_Part):
    """What it ran on, without anything that names one machine."""

    kind: DeviceKind
    name: str
    total_bytes: int
    supports_bf16: bool = False
    driver: str | None = None
    compute_capability: tuple[int, int] | None = None
    platform: str = "linux"

    def facts(self, free_bytes: int | None = None) -> DeviceFacts:
        """The device as an estimate takes it, all of it free unless said otherwise."""
        free = self.total_bytes if free_bytes is None else free_bytes
        return DeviceFacts(self.kind, self.name, self.total_bytes, free, 0, supports_bf16=self.supports_bf16)


class Row(_Part):
    """One measured run.

    Attributes:
        id: Unique in the archive.
        source: Where the number comes from: ``harness``, or in words what was run by hand.
        mode: Which question it was measured for.
        shape_config: The model's config.json.
        settings: Dotted paths of run.yaml that were set; everything else had its default.
        rows: ``dense``: all of one length, so that no mask is needed. ``ragged``: of different lengths, with a longest row in each
            micro-batch. ``varied``: of different lengths, so that micro-batches differ too.
        longest: Tokens of the longest training row; of a pair the longer answer with its prompt, of a task the prompt.
        num_labelled: Tokens with a label in a training row of that length, where known.
        resolved: What the settings that were ``auto`` became, where the engine wrote it down.
        allocator: Settings of torch's allocator; empty: its defaults.
        allocated_bytes: Peak of live tensors over the whole run.
        reserved_bytes: Peak of what torch held; on a CPU resident memory.
        process_bytes: Peak of the process as the driver saw it.
        device_bytes: Peak of the whole device minus what it held before; the only figure that has paged optimizer states.
        rounding_bytes: Half of the last digit, where a number was written down rounded.
        peaks: By phase.
        cap_bytes: What torch was allowed to reserve, where that was limited.
        group: Rows that belong to one question, such as the run before a change and the run after it.
        promised_bytes: What the estimate said that the change saves.
        dry_run_bytes: Reserved bytes that a dry run of the same settings came to, where one was stored.
        weights: ``random``, or ``zeros`` where the loader could not be given random ones.
        neighbours: Whether other cases ran on the card at the same time.
        saves: Whether checkpoint and result were written; what is too large is left out of the measurement.
    """

    v: int = ROW_VERSION
    id: str
    source: str
    date: str
    mode: Literal["measure", "fits", "savings", "ppo"] = "measure"
    family: str
    shape: str
    shape_config: dict[str, object]
    settings: dict[str, object]
    rows: RowKind = "dense"
    longest: int | None = None
    num_labelled: int | None = None
    resolved: dict[str, object] = Field(default_factory=dict)
    device: Device
    versions: dict[str, str]
    allocator: str = ""
    outcome: Outcome = "completed"
    error: str | None = None
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None
    process_bytes: int | None = None
    device_bytes: int | None = None
    rounding_bytes: int = 0
    peaks: dict[str, Peak] = Field(default_factory=dict)
    cap_bytes: int | None = None
    group: str | None = None
    promised_bytes: int | None = None
    dry_run_bytes: int | None = None
    weights: Literal["random", "zeros", "trained"] = "random"
    neighbours: bool = False
    saves: bool = True
    seconds: float | None = None

    @property
    def split(self) -> Split:
        """Whether coefficients may be fitted on it, are scored on it, or its whole family is kept apart."""
        if self.family in HELD_OUT_FAMILIES:
            return "held_out"
        return "fit" if int(sha256(self.id.encode()).hexdigest(), 16) % 2 else "score"

    @property
    def is_judged(self) -> bool:
        """Whether the closed form is held against it: it ended, and it is no run under a cap."""
        return self.outcome == "completed" and self.reserved_bytes is not None and self.cap_bytes is None

    def model(self) -> ModelInfo:
        """The model as its config.json describes it."""
        return model_from_config(self.shape_config, self.shape)

    def config(self) -> RunConfig:
        """The run as it was stated."""
        return config_of(self.settings)

    def line(self) -> str:
        """As it stands in the archive."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True) | {"v": self.v}, allow_nan=False)


def config_of(settings: Values) -> RunConfig:
    """A run from dotted paths; of model and data only the fact that they are there counts."""
    values: dict[str, object] = {"model": {"source": "x"}, "data": {"train": "x"}}
    for path, value in settings.items():
        values = set_value(values, path, value)
    return validate(values)


@dataclass(frozen=True)
class Judged:
    """One row with what the closed form says of the same run."""

    row: Row
    prediction: Prediction

    @property
    def context_bytes(self) -> int:
        """The term that is not judged: it is the card's, not the run's."""
        return next(term.num_bytes for term in self.prediction.terms if term.key == "cuda_context")

    @cached_property
    def predicted_bytes(self) -> int:
        """Total without the context; without paged optimizer states too where the row could not see them."""
        paged = str(self.row.settings.get("training.optim", "")).startswith("paged") and self.row.device_bytes is None
        states = next(term.num_bytes for term in self.prediction.terms if term.key == "optimizer") if paged else 0
        return self.prediction.total_bytes - self.context_bytes - states

    @cached_property
    def measured_bytes(self) -> int:
        """What torch reserved at most, or where there are paged states what the device held, without the context."""
        paged = str(self.row.settings.get("training.optim", "")).startswith("paged")
        if paged and self.row.device_bytes is not None:
            return self.row.device_bytes - self.context_bytes
        assert self.row.reserved_bytes is not None, self.row.id
        return self.row.reserved_bytes

    @property
    def error(self) -> float:
        """Predicted over measured, minus one: below 0 the run needs more than was said.

        A measurement that was written down rounded counts as the nearest number that would have been written so.
        """
        half = self.row.rounding_bytes
        nearest = min(max(self.predicted_bytes, self.measured_bytes - half), self.measured_bytes + half)
        return self.predicted_bytes / nearest - 1


def plan_of(row: Row, device: DeviceFacts | None = None) -> Plan:
    """The row's run as the estimate sees it, on the row's own platform."""
    config, model, device = row.config(), row.model(), device or row.device.facts()
    choices = choose(config, model, device, row.longest)
    plan = make_plan(config, model, device, choices, row.longest)
    has_triton = row.device.kind in ("cuda", "rocm", "xpu") and row.device.platform == "linux"
    return replace(plan, has_triton=has_triton)


def judged(row: Row) -> Judged:
    """The row with its prediction."""
    device = row.device.facts()
    return Judged(row, predict(plan_of(row, device), device))


# --- files -------------------------------------------------------------------------------------------------------------------


def read_rows(files: Iterable[Path], *, keeps_last: bool = False) -> list[Row]:
    """Every row of these files, in order; a half line at the end of a file, which an interrupted command leaves, is passed over.

    Args:
        files: Of one row a line.
        keeps_last: Of several rows with one id the last counts, as where a case was tried again; otherwise they are an error.

    Raises:
        ValueError: A line that is whole and is no row, or an id that is there twice.
    """
    rows: dict[str, Row] = {}
    for file in files:
        for row in _rows_of(file):
            if row.id in rows and not keeps_last:
                raise ValueError(f"{row.id} is in the archive twice")
            rows[row.id] = row
    return list(rows.values())


def _rows_of(file: Path) -> Iterator[Row]:
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if not line.strip() or (number == len(lines) and not line.endswith("\n")):
            continue
        try:
            yield Row.model_validate_json(line)
        except ValueError as error:
            raise ValueError(f"{file.name}, line {number}: {error}") from error


def read_archive(folder: Path = ARCHIVE) -> list[Row]:
    """Every measured row that the repository holds."""
    return read_rows(sorted(folder.glob("*.jsonl")))
