"""The card at the sidebar's foot in every state of the machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from desktop_ft.core.gpu import GpuReading, GpuState
from desktop_ft.ui.gpu_card import GpuCard
from desktop_ft.ui.main_window import MainWindow
from tests.ui.window.conftest import CARD, GIB, NO_DRIVER, MakeWindow

CPU_NOTE = "Training will use the CPU: fine for the demo and small models; a 1\N{NO-BREAK SPACE}B model takes hours."


def card_of(window: MainWindow) -> GpuCard:
    found = window.findChild(GpuCard)
    assert found is not None
    return found


def words(card: GpuCard) -> list[str]:
    return [label.text() for label in card.findChildren(QLabel) if label.isVisibleTo(card) and label.text()]


def settled(window: MainWindow) -> GpuCard:
    """The card while no run is being set up."""
    window.go_to("settings")
    return card_of(window)


def test_tells_who_holds_the_cards_memory(make_window: MakeWindow) -> None:
    card = settled(make_window(GpuReading((CARD,))))
    assert words(card) == [
        *("RTX 4090", "24 GiB", "Other programs", "3.0", "This program", "6.0", "Free", "15.0"),
        *("97 %", "load", "66 °C", "temp", "342 W", "power"),
    ]
    assert card.accessibleName() == "Device: NVIDIA GeForce RTX 4090"


def test_a_run_being_set_up_is_there_while_it_is_seen(make_window: MakeWindow) -> None:
    window = make_window(GpuReading((CARD,)))
    window.go_to("settings")
    card = card_of(window)
    card.set_predicted(5 * GIB)
    assert words(card)[6:8] == ["Predicted run", "5.0"]
    card.set_predicted(0)
    assert "Predicted run" not in words(card)


def test_the_prediction_comes_from_the_run_being_set_up(make_window: MakeWindow, qtbot: QtBot) -> None:
    window = make_window(GpuReading((CARD,)))
    qtbot.waitUntil(lambda: "Predicted run" in words(card_of(window)), timeout=20_000)
    assert window.wizard.predicted_bytes > 0
    window.go_to("runs")
    assert "Predicted run" not in words(card_of(window))


def test_without_a_card_says_what_the_cpu_means(make_window: MakeWindow) -> None:
    card = settled(make_window(NO_DRIVER))
    assert words(card)[0] == "CPU"
    assert words(card)[-1] == CPU_NOTE
    assert "load" not in words(card)
    assert card.accessibleDescription() == CPU_NOTE


def test_says_which_of_several_cards_it_is(make_window: MakeWindow) -> None:
    second = replace(CARD, index=1, uuid="GPU-b", free_bytes=2 * GIB)
    card = settled(make_window(GpuReading((CARD, second))))
    assert "One of 2 cards, the one with the most free memory." in words(card)


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        (replace(CARD, utilisation_percent=None, temperature_celsius=None, power_watts=None), ["–", "load", "–", "temp", "–", "power"]),
        (replace(CARD, power_watts=341.6), ["97 %", "load", "66 °C", "temp", "342 W", "power"]),
    ],
)
def test_what_the_driver_does_not_say_is_a_dash(make_window: MakeWindow, gpu: GpuState, expected: list[str]) -> None:
    assert words(settled(make_window(GpuReading((gpu,)))))[-6:] == expected


def test_the_rail_has_used_and_total(make_window: MakeWindow) -> None:
    window = make_window(GpuReading((CARD,)), size=(1060, 700))
    assert words(settled(window)) == ["9.0\nof 24"]
