"""The harness that measures memory: its matrix, its folders and data, its queue, and one real case on the CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.vram import ghost
from benchmarks.vram.__main__ import collect, named
from benchmarks.vram.archive import Device, Row, read_rows
from benchmarks.vram.cases import Case, from_json, to_json
from benchmarks.vram.child import RESULT_FILE, Place, measure, prepare
from benchmarks.vram.data import words_of, write_data
from benchmarks.vram.machine import Use
from benchmarks.vram.matrix import LARGE, METHODS, OBJECTIVES, case, matrix, tiny_matrix
from benchmarks.vram.meter import Meter
from benchmarks.vram.modes import capped_cases, fits_result, ppo_cases, ppo_ratios, probe_cases, saving_cases, saving_results
from benchmarks.vram.pool import CONSOLE_FILE, GRACE_SECONDS, Pool, append
from benchmarks.vram.shapes import ALL, SHAPES
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.model_files import read_weights
from desktop_ft.core.models import model_from_config
from desktop_ft.core.resources import resource_path

GIB = 1 << 30
CARD = Device(kind="cuda", name="NVIDIA H100 80GB HBM3", total_bytes=80 * GIB, supports_bf16=True, driver="580")
FACTS: DeviceFacts = CARD.facts()


# --- the matrix ---------------------------------------------------------------------------------------------------------------


def test_the_matrix_is_large_and_every_case_is_a_valid_run() -> None:
    cases = matrix()
    assert len(cases) >= 150
    assert len({one.id for one in cases}) == len(cases)
    assert [(one.id, one.problem()) for one in cases if one.problem()] == []


def test_the_matrix_has_every_family_method_and_objective() -> None:
    cases = matrix()
    assert {one.shape.family for one in cases} == {shape.family for shape in ALL} - {"tiny"}
    for wanted in (*METHODS.values(), *OBJECTIVES.values()):
        assert any(all(one.settings.get(path) == value for path, value in wanted.items()) for one in cases), wanted
    assert {one.settings["training.optim"] for one in cases} >= {"paged_adamw_8bit", "paged_adamw_32bit", "adamw_8bit", "adafactor"}
    assert {one.rows for one in cases} == {"dense", "ragged", "varied"}


def test_the_first_third_of_the_matrix_has_every_family_and_objective_too() -> None:
    first = matrix()[:75]
    assert {one.shape.family for one in first} == {shape.family for shape in ALL} - {"tiny"}
    objectives = {str(one.settings.get("objective.kind", "sft")) for one in first}
    assert objectives >= {"sft", "dpo", "kto", "reward", "grpo", "rloo", "ppo"}


def test_the_whole_matrix_fits_a_large_card_and_its_time() -> None:
    cases = matrix()
    assert sum(one.seconds(FACTS) for one in cases) <= 1500  # one after the other; 20 minutes side by side
    assert max(one.seconds(FACTS) for one in cases) < 60
    assert max(one.predicted_bytes(FACTS) for one in cases) < 60 * GIB


def test_shapes_have_the_number_of_weights_that_their_makers_publish() -> None:
    billions = {shape.name: model_from_config(shape.config).num_parameters / 1e9 for shape in ALL}
    published = {
        "llama-1b": 1.236, "llama-3b": 3.213, "llama-8b": 8.030, "smollm2-135m": 0.1345, "qwen2.5-0.5b": 0.494, "qwen2.5-14b": 14.77,
        "qwen3-0.6b": 0.596, "qwen3-8b": 8.191, "mistral-7b": 7.248, "mistral-nemo-12b": 12.248, "gemma2-2b": 2.614, "gemma3-1b": 1.000,
        "phi3-mini": 3.821, "phi4-14b": 14.660, "olmo2-1b": 1.485, "olmoe-7b": 6.919, "qwen3-30b-a3b": 30.532,
    }  # fmt: skip
    assert {name: round(billions[name], 3) for name in published} == {name: round(value, 3) for name, value in published.items()}


def test_a_cut_shape_has_the_same_blocks() -> None:
    whole, cut = SHAPES["gemma3-1b"], SHAPES["gemma3-1b"].cut(8)
    assert cut.config["num_hidden_layers"] == 8
    assert cut.config["layer_types"] == [*["sliding_attention"] * 5, "full_attention", *["sliding_attention"] * 2]
    fewer = model_from_config(whole.config).num_parameters - model_from_config(cut.config).num_parameters
    assert fewer == 18 * (1152 * (2 * 1024 + 2 * 256) + 3 * 1152 * 6912 + 4 * 1152 + 2 * 256)
    assert set(LARGE) <= set(SHAPES)


def test_a_case_survives_the_way_to_another_process() -> None:
    for one in [*matrix()[:20], *tiny_matrix()]:
        assert from_json(json.loads(json.dumps(to_json(one)))) == one


# --- folders and data ---------------------------------------------------------------------------------------------------------


def test_a_hole_passes_for_a_weight_file_and_takes_no_room(tmp_path: Path) -> None:
    shapes = {"model.embed_tokens.weight": (64_000, 1024), "model.norm.weight": (1024,)}
    ghost.write_hole(tmp_path / "model.safetensors", shapes)
    weights = read_weights(tmp_path)
    assert weights.num_parameters == 64_000 * 1024 + 1024
    assert (weights.dtype, weights.num_embedding_rows) == ("bfloat16", 64_000)
    if ghost.has_holes(tmp_path):
        assert (tmp_path / "model.safetensors").stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("objective", ["sft", "dpo", "kto", "reward", "grpo"])
def test_dense_rows_are_all_of_one_length_and_nearly_as_long_as_they_may_be(objective: str, tmp_path: Path) -> None:
    model = resource_path("demo", "model")
    one = case("tiny", "lora", objective, (4, 128), accumulation=2)
    train, held_out = write_data(one, model, tmp_path)
    rows = [json.loads(line) for line in train.read_text(encoding="utf-8").splitlines()]
    tokenizer = load_tokenizer(model)
    lengths = {sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts_of(row)) for row in rows}
    assert len(rows) >= 16
    assert len(lengths) == 1
    assert lengths.pop() >= 128 - 16
    assert (held_out is None) == (objective == "grpo")


def texts_of(row: dict[str, Any]) -> list[str]:
    """The longest sequence of a row."""
    return [row["text"]] if "text" in row else [text for name, text in row.items() if name in ("prompt", "chosen", "completion")]


def test_ragged_rows_differ_and_every_second_is_as_long_as_it_may_be(tmp_path: Path) -> None:
    one = case("tiny", "lora", batch=(4, 128), rows="ragged")
    train, _ = write_data(one, resource_path("demo", "model"), tmp_path)
    counts = [len(json.loads(line)["text"].split()) for line in train.read_text(encoding="utf-8").splitlines()]
    assert min(counts[::2]) >= 128
    assert len(set(counts[1::2])) > 2
    train, _ = write_data(replace(one, rows="varied"), resource_path("demo", "model"), tmp_path)
    counts = [len(json.loads(line)["text"].split()) for line in train.read_text(encoding="utf-8").splitlines()]
    assert [number for number, count in enumerate(counts) if count >= 128] == list(range(0, len(counts), 8))
    assert len(words_of(resource_path("demo", "model"))) > 100


# --- the queue ----------------------------------------------------------------------------------------------------------------


@dataclass
class Fake:
    """A case that takes so long by the clock of the test, then writes this."""

    world: World
    one: Case
    pid: int
    seconds: float
    result: dict[str, object] | None
    ends: float = 0.0
    was_killed: bool = False

    def is_over(self) -> bool:
        """Writes its result as it ends."""
        if self.world.now < self.ends or self.was_killed:
            return self.was_killed
        if self.result is not None:
            (self.world.place.case(self.one) / RESULT_FILE).write_text(json.dumps(self.result), encoding="utf-8")
        return True

    def kill(self) -> None:
        """By force."""
        self.was_killed = True


@dataclass
class World:
    """Time, the card, and what was started."""

    place: Place
    behave: Callable[[Case, int], tuple[float, dict[str, object] | None]]
    now: float = 0.0
    started: list[Fake] = field(default_factory=list[Fake])
    largest: int = 0

    def start(self, one: Case) -> Fake:
        """A fake process."""
        seconds, result = self.behave(one, sum(fake.one.id == one.id for fake in self.started))
        fake = Fake(self, one, 1000 + len(self.started), seconds, result, self.now + seconds)
        self.started.append(fake)
        self.largest = max(self.largest, len(self.alive()))
        return fake

    def alive(self) -> list[Fake]:
        """Those that run now."""
        return [fake for fake in self.started if self.now < fake.ends and not fake.was_killed]

    def use(self) -> Use:
        """Two GiB a process, and one that others hold."""
        alive = self.alive()
        return Use((1 + 2 * len(alive)) * GIB, 40 * GIB, {fake.pid: 2 * GIB for fake in alive})

    def sleep(self, seconds: float) -> None:
        """Time goes on."""
        self.now += seconds

    def pool(self, num_parallel: int = 1) -> Pool:
        """A pool in this world."""

        def make(one: Case) -> None:
            self.place.case(one).mkdir(parents=True, exist_ok=True)

        return Pool(
            CARD, self.place, self.start, make, self.use, {"torch": "x"}, num_parallel=num_parallel, clock=lambda: self.now,
            sleep=self.sleep,
        )  # fmt: skip


DONE: dict[str, object] = {
    "outcome": "completed",
    "allocated_bytes": GIB,
    "reserved_bytes": 2 * GIB,
    "longest": 64,
    "device_now_bytes": 3 * GIB,
}


def cases(count: int) -> list[Case]:
    return [replace(case("tiny", "lora", batch=(2, 64)), id=f"case {number}") for number in range(count)]


def test_cases_run_in_order_and_every_row_has_what_the_driver_saw(tmp_path: Path) -> None:
    world = World(Place(tmp_path, "cuda"), lambda one, again: (5.0, DONE))
    rows = list(world.pool().run(cases(3), 100))
    assert [row.id for row in rows] == ["case 0", "case 1", "case 2"]
    assert world.largest == 1
    assert {row.process_bytes for row in rows} == {2 * GIB}
    assert {row.device_bytes for row in rows} == {2 * GIB}
    assert {row.neighbours for row in rows} == {False}


def test_no_case_begins_for_which_there_is_no_time(tmp_path: Path) -> None:
    world = World(Place(tmp_path, "cuda"), lambda one, again: (5.0, DONE))
    seconds = cases(1)[0].seconds(FACTS)
    rows = list(world.pool().run(cases(20), 5 + 5 + seconds + 1))
    assert len(rows) == 3


def test_small_cases_run_side_by_side_and_know_it(tmp_path: Path) -> None:
    world = World(Place(tmp_path, "cuda"), lambda one, again: (5.0, DONE))
    rows = list(world.pool(num_parallel=3).run(cases(6), 100))
    assert len(rows) == 6
    assert world.largest == 3
    assert {row.neighbours for row in rows} == {True}
    assert {row.device_bytes for row in rows} == {None}


def test_a_large_case_waits_until_it_is_alone_and_so_does_one_that_is_said_to(tmp_path: Path) -> None:
    world = World(Place(tmp_path, "cuda"), lambda one, again: (5.0, DONE))
    large = replace(case("llama-1b", "full-float32", batch=(16, 2048), checkpointing=False), id="large")
    assert large.predicted_bytes(FACTS) > 40 * GIB
    paged = replace(cases(1)[0], id="paged", alone=True)
    rows = list(world.pool(num_parallel=3).run([*cases(2), large, paged], 200))
    assert {row.id: row.neighbours for row in rows} == {"case 0": True, "case 1": True, "large": False, "paged": False}


def test_capped_cases_run_side_by_side_as_far_as_their_caps_fit(tmp_path: Path) -> None:
    world = World(Place(tmp_path, "cuda"), lambda one, again: (5.0, DONE))
    capped = [replace(one, cap_bytes=33 * GIB) for one in cases(4)]
    rows = list(world.pool(num_parallel=4).run(capped, 200))
    assert len(rows) == 4
    assert world.largest == 2


def test_out_of_memory_beside_others_is_tried_again_alone_and_then_is_a_row(tmp_path: Path) -> None:
    full: dict[str, object] = {"outcome": "out_of_memory", "error": "out_of_memory: full", "reserved_bytes": GIB}

    def behave(one: Case, again: int) -> tuple[float, dict[str, object] | None]:
        return 5.0, full if one.id == "case 1" or (one.id == "case 0" and again == 0) else DONE

    world = World(Place(tmp_path, "cuda"), behave)
    rows = {row.id: row for row in world.pool(num_parallel=2).run(cases(3), 200)}
    assert {name: row.outcome for name, row in rows.items()} == {"case 0": "completed", "case 1": "out_of_memory", "case 2": "completed"}
    assert not rows["case 0"].neighbours
    assert not rows["case 1"].neighbours
    assert rows["case 1"].error == "out_of_memory: full"


def test_a_case_that_hangs_is_ended_and_one_that_crashes_leaves_what_it_printed(tmp_path: Path) -> None:
    world = World(Place(tmp_path, "cuda"), lambda one, again: (1e6 if one.id == "case 0" else 5.0, None))
    crashed = world.place.case(cases(2)[1])
    crashed.mkdir(parents=True)
    (crashed / CONSOLE_FILE).write_text("a segmentation fault", encoding="utf-8")
    rows = list(world.pool().run(cases(2), 300))
    assert [(row.outcome, row.error) for row in rows] == [("timed_out", "no output"), ("failed", "a segmentation fault")]
    assert world.started[0].was_killed


def test_the_end_of_the_budget_ends_what_still_runs_after_a_while(tmp_path: Path) -> None:
    world = World(Place(tmp_path, "cuda"), lambda one, again: (1e6, None))
    rows = list(world.pool().run(cases(1), 10))
    assert rows[0].outcome == "timed_out"
    assert world.now == pytest.approx(10 + GRACE_SECONDS, abs=0.2)


def test_whoever_stops_listening_leaves_no_process(tmp_path: Path) -> None:
    world = World(Place(tmp_path, "cuda"), lambda one, again: (5.0 if one.id == "case 0" else 50.0, DONE))
    rows = world.pool(num_parallel=3).run(cases(3), 300)
    assert next(rows).id == "case 0"
    rows.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert world.alive() == []


def test_rows_are_kept_one_by_one(tmp_path: Path) -> None:
    world = World(Place(tmp_path / "work", "cuda"), lambda one, again: (5.0, DONE))
    file = tmp_path / "rows.jsonl"
    for row in world.pool().run(cases(2), 100):
        append(row, file)
    kept = read_rows([file])
    assert [row.id for row in kept] == ["case 0", "case 1"]
    assert kept[0].settings["method.kind"] == "lora"
    assert kept[0].device == CARD


def test_half_a_line_that_was_left_behind_costs_no_other_row(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    one, two = (row_of(other) for other in cases(2))
    append(one, file)
    file.write_text(file.read_text(encoding="utf-8") + two.line()[:40], encoding="utf-8")
    append(two, file)
    append(one.model_copy(update={"outcome": "failed"}), file)
    assert [(row.id, row.outcome) for row in read_rows([file], keeps_last=True)] == [("case 0", "failed"), ("case 1", "completed")]


def test_what_is_collected_is_the_last_of_each_case_and_no_failure(tmp_path: Path) -> None:
    rows = [row_of(one) for one in cases(3)]
    for row in (rows[0].model_copy(update={"outcome": "timed_out"}), *rows[:2], rows[2].model_copy(update={"outcome": "failed"})):
        append(row, tmp_path / "rows.jsonl")
    assert collect(tmp_path / "rows.jsonl", tmp_path / "kept.jsonl") == 0
    assert read_rows([tmp_path / "kept.jsonl"]) == rows[:2]


# --- the other questions ------------------------------------------------------------------------------------------------------


def row_of(one: Case, **values: object) -> Row:
    fields: dict[str, Any] = {
        "id": one.id, "source": "made up", "date": "2026-01-01", "mode": one.mode, "family": one.shape.family, "shape": one.shape.name,
        "shape_config": dict(one.shape.config), "settings": one.all_settings, "device": CARD, "versions": {}, "group": one.group or None,
        "cap_bytes": one.cap_bytes, "promised_bytes": one.promised_bytes, "reserved_bytes": 10 * GIB,
    }  # fmt: skip
    return Row.model_validate({**fields, **values})


def test_a_capped_run_comes_within_a_tenth_of_its_cap() -> None:
    probes = probe_cases(matrix(), 36)
    assert len(probes) == 36
    capped = capped_cases(probes, [row_of(one) for one in probes])
    assert len(capped) == 72
    for one in capped:
        assert one.cap_bytes is not None
        assert 0.9 <= 10 * GIB / one.cap_bytes <= 1.0
        assert one.problem() is None
    assert capped_cases(probes, []) == []


def test_no_run_may_need_more_than_a_probe_that_passed() -> None:
    probes = probe_cases(matrix(), 36)
    capped = capped_cases(probes, [row_of(one) for one in probes])
    rows = [row_of(one) for one in capped]
    assert fits_result(rows).holds
    assert not fits_result(rows[:40]).holds
    first = rows[1].model_copy(update={"outcome": "out_of_memory"})
    result = fits_result([rows[0], first, *rows[2:]])
    assert (result.num_passed, result.out_of_memory, result.holds) == (36, (first.id,), False)
    refused = rows[0].model_copy(update={"outcome": "out_of_memory"})
    result = fits_result([refused, first, *rows[2:]])
    assert (result.num_passed, result.num_not_passed, result.holds) == (35, 1, True)


def test_another_setting_of_the_allocator_makes_other_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
    monkeypatch.delenv("PYTORCH_ALLOC_CONF", raising=False)
    assert named(cases(2)) == cases(2)
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    once = named(cases(2))
    assert [one.id for one in once] == ["case 0 / expandable_segments:True", "case 1 / expandable_segments:True"]
    assert named(once) == once


def test_savings_are_promises_against_what_was_measured() -> None:
    found = saving_cases(FACTS)
    promised = [one for one in found if one.promised_bytes is not None]
    assert len(promised) >= 20
    assert len({one.id for one in found}) == len(found)
    before, after = found[0], found[1]
    rows = [row_of(before, reserved_bytes=10 * GIB), row_of(after, reserved_bytes=7 * GIB, promised_bytes=3 * GIB + GIB // 10)]
    assert [(saving.measured_bytes, round(saving.error, 3)) for saving in saving_results(rows)] == [(3 * GIB, 0.033)]


def test_ppo_is_compared_with_as_many_tokens_of_supervised_fine_tuning() -> None:
    yardstick, qlora, lora = ppo_cases()
    tokens = {one.plan(FACTS).num_tokens for one in (yardstick, qlora, lora)}
    assert tokens == {4 * 1024}
    rows = [row_of(yardstick, reserved_bytes=10 * GIB), row_of(qlora, reserved_bytes=13 * GIB), row_of(lora, reserved_bytes=15 * GIB)]
    assert ppo_ratios(rows) == {"ppo / qlora": 1.3, "ppo / lora": 1.5}


# --- the meter and one real case ----------------------------------------------------------------------------------------------


def test_the_meter_tells_phases_apart_and_keeps_the_larger_of_two_visits() -> None:
    held = iter([(1, 2), (10, 20), (5, 30), (7, 8)])
    meter = Meter(lambda: next(held), lambda: None)
    for phase in ("load", "train", "load", "end"):
        meter.enter(phase)
    found = {name: (peak.allocated_bytes, peak.reserved_bytes) for name, peak in meter.peaks.items()}
    assert found == {"start": (1, 2), "load": (10, 20), "train": (5, 30)}
    assert (meter.allocated_bytes, meter.reserved_bytes) == (10, 30)


def test_a_real_case_of_the_engine_on_the_cpu(tmp_path: Path) -> None:
    """Takes the seconds of an engine's run, and of importing torch where no test before did."""
    write = EventWriter.write
    one = case("tiny", "lora", batch=(2, 64), accumulation=2)
    place = Place(tmp_path, "cpu")
    result = measure(one, prepare(one, place), "cpu")
    assert result["outcome"] == "completed", result.get("error")
    assert result["weights"] == "random"
    assert (result["longest"], result["num_labelled"]) == (64, 64)
    assert set(result["peaks"]) >= {"load", "tokenize", "forward", "backward", "optimizer", "evaluate", "save"}
    assert result["resolved"]["training.micro_batch_size"] == 2
    assert result["reserved_bytes"] >= max(peak["reserved_bytes"] for peak in result["peaks"].values()) > 100 << 20
    assert EventWriter.write is write
