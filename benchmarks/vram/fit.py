"""Fits the few coefficients of the closed form that are measured rather than counted, and says what is left.

``python -m benchmarks.vram.fit [FILE ...]`` reads the archive, or these files of rows. Fitted is on the rows whose split is ``fit``; the
others, and two whole families, only judge. It writes nothing: a coefficient is changed by hand, with its source, and the list of misses
and the page are then made again. Everything else in core/memory is counted in code and not free.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.vram.archive import Judged, Row, plan_of, read_archive, read_rows
from benchmarks.vram.judge import by_group, checkpointing_of, errors_of, method_of
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.memory import terms
from desktop_ft.core.memory.plan import Plan
from desktop_ft.core.memory.terms import MIB, predict

UNDER_WEIGHT: Final = 2.0
"""Too little is worse than too much: the run dies."""
MOST_COUNTED: Final = 0.10
"""An error beyond this counts as this: a row that misses for another reason must not pull a coefficient its way."""
ROUNDS: Final = 6
Values = Mapping[str, float]


@dataclass(frozen=True)
class Coefficient:
    """One free number of desktop_ft.core.memory.terms.

    Attributes:
        name: Of the constant, or of the function of a device that is to give this number whatever the device.
        low: The least that makes sense.
        high: The most.
        step: Of the first round; each round halves it.
        is_function: Whether the name is that of a function.
    """

    name: str
    low: float
    high: float
    step: float
    is_function: bool = False

    def now(self, device: DeviceFacts) -> float:
        """Its value in the program."""
        value = getattr(terms, self.name)
        return float(value(device) if self.is_function else value)


COEFFICIENTS: Final = (
    Coefficient("ALLOCATOR_SLACK_BYTES", 0, 2048 * MIB, 128 * MIB),
    Coefficient("ALLOCATOR_SLACK_SHARE", 0.0, 0.5, 0.05),
    Coefficient("cublas_workspace_bytes", 0, 256 * MIB, 32 * MIB, is_function=True),
)


@dataclass(frozen=True)
class _Prepared:
    """A row with its plan, which no coefficient changes."""

    row: Row
    plan: Plan
    device: DeviceFacts


def prepared(rows: Sequence[Row]) -> list[_Prepared]:
    """The rows on a card that the closed form is held against."""
    return [_Prepared(row, plan_of(row), row.device.facts()) for row in rows if row.is_judged and row.device.kind != "cpu"]


@contextmanager
def with_values(values: Values) -> Generator[None]:
    """Let the closed form use these numbers."""
    module = cast("Any", terms)
    kept = {name: getattr(module, name) for name in values}
    functions = {coefficient.name for coefficient in COEFFICIENTS if coefficient.is_function}
    for name, value in values.items():
        setattr(module, name, (lambda _device, value=value: int(value)) if name in functions else value)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(module, name, value)


def judged_with(rows: Sequence[_Prepared], values: Values) -> list[Judged]:
    """The rows with what is predicted under these values."""
    with with_values(values):
        return [Judged(one.row, predict(one.plan, one.device)) for one in rows]


def loss(errors: Sequence[float]) -> float:
    """Mean size of the errors, those below 0 twice, none above the most that counts."""
    return statistics.fmean(min(error, MOST_COUNTED) if error > 0 else UNDER_WEIGHT * min(-error, MOST_COUNTED) for error in errors)


def fit(rows: Sequence[_Prepared]) -> dict[str, float]:
    """The values that suit these rows best, one coefficient after the other, in ever smaller steps."""
    values = {coefficient.name: coefficient.now(rows[0].device) for coefficient in COEFFICIENTS}
    best = _loss_of(rows, values)
    for halvings in range(ROUNDS):
        is_better = True
        while is_better:
            is_better = False
            for coefficient in COEFFICIENTS:
                step = coefficient.step / 2**halvings
                for value in (values[coefficient.name] - step, values[coefficient.name] + step):
                    tried = {**values, coefficient.name: min(max(value, coefficient.low), coefficient.high)}
                    found = _loss_of(rows, tried)
                    if found < best - 1e-9:
                        values, best, is_better = tried, found, True
    return values


def _loss_of(rows: Sequence[_Prepared], values: Values) -> float:
    return loss([one.error for one in judged_with(rows, values)])


def left_over(rows: Sequence[Judged]) -> list[tuple[str, int, float]]:
    """What is missing, by method and checkpointing: bytes for each token of a micro-batch and block, the median of the rows.

    A number far from 0 that several families share points at a term that is counted wrongly, such as a cast.
    """
    groups: dict[str, list[float]] = {}
    for one in rows:
        plan = plan_of(one.row)
        per = (one.measured_bytes - one.predicted_bytes) / (plan.num_tokens * plan.shape.num_layers)
        groups.setdefault(f"{method_of(one.row)}, checkpointing {checkpointing_of(one.row)}", []).append(per)
    return [(name, len(values), statistics.median(values)) for name, values in sorted(groups.items())]


def main(arguments: list[str]) -> int:
    """Fit and print."""
    rows = prepared(read_rows([Path(name) for name in arguments]) if arguments else read_archive())
    training = [one for one in rows if one.row.split == "fit"]
    if not training:
        print("no row to fit on")
        return 1
    now = {coefficient.name: coefficient.now(training[0].device) for coefficient in COEFFICIENTS}
    fitted = fit(training)
    print(f"{'coefficient':28} {'now':>16} {'fitted':>16}")
    for name, value in fitted.items():
        print(f"{name:28} {now[name]:16,.3f} {value:16,.3f}")
    for title, values in (("now", now), ("fitted", fitted)):
        found = judged_with(rows, values)
        print(f"\n{title:14} {'':16} {'rows':>5} {'median':>8} {'95th':>8} {'under':>8}")
        for grouping, group, errors in by_group(found):
            print(f"{grouping:14} {group:16} {errors.num_rows:5} {errors.median:8.1%} {errors.high:8.1%} {errors.under:8.1%}")
        print(f"worst 95th percentile of a split: {max(errors_of(part).high for part in _splits(found)):.1%}")
    print("\nleft over with the fitted values, bytes a token and block:")
    for name, num_rows, per in left_over(judged_with(rows, fitted)):
        print(f"{name:32} {num_rows:4} rows {per:12,.0f}")
    return 0


def _splits(rows: Sequence[Judged]) -> list[list[float]]:
    groups: dict[str, list[float]] = {}
    for one in rows:
        groups.setdefault(one.row.split, []).append(one.error)
    return list(groups.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
