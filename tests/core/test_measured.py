"""What was measured on this computer: kept, read again, damaged, forgotten, and what it does to the next estimate."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import pytest

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.memory import MemoryEstimate, estimate, make_plan
from desktop_ft.core.memory.corrections import MOVING, estimate_here
from desktop_ft.core.memory.measured import (
    MOST_MEASUREMENTS,
    Measurement,
    Measurements,
    add_measurement,
    device_key,
    forget_measurements,
    installed_libraries,
    load_measurements,
    measured_context_bytes,
    measured_file,
    plan_from_values,
)
from desktop_ft.core.models import ModelInfo
from tests.core.shapes import LLAMA_1B, LLAMA_8B
from tests.core.test_memory import CPU, GIB, H100, MIB, RTX_4090, run, terms

OTHER: Final = replace(RTX_4090, uuid="GPU-9")


def measured(
    config: RunConfig, model: ModelInfo, device: DeviceFacts = H100, factor: float = 1.0, context: int | None = 700 * MIB, **more: object
) -> Measurement:
    """What a card tells whose moving part is ``factor`` times what the formulas say."""
    found = estimate(config, model, device)
    parts = terms(found)
    reserved = round(sum(size * (factor if key in MOVING else 1) for key, size in parts.items() if key != "cuda_context"))
    on_cpu = device.kind == "cpu"
    one = Measurement(
        device=device_key(device),
        device_name=device.name,
        libraries=installed_libraries(),
        plan=make_plan(config, model, device, found.choices),
        objective=config.objective.kind,
        kernels=config.training.kernels,
        gradient_accumulation_steps=config.training.global_batch_size // found.choices.micro_batch_size,
        process_bytes=reserved + (0 if on_cpu else context or parts["cuda_context"]),
        reserved_bytes=None if on_cpu else reserved,
        context_bytes=None if on_cpu else context,
    )
    return replace(one, **more)  # pyright: ignore[reportArgumentType]


def spread(found: MemoryEstimate) -> int:
    return found.high_bytes - found.low_bytes


# --- what corrects -------------------------------------------------------------------------------------------------------


def test_without_measurements_nothing_is_corrected() -> None:
    config = run(micro=2)
    found = estimate_here(config, LLAMA_1B, H100, measurements=Measurements())
    assert found.estimate == estimate(config, LLAMA_1B, H100)
    assert (found.correction, found.note) == (None, "")
    assert "correction" not in found.to_json()


def test_the_very_plan_has_the_measured_number() -> None:
    config = run(micro=2, whole=8)
    one = measured(config, LLAMA_1B, factor=1.2, seconds_per_step=0.5, evaluation_seconds=3.0)
    raw, found = estimate(config, LLAMA_1B, H100), estimate_here(config, LLAMA_1B, H100, measurements=Measurements((one,)))
    assert found.estimate.total_bytes == one.process_bytes == sum(terms(found.estimate).values())
    assert terms(found.estimate)["weights"] == terms(raw)["weights"]
    assert terms(found.estimate)["cuda_context"] == 700 * MIB
    assert spread(found.estimate) == 2 * int(0.02 * one.process_bytes) < spread(raw)
    correction = found.correction
    assert correction is not None
    assert (correction.basis, correction.num_measurements, correction.is_worst_case) == ("exact", 1, True)
    assert correction.share == one.process_bytes / raw.total_bytes - 1
    assert (correction.seconds_per_step, correction.evaluation_seconds) == (0.5, 3.0)
    assert found.to_json()["correction"] == {"basis": "exact", "measurements": 1, "share": round(correction.share, 4)}


def test_of_several_measurements_of_one_plan_the_largest_counts_and_a_runs_time() -> None:
    config = run(micro=2, whole=8)
    probed = measured(config, LLAMA_1B, seconds_per_step=2.0)
    ran = replace(probed, process_bytes=probed.process_bytes - GIB // 4, seconds_per_step=1.5, source="run")
    found = estimate_here(config, LLAMA_1B, H100, measurements=Measurements((ran, probed)))
    assert found.estimate.total_bytes == probed.process_bytes
    assert found.correction is not None
    assert (found.correction.seconds_per_step, found.correction.is_worst_case) == (1.5, False)


def test_the_time_follows_the_accumulation() -> None:
    one = measured(run(micro=2, whole=8), LLAMA_1B, seconds_per_step=1.0)
    twice = estimate_here(run(micro=2, whole=16), LLAMA_1B, H100, measurements=Measurements((one,)))
    assert twice.correction is not None
    assert twice.correction.seconds_per_step == 2.0


@pytest.mark.parametrize("factors, expected", [((1.1,), 1.1), ((1.1, 0.9, 1.3), 1.1), ((9.0,), 2.0), ((0.0,), 0.5)])
def test_a_similar_plan_scales_what_moves_by_the_median_within_bounds(factors: tuple[float, ...], expected: float) -> None:
    others = [measured(run(micro=4, length=512 * (at + 1)), LLAMA_1B, factor=factor) for at, factor in enumerate(factors)]
    config = run(micro=2)
    raw, found = estimate(config, LLAMA_8B, H100), estimate_here(config, LLAMA_8B, H100, measurements=Measurements(tuple(others)))
    before, after = terms(raw), terms(found.estimate)
    for key, num_bytes in before.items():
        if key in MOVING:
            assert after[key] == pytest.approx(num_bytes * expected, rel=1e-6)
        elif key != "cuda_context":
            assert after[key] == num_bytes
    assert found.correction is not None
    assert (found.correction.basis, found.correction.num_measurements) == ("similar", len(factors))
    assert found.correction.seconds_per_step is None


def test_agreeing_measurements_make_it_surer_and_disagreeing_ones_do_not() -> None:
    config = run(micro=2)
    raw = spread(estimate(config, LLAMA_8B, H100))

    def after(*factors: float) -> int:
        others = [measured(run(micro=4, length=512 * (at + 1)), LLAMA_1B, factor=factor) for at, factor in enumerate(factors)]
        return spread(estimate_here(config, LLAMA_8B, H100, measurements=Measurements(tuple(others))).estimate)

    assert after(1.0, 1.0) < after(1.0) < raw
    assert after(0.5, 2.0) > after(1.0, 1.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "qlora"},
        {"method__use_dora": True},
        {"training__activation_checkpointing": False},
        {"model__attention": "eager"},
        {"objective__kind": "dpo"},
        {"training__kernels": "none"},
    ],
)
def test_another_kind_of_plan_says_nothing_but_the_cards_context(changes: dict[str, object]) -> None:
    one = measured(run(micro=4, length=512, training__activation_checkpointing=True), LLAMA_1B, factor=1.5)
    fixed = {"training__activation_checkpointing": True, **changes}
    config = run(str(fixed.pop("kind", "lora")), 2, None, 2048, **fixed)
    raw, found = estimate(config, LLAMA_1B, H100), estimate_here(config, LLAMA_1B, H100, measurements=Measurements((one,)))
    assert found.correction is not None
    assert found.correction.basis == "context"
    assert found.estimate.total_bytes == raw.total_bytes - terms(raw)["cuda_context"] + 700 * MIB


@pytest.mark.parametrize("device", [OTHER, RTX_4090, replace(H100, uuid=""), CPU])
def test_another_card_or_one_that_is_only_spoken_of_is_not_corrected(device: DeviceFacts) -> None:
    config = run(micro=2)
    one = measured(config, LLAMA_1B, factor=1.5)
    assert estimate_here(config, LLAMA_1B, device, measurements=Measurements((one,))).correction is None


def test_other_versions_of_the_libraries_count_no_more() -> None:
    config = run(micro=2)
    old = measured(config, LLAMA_1B, factor=1.5, libraries={**installed_libraries(), "torch": "1.0"})
    assert estimate_here(config, LLAMA_1B, H100, measurements=Measurements((old,))).correction is None


def test_on_a_cpu_the_process_itself_was_measured() -> None:
    config = run(micro=2, length=256)
    one = measured(config, LLAMA_1B, CPU, factor=1.1)
    found = estimate_here(config, LLAMA_1B, CPU, measurements=Measurements((one,)))
    assert found.estimate.total_bytes == one.process_bytes
    assert spread(found.estimate) == 2 * int(0.05 * one.process_bytes)
    similar = estimate_here(run(micro=2, length=512), LLAMA_1B, CPU, measurements=Measurements((one,)))
    raw = estimate(run(micro=2, length=512), LLAMA_1B, CPU)
    assert terms(similar.estimate)["activations"] == pytest.approx(1.1 * terms(raw)["activations"], rel=1e-6)


def test_a_run_that_no_longer_fits_gets_suggestions() -> None:
    config = run(micro=4, training__activation_checkpointing=True)
    one = measured(config, LLAMA_8B, RTX_4090, factor=1.3)
    tight = replace(RTX_4090, free_bytes=estimate(config, LLAMA_8B, RTX_4090).high_bytes + MIB)
    raw, found = estimate(config, LLAMA_8B, tight), estimate_here(config, LLAMA_8B, tight, measurements=Measurements((one,)))
    assert (raw.verdict, raw.suggestions) == ("fits", ())
    assert found.estimate.verdict == "does_not_fit"
    assert "training.micro_batch_size" in {path for item in found.estimate.suggestions for path in item.set}


def test_of_two_stages_each_is_corrected_and_the_larger_counts() -> None:
    config = run(micro=2, objective__kind="rlhf")
    raw = estimate(config, LLAMA_1B, H100)
    assert estimate_here(config, LLAMA_1B, H100, measurements=Measurements()).estimate == raw
    found = estimate_here(config, LLAMA_1B, H100, measurements=Measurements((measured(run(micro=2), LLAMA_1B),)))
    assert found.correction is not None
    assert found.estimate.phase == raw.phase


# --- the file -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(desktop_ft_home: Path) -> Path:
    found = measured_file()
    assert found.parent == desktop_ft_home
    return found


def test_what_is_kept_is_read_again_and_corrects_the_next_estimate(path: Path) -> None:
    config = run("qlora", micro=2)
    assert measured_context_bytes(H100) is None
    one = measured(config, LLAMA_1B, factor=1.2, seconds_per_step=0.25, source="run")
    assert add_measurement(one) == ""
    (kept,) = load_measurements().all
    assert replace(kept, time=0.0) == one
    assert kept.time > 0
    assert measured_context_bytes(H100) == 700 * MIB
    assert measured_context_bytes(OTHER) is None
    assert estimate_here(config, LLAMA_1B, H100).estimate.total_bytes == one.process_bytes


def test_paged_states_are_not_taken_for_the_context() -> None:
    config = run("full", micro=2, training__optim="paged_adamw_8bit")
    add_measurement(measured(config, LLAMA_1B, context=5 * GIB))
    assert measured_context_bytes(H100) is None


def test_only_the_newest_are_kept(path: Path) -> None:
    one = measured(run(micro=2), LLAMA_1B, time=1.0)
    path.write_text(json.dumps({"v": 1, "measurements": [asdict(one)] * MOST_MEASUREMENTS}), encoding="utf-8")
    add_measurement(replace(one, time=2.0))
    found = load_measurements().all
    assert (len(found), found[-1].time, found[0].time) == (MOST_MEASUREMENTS, 2.0, 1.0)


@pytest.mark.parametrize("text", ["{", "[]", '{"v": 1}', '{"v": 0, "measurements": []}', "\udcff"])
def test_a_damaged_file_is_set_aside_and_said(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    found = load_measurements()
    assert found.all == ()
    assert "set aside as measured.json.damaged" in found.note
    assert path.with_name("measured.json.damaged").exists()
    assert load_measurements().note == ""
    add_measurement(measured(run(micro=2), LLAMA_1B))
    assert len(load_measurements().all) == 1


def test_a_newer_versions_file_is_left_as_it_is(path: Path) -> None:
    path.write_text('{"v": 2, "measurements": {}}', encoding="utf-8")
    assert "newer version" in load_measurements().note
    assert "newer version" in add_measurement(measured(run(micro=2), LLAMA_1B))
    assert path.read_text(encoding="utf-8") == '{"v": 2, "measurements": {}}'
    assert forget_measurements() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": {}},
        {"process_bytes": "many"},
        {"process_bytes": -1},
        {"objective": "magic"},
        {"seconds_per_step": "x"},
        {"libraries": None},
    ],
)
def test_an_entry_that_cannot_be_understood_is_left_out(path: Path, changes: dict[str, object]) -> None:
    good = asdict(measured(run(micro=2), LLAMA_1B))
    path.write_text(json.dumps({"v": 1, "measurements": [{**good, **changes}, good, "x"]}), encoding="utf-8")
    assert len(load_measurements().all) == 1


def test_a_plan_comes_back_from_json_or_not_at_all() -> None:
    plan = measured(run(micro=2, objective__kind="grpo", objective__rewards__rules=[{"kind": "length"}], whole=8), LLAMA_1B).plan
    values = json.loads(json.dumps(asdict(plan)))
    assert plan_from_values(values) == plan
    for broken in ({**values, "later": 1}, {**values, "rank": "many"}, {**values, "shape": None}, {**values, "rollout": {"rows": 1}}):
        assert plan_from_values(broken) is None


def test_forgetting_one_device_or_all() -> None:
    config = run(micro=2)
    for device in (H100, RTX_4090, RTX_4090):
        add_measurement(measured(config, LLAMA_1B, device))
    assert forget_measurements(RTX_4090) == 2
    assert [one.device for one in load_measurements().all] == [device_key(H100)]
    assert forget_measurements() == 1
    assert forget_measurements() == 0
    assert estimate_here(config, LLAMA_1B, H100).correction is None
