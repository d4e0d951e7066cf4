"""What each command of the Makefile runs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import setup_main
from interpreters import SetupError

from tests.conftest import ROOT


class FakeEnvironment:
    """Keeps what it was asked to run; every command ends with the same status."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.ran: list[tuple[str, ...]] = []

    def run(self, *arguments: str) -> int:
        self.ran.append(arguments)
        return self.status


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> FakeEnvironment:
    fake = FakeEnvironment()
    monkeypatch.setattr(setup_main, "ready", lambda kind: fake)
    return fake


def test_window_is_opened_where_there_is_a_display(environment: FakeEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_main, "has_display", lambda: True)
    assert setup_main.main(["run"]) == 0
    assert environment.ran == [("-m", "desktop_ft")]


def test_demo_runs_where_there_is_no_display(
    environment: FakeEnvironment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup_main, "has_display", lambda: False)
    environment.status = 7
    assert setup_main.main(["run"]) == 7
    assert environment.ran == [("-m", "desktop_ft", "demo")]
    assert "no display" in capsys.readouterr().out


@pytest.mark.parametrize(("display", "wayland", "expected"), [("", "", False), (":0", "", True), ("", "wayland-0", True)])
def test_display_is_looked_for_in_both_variables(display: str, wayland: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("WAYLAND_DISPLAY", wayland)
    assert setup_main.has_display() is expected


def test_every_check_runs_even_after_one_failed(environment: FakeEnvironment) -> None:
    environment.status = 1
    assert setup_main.main(["check"]) == 1
    assert len(environment.ran) == len(setup_main.CHECKS) == 6


def test_missing_python_is_one_sentence_and_status_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(kind: str) -> None:
        raise SetupError("Desktop FT needs more.")

    monkeypatch.setattr(setup_main, "ready", fail)
    assert setup_main.main(["run"]) == 1
    assert capsys.readouterr().err == "Desktop FT needs more.\n"


def test_unknown_command_is_refused_with_those_there_are() -> None:
    command = [sys.executable, str(ROOT / "packaging" / "setup" / "setup_main.py"), "fly"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert "run, demo, test, test-real" in result.stderr


def test_makefile_names_every_command() -> None:
    line = next(line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if line.startswith("COMMANDS :="))
    assert set(line.removeprefix("COMMANDS :=").split()) == set(setup_main.COMMANDS)
