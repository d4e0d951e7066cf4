"""How far the closed form is from measured rows: the numbers by group, the bounds that hold, and the rows that are known to miss."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.vram.archive import ARCHIVE, Judged, Row, judged, plan_of
from desktop_ft.core.memory.terms import predict, verdict

MOST_MEDIAN: Final = 0.02
MOST_95TH: Final = 0.05
MOST_UNDER: Final = 0.03
CPU_MOST: Final = 0.15
"""Resident memory depends on the C library's allocator too."""
VERDICT_BAND: Final = 0.04
MISSES_FILE: Final = ARCHIVE / "known_misses.json"
SAME: Final = 0.005
"""A listed miss may have moved by so much before the list must be written again."""


@dataclass(frozen=True)
class Errors:
    """Errors of some rows, as shares of what was measured.

    Attributes:
        median: Of their sizes.
        high: 95th percentile of their sizes.
        under: The most that was predicted too little, 0 or above.
    """

    num_rows: int
    median: float
    high: float
    under: float

    @property
    def is_within(self) -> bool:
        """Whether all three bounds hold."""
        return self.median <= MOST_MEDIAN and self.high <= MOST_95TH and self.under <= MOST_UNDER


def errors_of(values: Sequence[float]) -> Errors:
    """Median, 95th percentile (the smallest size that 95 % do not exceed) and the worst below."""
    assert values, "no rows"
    sizes = sorted(abs(value) for value in values)
    place = -(-95 * len(sizes) // 100) - 1
    return Errors(len(sizes), statistics.median(sizes), sizes[place], max(0.0, -min(values)))


def judged_rows(rows: Iterable[Row]) -> list[Judged]:
    """Those that the closed form is held against."""
    return [judged(row) for row in rows if row.is_judged]


def is_miss(one: Judged) -> bool:
    """Whether a row is outside of what a single row may be: 5 % over or 3 % under, on a CPU 15 % either way."""
    if one.row.device.kind == "cpu":
        return abs(one.error) > CPU_MOST
    return one.error > MOST_95TH or one.error < -MOST_UNDER


def wrong_verdict(row: Row) -> str | None:
    """What is wrong with the verdict where 4 % more or less than what the run needed is free; None: nothing."""
    needs = judged(row).measured_bytes + row.rounding_bytes + judged(row).context_bytes
    said = {}
    for share in (1 - VERDICT_BAND, 1 + VERDICT_BAND):
        device = row.device.facts(int(needs * share))
        said[share] = verdict(predict(plan_of(row, device), device), device.free_bytes)
    if said[1 + VERDICT_BAND] == "does_not_fit":
        return "does_not_fit with 4 % more than it needed"
    if said[1 - VERDICT_BAND] == "fits":
        return "fits with 4 % less than it needed"
    return None


# --- known misses ------------------------------------------------------------------------------------------------------------


def read_misses(path: Path = MISSES_FILE) -> dict[str, float]:
    """Error of each row that is known to miss, by its id."""
    return {name: float(error) for name, error in json.loads(path.read_text(encoding="utf-8")).items()}


def misses_of(rows: Iterable[Judged]) -> dict[str, float]:
    """What the list should hold now."""
    return {one.row.id: round(one.error, 4) for one in rows if is_miss(one)}


def write_misses(rows: Iterable[Judged], path: Path = MISSES_FILE) -> None:
    """Write the list anew; a row that got worse is in it as well, so look at what changed before it is committed."""
    path.write_text(json.dumps(misses_of(rows), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def list_problems(rows: Sequence[Judged], listed: Mapping[str, float]) -> list[str]:
    """What the list of misses says that is not so, one sentence each."""
    found = {one.row.id: one for one in rows}
    problems = [f"{name} is listed as a miss and is no row of the archive" for name in listed if name not in found]
    for name, one in found.items():
        known = listed.get(name)
        if known is None:
            if is_miss(one):
                problems.append(f"{name} is off by {one.error:+.1%} and not listed")
        elif not is_miss(one):
            problems.append(f"{name} is off by only {one.error:+.1%}: take it off the list")
        elif abs(one.error) > abs(known) + SAME:
            problems.append(f"{name} got worse: {known:+.1%} is listed, and it is off by {one.error:+.1%}")
        elif abs(one.error) < abs(known) - SAME:
            problems.append(f"{name} got better: {known:+.1%} is listed, and it is off by only {one.error:+.1%}")
    return problems


# --- dry runs ----------------------------------------------------------------------------------------------------------------

DRY_MEDIAN: Final = 0.01
DRY_95TH: Final = 0.03


def dry_run_errors(rows: Iterable[Row]) -> list[float]:
    """Errors of the dry runs that are stored beside rows: reserved bytes without the context, against what was measured."""
    return [
        row.dry_run_bytes / row.reserved_bytes - 1
        for row in rows
        if row.is_judged and row.dry_run_bytes is not None and row.reserved_bytes is not None
    ]


# --- tables ------------------------------------------------------------------------------------------------------------------


def method_of(row: Row) -> str:
    """The method in a word."""
    kind, dora = str(row.settings.get("method.kind", "lora")), row.settings.get("method.use_dora", True)
    if kind == "full":
        return "full"
    return {"lora": "DoRA", "qlora": "QDoRA"}[kind] if dora else {"lora": "LoRA", "qlora": "QLoRA"}[kind]


def objective_of(row: Row) -> str:
    """The objective's name."""
    return str(row.settings.get("objective.kind", "sft"))


def checkpointing_of(row: Row) -> str:
    """Whether blocks are computed again, as resolved or stated."""
    is_on = row.resolved.get("training.activation_checkpointing", row.settings.get("training.activation_checkpointing"))
    return "on" if is_on else "off"


GROUPINGS: Final[Mapping[str, Callable[[Row], str]]] = {
    "split": lambda row: row.split,
    "family": lambda row: row.family,
    "method": method_of,
    "objective": objective_of,
    "checkpointing": checkpointing_of,
}


def by_group(rows: Sequence[Judged]) -> list[tuple[str, str, Errors]]:
    """Errors of all rows and of the rows of each group: grouping, group, errors."""
    found = [("all", "all", errors_of([one.error for one in rows]))]
    for name, group_of in GROUPINGS.items():
        groups: dict[str, list[float]] = {}
        for one in rows:
            groups.setdefault(group_of(one.row), []).append(one.error)
        found += [(name, group, errors_of(values)) for group, values in sorted(groups.items())]
    return found


def report(rows: Sequence[Row]) -> str:
    """Errors by group as a text, and the rows that miss, the worst first."""
    found = judged_rows(rows)
    lines = [f"{'':14} {'':16} {'rows':>5} {'median':>8} {'95th':>8} {'under':>8}"]
    for grouping, group, errors in by_group(found):
        lines.append(f"{grouping:14} {group:16} {errors.num_rows:5} {errors.median:8.1%} {errors.high:8.1%} {errors.under:8.1%}")
    misses = sorted((one for one in found if is_miss(one)), key=lambda one: -abs(one.error))
    lines += ["", f"{len(misses)} of {len(found)} rows miss:"]
    lines += [f"{one.error:+7.1%} {one.measured_bytes / 2**30:7.2f} GiB  {one.row.id}" for one in misses]
    return "\n".join(lines)
