"""What the machine has for training, from readings that a test chooses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from desktop_ft.core.gpu import GpuReading, GpuState
from desktop_ft.jobs import gpu_monitor
from desktop_ft.jobs.gpu_monitor import GpuMonitor
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.machine_model import MachineModel

GIB = 2**30
CARD = GpuState(0, "GPU-a", "RTX 4090", 24 * GIB, 9 * GIB, 15 * GIB, compute_capability=(8, 9), processes={11: 6 * GIB, 12: 2 * GIB})
SMALL = replace(CARD, index=1, uuid="GPU-b", name="RTX 3050", total_bytes=8 * GIB, used_bytes=GIB, free_bytes=7 * GIB, processes={})

MakeMachine = Callable[..., MachineModel]


class Driver:
    def __init__(self, reading: GpuReading) -> None:
        self._reading = reading

    def read(self) -> GpuReading:
        return self._reading

    def close(self) -> None:
        pass


@pytest.fixture
def make_machine(qtbot: QtBot) -> Iterator[MakeMachine]:
    def make(*gpus: GpuState, problem: str | None = None, own: frozenset[int] = frozenset()) -> MachineModel:
        machine = MachineModel(lambda: own, lambda: Driver(GpuReading(gpus, problem)))
        with qtbot.waitSignal(machine.changed, timeout=10_000):
            machine.start()
        return machine

    yield make
    assert end_threads(10.0)


def test_our_engines_are_told_from_other_programs(make_machine: MakeMachine) -> None:
    machine = make_machine(CARD, own=frozenset({11}))
    assert (machine.own_bytes, machine.others_bytes) == (6 * GIB, 3 * GIB)


def test_the_card_with_the_most_free_memory_trains(make_machine: MakeMachine) -> None:
    machine = make_machine(SMALL, CARD)
    assert (machine.device.name, machine.device.uuid, machine.num_gpus) == ("RTX 4090", "GPU-a", 2)
    assert machine.gpu == CARD
    assert machine.device.supports_bf16


def test_a_driver_that_names_no_processes_leaves_all_to_others(make_machine: MakeMachine) -> None:
    machine = make_machine(replace(CARD, processes=None), own=frozenset({11}))
    assert (machine.own_bytes, machine.others_bytes) == (0, 9 * GIB)


def test_without_a_card_the_cpu_trains_and_says_why(make_machine: MakeMachine) -> None:
    machine = make_machine(problem="There is no NVIDIA driver on this computer.")
    assert (machine.device.kind, machine.gpu, machine.num_gpus) == ("cpu", None, 0)
    assert machine.problem == "There is no NVIDIA driver on this computer."
    assert 0 < machine.device.free_bytes <= machine.device.total_bytes


def test_on_the_cpu_an_engine_holds_its_resident_memory(make_machine: MakeMachine) -> None:
    machine = make_machine(own=frozenset({os.getpid(), 2**22 + 7}))
    assert machine.own_bytes > 16 * 2**20


def test_a_chosen_card_trains_as_long_as_it_is_there(make_machine: MakeMachine) -> None:
    machine = make_machine(SMALL, CARD)
    machine.choose("GPU-b")
    assert (machine.device.uuid, machine.gpu, machine.chosen) == ("GPU-b", SMALL, "GPU-b")
    machine.choose("GPU-gone")
    assert (machine.device.uuid, machine.chosen) == ("GPU-a", "")


# --- own use without memory by process ---------------------------------------------------------------------------------------------


class Scripted(MachineModel):
    """A machine whose readings and engines a test sets one after the other."""

    def __init__(self) -> None:
        self.engines: frozenset[int] = frozenset()
        super().__init__(lambda: self.engines, lambda: Driver(GpuReading(())))

    def see(self, *gpus: GpuState) -> None:
        self._on_reading(GpuReading(gpus))


WINDOWS = replace(CARD, processes={11: None, 12: None})


@pytest.mark.parametrize("processes", [{11: None, 12: None}, {}, None])
def test_without_memory_by_process_the_difference_since_before_the_start_is_ours(processes: dict[int, int | None] | None) -> None:
    card = replace(CARD, processes=processes)
    machine = Scripted()
    machine.see(replace(card, used_bytes=2 * GIB, free_bytes=22 * GIB))
    machine.engines = frozenset({11})
    machine.see(card)
    assert (machine.bytes_of(11), machine.own_bytes, machine.others_bytes) == (7 * GIB, 7 * GIB, 2 * GIB)
    machine.engines = frozenset({11, 12})
    machine.see(card)
    assert (machine.bytes_of(11), machine.own_bytes) == (None, 7 * GIB), "of two engines the difference cannot be told apart"


def test_an_engine_that_went_before_the_window_has_no_difference() -> None:
    machine = Scripted()
    machine.engines = frozenset({11})
    machine.see(WINDOWS)
    assert (machine.bytes_of(11), machine.own_bytes, machine.others_bytes) == (None, 0, 9 * GIB)


def test_an_engine_on_another_card_is_found_there() -> None:
    machine = Scripted()
    machine.engines = frozenset({21})
    machine.see(CARD, replace(SMALL, processes={21: 3 * GIB}))
    assert machine.bytes_of(21) == 3 * GIB
    machine.see(CARD)
    assert machine.bytes_of(21) is None


# --- a card that sleeps -------------------------------------------------------------------------------------------------------------


class Sleepy(Driver):
    """Counts how often it is asked and let go of."""

    def __init__(self) -> None:
        super().__init__(GpuReading((CARD,)))
        self.calls: list[str] = []
        self.called = threading.Condition()

    def _note(self, what: str) -> None:
        with self.called:
            self.calls.append(what)
            self.called.notify_all()

    def read(self) -> GpuReading:
        self._note("read")
        return super().read()

    def close(self) -> None:
        self._note("close")

    def wait_for(self, *calls: str) -> None:
        with self.called:
            assert self.called.wait_for(lambda: self.calls[: len(calls)] == list(calls), 10.0), self.calls


def test_a_resting_monitor_lets_go_of_the_driver_and_wakes_at_once() -> None:
    driver = Sleepy()
    monitor = GpuMonitor(lambda: driver, interval_seconds=60.0)
    monitor.set_resting(True)
    monitor.start()
    driver.wait_for("read", "close")
    monitor.set_resting(False)
    driver.wait_for("read", "close", "read")
    assert end_threads(10.0)
    assert driver.calls == ["read", "close", "read", "close"]


def test_it_rests_only_while_nobody_looks_and_nothing_of_ours_works(monkeypatch: pytest.MonkeyPatch) -> None:
    resting: list[bool] = []
    monkeypatch.setattr(gpu_monitor.GpuMonitor, "set_resting", lambda _monitor, is_resting: resting.append(is_resting))
    machine = Scripted()
    machine.see(CARD)
    machine.set_watched(False)
    machine.engines = frozenset({11})
    machine.see(CARD)
    machine.engines = frozenset()
    machine.see(CARD)
    machine.set_watched(True)
    assert resting == [False, True, False, True, False]
