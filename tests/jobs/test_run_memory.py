"""Runs watched against a card whose readings a test chooses: what they hold, and the alarm's coming and going."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from desktop_ft.core.config import RunConfig
from desktop_ft.core.events import RunStarted, StepDone
from desktop_ft.core.gpu import GpuState
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.run_prediction import Prediction
from desktop_ft.core.runs import RunDir
from desktop_ft.jobs import run_memory
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.run_memory import RunMemoryWatch, Shortage
from desktop_ft.jobs.run_model import RunModel
from tests.jobs.conftest import WaitFor
from tests.jobs.test_machine_model import CARD, GIB, SMALL, Scripted

PID, OTHER = 11, 12


def card(own: float, other: float, total: int = 24) -> GpuState:
    """A card on which two programs hold so many GiB."""
    used = round((own + other) * GIB)
    processes = {PID: round(own * GIB), OTHER: round(other * GIB)}
    return replace(CARD, total_bytes=total * GIB, used_bytes=used, free_bytes=total * GIB - used, processes=processes)


class Scene:
    """One run that goes, on one machine, and everything that its watch says."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self.machine = Scripted()
        self.machine.engines = frozenset({PID})
        self.model = RunModel(RunDir(folder), config)
        self.model.on_engine_started(ProcessMark(PID, 1.0))
        self.model.fold([RunStarted(pid=PID, num_steps=10)])
        self.live = [self.model]
        self.began: list[Shortage] = []
        self.ended: list[RunModel] = []
        self.watch = RunMemoryWatch(self.machine, lambda: self.live)
        self.watch.shortage_began.connect(self.began.append)
        self.watch.shortage_ended.connect(self.ended.append)

    def step(self, step: int, epoch: float = 0.5, memory: float = 0.0) -> None:
        self.model.fold([StepDone(step=step, epoch=epoch, loss=1.0, memory_bytes=round(memory * GIB))])


@pytest.fixture
def scene(qapp: object, tmp_path: Path, config: RunConfig) -> Iterator[Scene]:
    assert qapp is not None
    made = Scene(tmp_path, config)
    yield made
    made.watch.close()
    assert end_threads(10.0)


def test_what_the_run_holds_is_noted_by_step_and_the_largest_stays(scene: Scene) -> None:
    scene.model.predicted_bytes = 8 * GIB
    scene.machine.see(card(1, 2))
    scene.step(1)
    for own in (3, 5, 4):
        scene.machine.see(card(own, 2))
    scene.step(2)
    scene.machine.see(card(6, 2))
    assert list(scene.model.own_bytes.steps) == [0, 1, 2]
    assert list(scene.model.own_bytes.values / GIB) == [1, 5, 6]
    assert scene.began == []


def test_another_program_that_takes_what_is_needed_is_said_once_and_taken_back(scene: Scene) -> None:
    scene.model.predicted_bytes = 8 * GIB
    scene.machine.see(card(3, 2))
    assert scene.began == []
    scene.machine.see(card(3, 17))
    scene.machine.see(card(3, 18))
    (said,) = scene.began
    assert (said.model, said.needed_bytes, said.free_bytes, said.taken_bytes) == (scene.model, 5 * GIB, 4 * GIB, 15 * GIB)
    scene.machine.see(card(3, 10))
    assert scene.ended == [scene.model]
    scene.machine.see(card(3, 18))
    assert len(scene.began) == 2, "a second time is a second alarm"


def test_a_run_that_was_too_large_from_its_start_is_no_other_programs_fault(scene: Scene) -> None:
    scene.model.predicted_bytes = 40 * GIB
    scene.machine.see(card(3, 17))
    scene.machine.see(card(3, 17.01))
    assert scene.began == []


def test_after_an_epoch_the_peak_that_was_seen_counts(scene: Scene) -> None:
    scene.model.predicted_bytes = 12 * GIB
    scene.machine.see(card(6, 2))
    scene.step(9, epoch=1.0)
    scene.machine.see(card(6, 17.9))
    assert scene.began == [], "it holds what it needs, though more was predicted"


def test_the_alarm_goes_with_the_run(scene: Scene) -> None:
    scene.model.predicted_bytes = 8 * GIB
    scene.machine.see(card(3, 2))
    scene.machine.see(card(3, 19))
    assert len(scene.began) == 1
    scene.live.clear()
    scene.machine.see(card(0, 19))
    assert scene.ended == [scene.model]


def test_the_other_program_is_named(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_memory, "_program_name", lambda pid: f"blender ({pid})")
    scene.model.predicted_bytes = 8 * GIB
    scene.machine.see(card(3, 2))
    scene.machine.see(card(3, 19))
    assert scene.began[0].program == "blender (12)"


def test_where_the_driver_does_not_tell_the_engine_does(scene: Scene) -> None:
    scene.model.predicted_bytes = 8 * GIB
    silent = {"processes": None}
    scene.machine.see(replace(card(5, 2), **silent))
    scene.step(1, memory=5)
    scene.machine.see(replace(card(5, 17), **silent))
    (said,) = scene.began
    assert said.needed_bytes == 3 * GIB
    assert len(scene.model.own_bytes) == 0


def test_a_run_on_another_card_is_judged_by_that_card(scene: Scene) -> None:
    scene.model.predicted_bytes = 4 * GIB
    small = replace(SMALL, processes={PID: 2 * GIB})
    scene.machine.see(replace(CARD, processes={}), replace(small, used_bytes=3 * GIB, free_bytes=5 * GIB))
    scene.machine.see(replace(CARD, processes={}), replace(small, used_bytes=7 * GIB, free_bytes=GIB))
    assert [said.free_bytes for said in scene.began] == [GIB]


def test_the_prediction_of_a_run_that_nobody_opened_is_read(scene: Scene, monkeypatch: pytest.MonkeyPatch, wait_for: WaitFor) -> None:
    monkeypatch.setattr(run_memory, "predict_run", lambda _run, _config: Prediction(7 * GIB, 8 * GIB, 9 * GIB))
    scene.machine.see(card(3, 2))
    wait_for(lambda: scene.model.predicted_bytes == 8 * GIB)
    scene.machine.see(card(3, 18))
    assert len(scene.began) == 1


def test_on_a_cpu_there_is_no_alarm(scene: Scene) -> None:
    scene.model.predicted_bytes = 1 << 60
    scene.machine.see()
    scene.machine.see()
    assert scene.began == []
