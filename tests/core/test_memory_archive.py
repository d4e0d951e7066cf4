"""The closed form and stored dry runs against every measured row in docs/measurements/vram, and the judging itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks.vram import fit, page
from benchmarks.vram.archive import ARCHIVE, Judged, Row, judged, plan_of, read_archive, read_rows
from benchmarks.vram.judge import (
    DRY_95TH,
    DRY_MEDIAN,
    MOST_95TH,
    MOST_MEDIAN,
    Misses,
    by_group,
    dry_run_errors,
    errors_of,
    is_miss,
    judged_rows,
    list_problems,
    misses_of,
    read_misses,
    write_misses,
    wrong_verdict,
)
from benchmarks.vram.matrix import case, matrix
from benchmarks.vram.shapes import HELD_OUT_FAMILIES
from desktop_ft.core.memory.terms import predict

MIB = 1 << 20
AGAIN = "look at the changes, then: python -m benchmarks.vram archive --write"


@cache
def archive() -> tuple[Judged, ...]:
    return tuple(judged_rows(read_archive()))


def made(error: float = 0.0, number: int = 0, **changes: object) -> Row:
    """A row whose measurement is off from the prediction by this share."""
    one = matrix()[number]
    values: dict[str, Any] = {
        "id": f"{number} {one.id}", "source": "made up", "date": "2026-01-01", "family": one.shape.family, "shape": one.shape.name,
        "shape_config": dict(one.shape.config), "settings": one.all_settings, "longest": one.prompt_length, "versions": {"torch": "2.13"},
        "device": {"kind": "cuda", "name": "NVIDIA H100 80GB HBM3", "total_bytes": 80 << 30, "supports_bf16": True}, "reserved_bytes": 1,
    }  # fmt: skip
    row = Row.model_validate(values | changes)
    return row.model_copy(update={"reserved_bytes": round(judged(row).predicted_bytes / (1 + error)), **changes})


# --- what is measured ---------------------------------------------------------------------------------------------------------


def test_every_row_says_where_it_comes_from_and_with_what_it_was_made() -> None:
    rows = read_archive()
    assert len(rows) >= 48
    for row in rows:
        assert row.source, row.id
        assert row.versions.get("torch"), row.id
        assert row.device.name, row.id
        assert row.longest, row.id


def test_the_closed_form_is_within_its_bounds_except_where_the_list_of_misses_says_so() -> None:
    problems = list_problems(misses_of(archive()), read_misses())
    assert problems == [], AGAIN


def test_no_row_that_is_not_listed_is_beyond_its_bounds() -> None:
    listed = read_misses()
    rest = [one for one in archive() if one.row.id not in listed.rows]
    assert [one.row.id for one in rest if is_miss(one)] == []
    errors = errors_of([one.error for one in rest if one.row.device.kind != "cpu"])
    assert errors.median <= max(MOST_MEDIAN, listed.whole.get("median", 0.0) + 0.002)
    assert errors.high <= max(MOST_95TH, listed.whole.get("95th percentile", 0.0) + 0.002)


def test_stored_dry_runs_are_within_their_bounds() -> None:
    stored = [one.row for one in archive()]
    good = [made(dry_run_bytes=1000 * MIB, number=number).model_copy(update={"reserved_bytes": 995 * MIB}) for number in range(3)]
    values = dry_run_errors([*stored, *good])
    assert len(values) >= 3
    assert errors_of(values).median <= DRY_MEDIAN
    assert errors_of(values).high <= DRY_95TH


def test_the_page_and_its_picture_are_those_of_the_archive() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page(archive(), misses_of(archive())), AGAIN
    assert page.PICTURE.read_text(encoding="utf-8") == page.picture(archive()), AGAIN


# --- the judging itself -------------------------------------------------------------------------------------------------------


def test_a_miss_that_is_not_listed_is_told_and_so_is_one_that_is_gone_or_has_moved() -> None:
    rows = [judged(made(-0.25)), judged(made(0.0, 1))]
    now = misses_of(rows)
    name = rows[0].row.id
    assert now.rows == {name: pytest.approx(-0.25, abs=1e-3)}
    assert now.verdicts == {name: "said to fit into 4% less than it needed"}
    assert list_problems(now, now) == []
    assert [problem.startswith(name) for problem in list_problems(now, Misses({}, {}, {}))] == [True, True]
    worse, better = Misses({name: -0.20}, now.verdicts, {}), Misses({name: -0.30}, now.verdicts, {})
    assert "worse than listed" in list_problems(now, worse)[0]
    assert "better than listed" in list_problems(now, better)[0]
    gone = list_problems(misses_of([judged(made(0.0))]), now)
    assert ["take it off the list" in problem for problem in gone] == [True, True]


def test_a_median_beyond_its_bound_is_told_though_no_single_row_misses() -> None:
    now = misses_of([judged(made(0.03, number)) for number in range(4)])
    assert now.rows == {}
    assert now.whole == {"median": pytest.approx(0.03, abs=1e-3)}


def test_the_list_survives_being_written(tmp_path: Path) -> None:
    now = misses_of([judged(made(0.2))])
    write_misses(now, tmp_path / "misses.json")
    assert read_misses(tmp_path / "misses.json") == now


def test_verdicts_are_wrong_only_outside_of_the_band() -> None:
    assert wrong_verdict(judged(made(0.0))) is None
    assert wrong_verdict(judged(made(0.08))) == "said not to fit into 4% more than it needed"
    assert wrong_verdict(judged(made(-0.25))) == "said to fit into 4% less than it needed"


def test_a_rounded_measurement_counts_as_the_nearest_that_would_be_written_so() -> None:
    row = made(0.03)
    assert row.reserved_bytes is not None
    assert judged(row).error == pytest.approx(0.03, abs=1e-3)
    wide = row.model_copy(update={"rounding_bytes": int(0.04 * row.reserved_bytes)})
    assert judged(wide).error == 0.0


def test_paged_states_are_judged_by_the_device_and_left_out_where_only_torch_was_asked() -> None:
    number = next(n for n, one in enumerate(matrix()) if one.settings["training.optim"] == "paged_adamw_32bit")
    asked = judged(made(0.0, number))
    states = next(term.num_bytes for term in asked.prediction.terms if term.key == "optimizer")
    assert states > 1 << 30
    assert asked.predicted_bytes == asked.prediction.total_bytes - asked.context_bytes - states
    whole = judged(made(0.0, number).model_copy(update={"device_bytes": asked.prediction.total_bytes}))
    assert whole.error == 0.0


def test_errors_are_summed_up_as_their_bounds_are_meant() -> None:
    errors = errors_of([0.01] * 18 + [-0.02, 0.30])
    assert (errors.num_rows, errors.median, errors.high, errors.under) == (20, 0.01, 0.02, 0.02)
    assert errors.is_within
    assert not errors_of([-0.031] * 40).is_within


def test_runs_that_did_not_end_or_ran_under_a_cap_are_not_judged() -> None:
    assert made().is_judged
    assert not made(outcome="out_of_memory").is_judged
    assert not made(cap_bytes=1 << 30).is_judged


def test_an_unfinished_last_line_is_passed_over_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(made().line() + "\n" + made(number=1).line()[:50], encoding="utf-8")
    assert [row.id for row in read_rows([file])] == [made().id]
    file.write_text('{"v": 1}\n' + made().line() + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 1"):
        read_rows([file])
    file.write_text(2 * (made().line() + "\n"), encoding="utf-8")
    with pytest.raises(ValueError, match="twice"):
        read_rows([file])


def test_a_row_is_the_same_after_a_trip_through_the_file() -> None:
    for row in read_archive():
        assert Row.model_validate_json(row.line()) == row


def test_groups_cover_every_row() -> None:
    rows = [judged(made(0.01, number)) for number in range(12)]
    counts: dict[str, int] = {}
    for grouping, _, errors in by_group(rows):
        counts[grouping] = counts.get(grouping, 0) + errors.num_rows
    assert set(counts.values()) == {12}


# --- fitting ------------------------------------------------------------------------------------------------------------------


def test_two_families_are_never_fitted_on_and_the_others_are_split() -> None:
    rows = [made(number=number) for number in range(75)]
    splits = {row.split for row in rows}
    assert splits == {"fit", "score", "held_out"}
    assert {row.family for row in rows if row.split == "held_out"} == set(HELD_OUT_FAMILIES)
    assert not {row.family for row in rows if row.split == "fit"} & HELD_OUT_FAMILIES


def test_fitting_finds_the_coefficient_that_the_rows_were_made_with() -> None:
    rows: list[Row] = []
    with fit.with_values({"ALLOCATOR_SLACK_BYTES": 656 * MIB, "ALLOCATOR_SLACK_SHARE": 0.25}):
        rows = [made(number=number) for number in range(0, 48, 2)]
    prepared = fit.prepared(rows)
    before = fit.loss([one.error for one in fit.judged_with(prepared, {})])
    found = fit.fit(prepared)
    after = fit.loss([one.error for one in fit.judged_with(prepared, found)])
    assert after < before / 4
    assert found["ALLOCATOR_SLACK_BYTES"] + found["cublas_workspace_bytes"] == pytest.approx((656 + 64) * MIB, rel=0.1)


def test_what_is_left_over_is_told_for_a_token_and_block() -> None:
    one = case("llama-1b", "lora", batch=(4, 1024))
    number = next(n for n, other in enumerate(matrix()) if other.id == one.id)
    row = made(number=number)
    assert row.reserved_bytes is not None
    more = row.model_copy(update={"reserved_bytes": row.reserved_bytes + 100 * 4 * 1024 * 16})
    assert fit.left_over([judged(more)]) == [("LoRA, checkpointing on", 1, 100.0)]


def test_a_predicted_row_is_that_of_its_own_platform() -> None:
    row = made()
    windows = row.model_copy(update={"device": row.device.model_copy(update={"platform": "win32"})})
    assert not plan_of(windows).has_triton
    assert predict(plan_of(windows), windows.device.facts()).total_bytes > judged(row).prediction.total_bytes
    assert (ARCHIVE / "known_misses.json").is_file()
