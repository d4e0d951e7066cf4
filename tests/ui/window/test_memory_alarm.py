"""In the whole window: the alarm on the strip, the card to train on, and forgetting what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from desktop_ft.core.gpu import GpuReading
from desktop_ft.core.memory.measured import add_measurement, load_measurements
from desktop_ft.core.settings import load_preferences
from desktop_ft.jobs.gpu_monitor import GpuMonitor
from desktop_ft.jobs.run_memory import Shortage
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.main_window import MainWindow
from desktop_ft.ui.memory_alarm import MemoryAlarm
from tests.core.shapes import LLAMA_1B
from tests.core.test_measured import measured
from tests.core.test_memory import run
from tests.ui.window.conftest import CARD, GIB, MakeRun, MakeWindow
from tests.ui.window.test_gpu_card import settled, words

SECOND = replace(CARD, index=1, uuid="GPU-b", name="NVIDIA GeForce RTX 3050", total_bytes=8 * GIB, used_bytes=GIB, free_bytes=7 * GIB)
TWO = GpuReading((CARD, SECOND))


def messages(window: MainWindow) -> list[str]:
    return [message.title for message in window.strip.messages()]


def test_the_alarm_is_on_the_strip_and_goes_when_it_is_over(make_window: MakeWindow, make_run: MakeRun) -> None:
    window = make_window(GpuReading((CARD,)))
    folder = make_run("running", "my run")
    model = window.service.open(folder.path)
    assert isinstance(model, RunModel)
    alarm = window.findChild(MemoryAlarm)
    assert alarm is not None
    watch = alarm.watch
    watch.shortage_began.emit(Shortage(model, 5 * GIB, 4 * GIB, GIB, "blender (12)"))
    said = window.strip.messages()[0]
    assert said.title == "Another program takes memory that my run needs."
    assert said.text == "It will still need about 5.0 GiB; 4.0 GiB are free. Most of what others hold is blender (12)'s."
    assert "Close programs" in said.hint
    assert said.action is not None
    said.action.run()
    assert window.current_run() is model
    watch.shortage_ended.emit(model)
    assert messages(window) == []


def test_one_of_several_cards_can_be_chosen_and_is_remembered(make_window: MakeWindow) -> None:
    window = make_window(TWO)
    window.go_to("settings")
    combo = window.settings.cards.combo
    assert [combo.itemText(at) for at in range(combo.count())] == [
        "The card with the most free memory", "0: NVIDIA GeForce RTX 4090, 24 GiB", "1: NVIDIA GeForce RTX 3050, 8 GiB",
    ]  # fmt: skip
    assert window.machine.device.uuid == "GPU-a"
    combo.setCurrentIndex(2)
    combo.activated.emit(2)
    assert window.machine.device.uuid == "GPU-b"
    assert load_preferences(window.workspace.settings_file).gpu == "GPU-b"
    assert window.service.environment == {"CUDA_VISIBLE_DEVICES": "GPU-b"}
    assert "One of 2 cards, chosen in Settings." in words(settled(window))
    again = make_window(TWO)
    assert again.machine.device.uuid == "GPU-b"
    again.go_to("settings")
    assert again.settings.cards.combo.currentIndex() == 2


def test_one_card_is_no_choice(make_window: MakeWindow) -> None:
    window = make_window(GpuReading((CARD,)))
    window.go_to("settings")
    assert window.settings.cards.isHidden()


def test_what_was_measured_can_be_forgotten(make_window: MakeWindow) -> None:
    window = make_window(GpuReading((CARD,)))
    window.go_to("settings")
    row = window.settings.measurements
    assert not row.forget.isEnabled()
    for _ in range(2):
        add_measurement(measured(run(micro=2), LLAMA_1B))
    window.go_to("runs")
    window.go_to("settings")
    assert row.words.text() == "2 measurements of memory and time correct the estimates."
    row.forget.click()
    assert load_measurements().all == ()
    assert row.words.text() == "Nothing was measured yet: estimates are those of the formulas."
    assert not row.forget.isEnabled()


def test_a_minimised_window_lets_the_card_sleep(make_window: MakeWindow, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> None:
    window = make_window(GpuReading((replace(CARD, processes={}),)))
    qtbot.waitUntil(lambda: window.machine.gpu is not None)
    monkeypatch.setattr(window.machine, "_own_processes", frozenset)
    monkeypatch.setattr(window.machine, "_own", frozenset[int]())
    resting: list[bool] = []
    monkeypatch.setattr(GpuMonitor, "set_resting", lambda _monitor, is_resting: resting.append(is_resting))
    window.setWindowState(Qt.WindowState.WindowMinimized)
    assert resting[-1]
    window.setWindowState(Qt.WindowState.WindowNoState)
    window.show()
    assert not resting[-1]
