"""Measures memory peaks: ``python -m benchmarks.vram measure --out DIR``. `README.md` beside this and docs/measurements say how."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.vram.archive import ROOT, Row, read_archive, read_rows
from benchmarks.vram.cases import ANY_CARD, Case, from_json
from benchmarks.vram.child import Place, prepare, work
from benchmarks.vram.machine import Card, allocator, versions
from benchmarks.vram.matrix import matrix, tiny_matrix
from benchmarks.vram.modes import capped_cases, fits_result, ppo_cases, ppo_ratios, probe_cases, saving_cases, saving_results
from benchmarks.vram.pool import CONSOLE_FILE, Pool, Process, append, fork, spawn
from benchmarks.vram.warm import quieten, warm_up
from desktop_ft.core.device import DeviceFacts

GIB: Final = 1 << 30
NUM_FITS: Final = 36
ROWS_FILE: Final = "rows.jsonl"
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - Linux's folder in main memory, the fastest place for files that are soon gone
LEAST_SHARED_BYTES: Final = 48 << 30


def main() -> int:
    """Carry out one command."""
    chosen = _arguments().parse_args()
    if chosen.command == "one":
        return _one(Path(chosen.case), Path(chosen.place), chosen.device)
    if chosen.command == "summary":
        return summary(read_rows([chosen.out / ROWS_FILE], keeps_last=True))
    if chosen.command == "collect":
        return collect(chosen.out / ROWS_FILE, chosen.to)
    if chosen.command == "archive":
        return judge_archive(writes=chosen.write)
    return run(chosen)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("measure", "fits", "savings", "ppo"):
        command = commands.add_parser(name)
        command.add_argument("--out", type=Path, required=True, help="folder for rows.jsonl; rows are added to it")
        command.add_argument("--budget", type=float, default=540.0, help="seconds; no case begins that would take longer")
        command.add_argument("--skip-done", type=Path, action="append", default=[], help="rows that need not be measured again")
        command.add_argument("--parallel", type=int, default=3, help="cases side by side, where the card has room")
        command.add_argument("--only", default="", help="cases whose id has this in it")
        command.add_argument("--work", type=Path, help="folder for models and runs; else one in memory or a temporary one")
        command.add_argument("--tiny", action="store_true", help="the smallest shape, also without a card")
        command.add_argument("--spawn", action="store_true", help="a new process for each case instead of a fork")
        command.add_argument("--list", action="store_true", help="say what would be measured and how long it may take")
    one = commands.add_parser("one", help="a single prepared case; for the pool's own use")
    for name in ("case", "place", "device"):
        one.add_argument(name)
    archive = commands.add_parser("archive", help="how far the estimate is from the rows in the repository")
    archive.add_argument("--write", action="store_true", help="write the list of misses and docs/memory-errors.md anew")
    taken = commands.add_parser("collect", help="the rows of an output folder for the archive: the last of each id, failures left out")
    taken.add_argument("--out", type=Path, required=True)
    taken.add_argument("--to", type=Path, required=True)
    commands.add_parser("summary", help="what the rows of an output folder say").add_argument("--out", type=Path, required=True)
    return parser


def _one(case_file: Path, place: Path, device_kind: str) -> int:
    quieten()
    work(from_json(json.loads(case_file.read_text(encoding="utf-8"))), Place(place, device_kind))
    return 0


def run(chosen: argparse.Namespace) -> int:
    """Measure what is not measured yet, as far as the budget goes."""
    began = time.monotonic()
    quieten()
    card = Card()
    if not card.is_cuda and not chosen.tiny and not chosen.list:
        raise SystemExit("There is no NVIDIA card; --tiny measures resident memory with the smallest shape.")
    facts = card.device.facts() if card.is_cuda or chosen.tiny else ANY_CARD
    out: Path = chosen.out / ROWS_FILE
    files = [file for file in (*chosen.skip_done, out) if file.is_file()]
    known = read_rows(files, keeps_last=True)
    done = {row.id for row in known if row.outcome in ("completed", "out_of_memory")}
    queue = [case for case in named(_cases(chosen, facts, known)) if case.id not in done and chosen.only in case.id]
    thought = sum(case.seconds(facts) for case in queue)
    print(
        f"{card.device.name}: {len(queue)} cases to measure, about {thought:.0f} s one after the other; {len(done)} are there", flush=True
    )
    if not queue and not chosen.list:
        return summary(known)
    if chosen.list:
        for case in queue:
            print(f"{case.seconds(facts):6.1f} s  {case.predicted_bytes(facts) / GIB:6.1f} GiB  {case.id}")
        return 0
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="desktop-ft-memory-", dir=chosen.work or _fast_folder()) as folder:
        pool = _pool(card, Place(Path(folder), card.device.kind), chosen)
        while queue:
            left = chosen.budget - (time.monotonic() - began)
            for row in pool.run(queue, left):
                append(row, out)
                known.append(row)
                _tell(row)
            tried = {case.id for case in queue}
            queue = [case for case in named(_cases(chosen, facts, known)) if case.id not in tried | done and chosen.only in case.id]
    card.close()
    print(f"{time.monotonic() - began:.0f} s", flush=True)
    return summary(read_rows([out], keeps_last=True)) if out.is_file() else 0


def _cases(chosen: argparse.Namespace, facts: DeviceFacts, known: Sequence[Row]) -> list[Case]:
    whole = tiny_matrix() if chosen.tiny else matrix()
    match chosen.command:
        case "fits":
            probes = named(probe_cases(whole, NUM_FITS))
            return [*probes, *capped_cases(probes, known)]
        case "savings":
            return saving_cases(facts)
        case "ppo":
            return ppo_cases()
        case _:
            return whole


def named(cases: Sequence[Case]) -> list[Case]:
    """With settings of torch's allocator every case is another one."""
    setting = allocator()
    return [case if not setting or case.id.endswith(setting) else replace(case, id=f"{case.id} / {setting}") for case in cases]


def _pool(card: Card, place: Place, chosen: argparse.Namespace) -> Pool:
    started = time.monotonic()
    is_forked = not chosen.spawn and hasattr(os, "fork") and warm_up(place, card.device.compute_capability)
    print(f"{time.monotonic() - started:.0f} s to begin; each case is {'forked' if is_forked else 'a new process'}", flush=True)

    def start(case: Case) -> Process:
        if is_forked:
            return fork(lambda: work(case, place), place.case(case) / CONSOLE_FILE)
        return spawn(case, place, ROOT)

    return Pool(
        device=card.device,
        place=place,
        start=start,
        prepare=lambda case: prepare(case, place),
        use=card.use,
        versions=versions(),
        allocator=allocator(),
        num_parallel=max(1, chosen.parallel) if card.is_cuda else 1,
    )


def _fast_folder() -> Path | None:
    if not SHARED_MEMORY.is_dir():
        return None
    state = os.statvfs(SHARED_MEMORY)
    return SHARED_MEMORY if state.f_bavail * state.f_frsize >= LEAST_SHARED_BYTES else None


def _tell(row: Row) -> None:
    held = f"{row.reserved_bytes / GIB:6.2f} GiB" if row.reserved_bytes else "        --"
    error = ""
    if row.is_judged and row.device.kind != "cpu":
        from benchmarks.vram.archive import judged

        error = f"{judged(row).error:+7.1%}"
    print(f"{row.outcome:14} {held} {error:8} {row.seconds or 0:5.1f} s  {row.id}  {(row.error or '')[-120:]}", flush=True)


def judge_archive(*, writes: bool) -> int:
    """Hold the estimate against the rows in the repository; the exit status is 1 where the list of misses is not true."""
    from benchmarks.vram import judge, page

    rows = read_archive()
    found = judge.judged_rows(rows)
    now = judge.misses_of(found)
    print(judge.report([row for row in rows if row.device.kind != "cpu"]))
    problems = judge.list_problems(now, judge.read_misses()) if judge.MISSES_FILE.is_file() else ["there is no list of misses"]
    print("\n".join(["", *problems]))
    if writes:
        judge.write_misses(now)
        page.write(found, now)
        return 0
    return 1 if problems else 0


def collect(rows_file: Path, target: Path) -> int:
    """Write the last row of each id that says something about memory."""
    rows = {row.id: row for row in read_rows([rows_file], keeps_last=True) if row.outcome in ("completed", "out_of_memory")}
    target.write_text("".join(row.line() + "\n" for row in rows.values()), encoding="utf-8")
    print(f"{len(rows)} rows")
    return 0


def summary(rows: Sequence[Row]) -> int:
    """Print what the rows say."""
    from benchmarks.vram.judge import report

    judged_rows = [row for row in rows if row.is_judged and row.device.kind != "cpu"]
    if judged_rows:
        print(report(judged_rows))
    fits = fits_result(rows)
    if fits.num_passed:
        shown = "shown" if fits.holds else "not shown"
        print(f"fits: {fits.num_passed} probes passed under their cap, {fits.num_not_passed} did not; {shown}")
        print(f"fits: runs out of memory after that: {', '.join(fits.out_of_memory) or 'none'}")
    savings = saving_results(rows)
    for saving in savings:
        print(f"{saving.promised_bytes / GIB:7.2f} promised {saving.measured_bytes / GIB:7.2f} saved {saving.error:+7.1%}  {saving.id}")
    for name, ratio in ppo_ratios(rows).items():
        print(f"{name}: {ratio:.2f} x supervised QLoRA")
    return 0


if __name__ == "__main__":
    sys.exit(main())
