"""docs/memory-errors.md and its picture, made from the archive: what was predicted against what was measured, misses included."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from benchmarks.vram.archive import ROOT, Judged
from benchmarks.vram.judge import (
    MOST_95TH,
    MOST_MEDIAN,
    MOST_UNDER,
    VERDICT_BAND,
    Errors,
    Misses,
    by_group,
    dry_run_errors,
    errors_of,
    is_miss,
)

PAGE: Final = ROOT / "docs" / "memory-errors.md"
PICTURE: Final = ROOT / "docs" / "images" / "memory-errors.svg"
GIB: Final = 1 << 30
WIDTH: Final = 720
HEIGHT: Final = 560
LEFT: Final = 70
TOP: Final = 20
RIGHT: Final = 20
BOTTOM: Final = 60
INK: Final = "#24292f"
FAINT: Final = "#d0d7de"
COLOURS: Final = {"within": "#0b6bcb", "miss": "#c4421a", "cpu": "#8b949e"}
LABELS: Final = {"within": "within the bounds of a row", "miss": "miss", "cpu": "resident memory, on a CPU"}

INTRODUCTION: Final = (
    "Made by `python -m benchmarks.vram archive --write` from the rows in [measurements/vram](measurements/vram); do not edit it by hand. "
    "How the rows are measured stands in [measurements/README.md](measurements/README.md)."
)
JUDGED: Final = (
    "Judged is what torch reserved at most, which is the process without the card's context; with paged optimizer states, what the device "
    "held. Above 0: more was predicted than was needed. A measurement that was written down rounded counts as the nearest number that "
    "would have been written so."
)
AIM: Final = (
    f"Aim: median {MOST_MEDIAN:.0%}, 95th percentile {MOST_95TH:.0%}, never more than {MOST_UNDER:.0%} too little, and a right verdict "
    f"wherever {VERDICT_BAND:.0%} more or less is free."
)


# --- the picture -------------------------------------------------------------------------------------------------------------


def picture(rows: Sequence[Judged]) -> str:
    """An SVG: measured GiB to the right, predicted GiB upwards, both logarithmic; a hollow point's family was never fitted on."""
    sizes = [size / GIB for one in rows for size in (one.measured_bytes, one.predicted_bytes)]
    low, high = 2.0 ** math.floor(math.log2(min(sizes))), 2.0 ** math.ceil(math.log2(max(sizes)))
    scale = _Scale(low, high)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13" fill="{INK}">',
        "<title>Predicted against measured memory of runs</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *_axes(scale),
        *_band(scale),
        *(_point(one, scale) for one in sorted(rows, key=is_miss)),
        *_legend(rows),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Scale:
    """From GiB to the drawing.

    Args:
        low: GiB at the lower left.
        high: GiB at the upper right.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def x(self, gib: float) -> float:
        """To the right."""
        return LEFT + self._share(gib) * (WIDTH - LEFT - RIGHT)

    def y(self, gib: float) -> float:
        """Downwards."""
        return HEIGHT - BOTTOM - self._share(gib) * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> Iterator[float]:
        """Powers of two."""
        gib = self.low
        while gib <= self.high:
            yield gib
            gib *= 2

    def _share(self, gib: float) -> float:
        return math.log(gib / self.low) / math.log(self.high / self.low)


def _axes(scale: _Scale) -> Iterator[str]:
    left, bottom = scale.x(scale.low), scale.y(scale.low)
    right, top = scale.x(scale.high), scale.y(scale.high)
    for gib in scale.ticks():
        x, y, text = scale.x(gib), scale.y(gib), f"{gib:g}"
        yield f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}M{left:.1f} {y:.1f}H{right:.1f}" stroke="{FAINT}" fill="none"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 20:.1f}" text-anchor="middle">{text}</text>'
        yield f'<text x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    middle = (top + bottom) / 2
    yield f'<text x="{(left + right) / 2:.1f}" y="{bottom + 44:.1f}" text-anchor="middle">measured, GiB (without the context)</text>'
    yield f'<text x="20" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 20 {middle:.1f})">predicted, GiB</text>'


def _band(scale: _Scale) -> Iterator[str]:
    """What is right, and the band of the verdict around it."""
    for share, dash in ((1.0, ""), (1 + VERDICT_BAND, ' stroke-dasharray="5 4"'), (1 - VERDICT_BAND, ' stroke-dasharray="5 4"')):
        low, high = max(scale.low, scale.low / share), min(scale.high, scale.high / share)
        start, end = (scale.x(low), scale.y(low * share)), (scale.x(high), scale.y(high * share))
        yield f'<path d="M{start[0]:.1f} {start[1]:.1f}L{end[0]:.1f} {end[1]:.1f}" stroke="{INK}" fill="none"{dash}/>'


def _point(one: Judged, scale: _Scale) -> str:
    colour = COLOURS[_kind(one)]
    fill = "#ffffff" if one.row.split == "held_out" else colour
    where = f'cx="{scale.x(one.measured_bytes / GIB):.1f}" cy="{scale.y(one.predicted_bytes / GIB):.1f}"'
    title = f"<title>{escape(one.row.id)}: {one.error:+.1%}</title>"
    return f'<circle {where} r="4.5" fill="{fill}" stroke="{colour}" stroke-width="1.5" fill-opacity="0.8">{title}</circle>'


def _kind(one: Judged) -> str:
    if is_miss(one):
        return "miss"
    return "cpu" if one.row.device.kind == "cpu" else "within"


def _legend(rows: Sequence[Judged]) -> Iterator[str]:
    shown = [kind for kind in LABELS if any(_kind(one) == kind for one in rows)]
    for number, kind in enumerate(shown):
        y = TOP + 18 + 20 * number
        yield f'<circle cx="{LEFT + 18}" cy="{y}" r="4.5" fill="{COLOURS[kind]}"/><text x="{LEFT + 30}" y="{y + 4}">{LABELS[kind]}</text>'
    if any(one.row.split == "held_out" for one in rows):
        y = TOP + 18 + 20 * len(shown)
        text = "hollow: a family that nothing is fitted on"
        yield f'<circle cx="{LEFT + 18}" cy="{y}" r="4.5" fill="#ffffff" stroke="{INK}"/><text x="{LEFT + 30}" y="{y + 4}">{text}</text>'


# --- the page ----------------------------------------------------------------------------------------------------------------


def page(rows: Sequence[Judged], misses: Misses) -> str:
    """The whole of memory-errors.md."""
    on_card = [one for one in rows if one.row.device.kind != "cpu"]
    on_cpu = [one for one in rows if one.row.device.kind == "cpu"]
    cards = sorted({one.row.device.name for one in on_card})
    counts = f"{len(on_card)} runs on {' and '.join(cards)}, {len(on_cpu)} on a CPU."
    parts = [
        "# How far the memory estimate is off",
        INTRODUCTION,
        "![Predicted against measured memory](images/memory-errors.svg)",
        f"{counts} {JUDGED}",
        AIM,
        "## By group",
        _group_table(by_group(on_card)),
        *_missing(on_card, misses),
        *_dry_runs(rows),
        "## Every row",
        _row_table(rows),
    ]
    return "\n\n".join(parts) + "\n"


def _group_table(groups: Iterable[tuple[str, str, Errors]]) -> str:
    lines = ["| by | group | rows | median | 95th percentile | most too little |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for grouping, group, errors in groups:
        numbers = f"{errors.num_rows} | {errors.median:.1%} | {errors.high:.1%} | {errors.under:.1%}"
        lines.append(f"| {grouping} | {group.replace('_', ' ')} | {numbers} |")
    return "\n".join(lines)


def _missing(rows: Sequence[Judged], misses: Misses) -> Iterator[str]:
    found = sorted((one for one in rows if is_miss(one)), key=lambda one: -abs(one.error))
    yield "## What misses"
    yield f"{len(found)} of {len(rows)} runs on a card are more than {MOST_95TH:.0%} over or {MOST_UNDER:.0%} under."
    if found:
        yield _row_table(found)
    rest = [one.error for one in rows if not is_miss(one)]
    if rest:
        errors = errors_of(rest)
        yield f"Without these the median is {errors.median:.1%} and the 95th percentile {errors.high:.1%}."
    wrong = sum(one.row.id in misses.verdicts for one in rows)
    yield f"The verdict is wrong in {wrong} of {len(rows)} runs."


def _dry_runs(rows: Sequence[Judged]) -> Iterator[str]:
    values = dry_run_errors([one.row for one in rows])
    if values:
        errors = errors_of(values)
        yield "## Dry runs"
        numbers = f"median {errors.median:.1%}, 95th percentile {errors.high:.1%}, most too little {errors.under:.1%}"
        yield f"{errors.num_rows} are stored: {numbers}."


def _row_table(rows: Iterable[Judged]) -> str:
    lines = ["| run | measured, GiB | predicted, GiB | error | most at |", "| --- | ---: | ---: | ---: | --- |"]
    for one in rows:
        numbers = f"{one.measured_bytes / GIB:.2f} | {one.predicted_bytes / GIB:.2f} | {one.error:+.1%}"
        lines.append(f"| {one.row.id} | {numbers} | {one.prediction.phase} |")
    return "\n".join(lines)


def write(rows: Sequence[Judged], misses: Misses, page_file: Path = PAGE, picture_file: Path = PICTURE) -> None:
    """Write both files."""
    page_file.write_text(page(rows, misses), encoding="utf-8")
    picture_file.write_text(picture(rows), encoding="utf-8")
