"""What the machine has for training, from readings that a test chooses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from desktop_ft.core.gpu import GpuReading, GpuState
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
