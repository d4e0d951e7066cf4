"""How far the closed form is from measured rows: the numbers by group, the bounds that hold, and the rows that are known to miss."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.vram.archive import ARCHIVE, Judged, Row, judged, plan_of
from desktop_ft.core.memory.terms import Verdict, predict, verdict

MOST_MEDIAN: Final = 0.02
MOST_95TH: Final = 0.05
MOST_UNDER: Final = 0.03
CPU_MOST: Final = 0.15
"""Resident memory depends on the C library's allocator too."""
VERDICT_BAND: Final = 0.04
MISSES_FILE: Final = ARCHIVE / "known_misses.json"
SAME: Final = 0.002
"""A listed number may have moved by so much before the list must be written again."""


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


def wrong_verdict(one: Judged) -> str | None:
    """What is wrong with the verdict where 4 % more or less than what the run needed is free (on a CPU 15 %); None: nothing."""
    row = one.row
    band = CPU_MOST if row.device.kind == "cpu" else VERDICT_BAND
    needs = one.measured_bytes + one.context_bytes
    if _verdict(row, int((needs + row.rounding_bytes) * (1 + band))) == "does_not_fit":
        return f"said not to fit into {band:.0%} more than it needed"
    if _verdict(row, int((needs - row.rounding_bytes) * (1 - band))) == "fits":
        return f"said to fit into {band:.0%} less than it needed"
    return None


def _verdict(row: Row, free_bytes: int) -> Verdict:
    device = row.device.facts(free_bytes)
    return verdict(predict(plan_of(row, device), device), free_bytes)


# --- what is known to miss ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Misses:
    """Where the closed form is not yet as good as it must be.

    Attributes:
        rows: Error of each row outside of what a single row may be, by its id.
        verdicts: What is wrong with the verdict of a row, by its id.
        whole: Median and 95th percentile over the rows that do not miss, where they are beyond their bounds.
    """

    rows: Mapping[str, float]
    verdicts: Mapping[str, str]
    whole: Mapping[str, float]


def read_misses(path: Path = MISSES_FILE) -> Misses:
    """The list in the archive."""
    return Misses(**json.loads(path.read_text(encoding="utf-8")))


def misses_of(rows: Sequence[Judged]) -> Misses:
    """What the list should hold now."""
    wrong = {one.row.id: why for one in rows if (why := wrong_verdict(one)) is not None}
    return Misses({one.row.id: round(one.error, 4) for one in rows if is_miss(one)}, wrong, _beyond(rows))


def _beyond(rows: Sequence[Judged]) -> dict[str, float]:
    """Of the runs on a card that do not miss alone."""
    values = [one.error for one in rows if not is_miss(one) and one.row.device.kind != "cpu"]
    if not values:
        return {}
    errors = errors_of(values)
    found = {"median": (errors.median, MOST_MEDIAN), "95th percentile": (errors.high, MOST_95TH)}
    return {name: round(value, 4) for name, (value, most) in found.items() if value > most}


def write_misses(misses: Misses, path: Path = MISSES_FILE) -> None:
    """Write the list anew; what got worse is in it as well, so look at the changes before they are committed."""
    values = {name: dict(sorted(part.items())) for name, part in vars(misses).items()}
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def list_problems(now: Misses, listed: Misses) -> list[str]:
    """What the list says that is not so, one sentence each; a miss that is gone or smaller is one too."""
    problems = [*_moved(now.rows, listed.rows), *_moved(now.whole, listed.whole)]
    problems += [f"{name}: {why}, and it is not listed" for name, why in now.verdicts.items() if listed.verdicts.get(name) != why]
    problems += [f"{name}: its verdict is right now, take it off the list" for name in listed.verdicts if name not in now.verdicts]
    return problems


def _moved(now: Mapping[str, float], listed: Mapping[str, float]) -> Iterator[str]:
    for name in sorted({*now, *listed}):
        is_now, was = now.get(name), listed.get(name)
        if was is None:
            yield f"{name}: off by {is_now:+.1%}, and it is not listed"
        elif is_now is None:
            yield f"{name}: no miss any more ({was:+.1%} is listed), take it off the list"
        elif abs(is_now - was) > SAME:
            yield f"{name}: {'worse' if abs(is_now) > abs(was) else 'better'} than listed: {is_now:+.1%} instead of {was:+.1%}"


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
