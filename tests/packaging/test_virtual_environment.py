"""The environment is made once and looked at afterwards; pip itself is replaced by a list of its calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import virtual_environment
from interpreters import SetupError
from virtual_environment import Environment, pinned


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run, in order; making an environment leaves an empty ``python``."""
    made: list[list[str]] = []

    def checked(command: Sequence[str], failure: str) -> None:
        made.append(list(command))
        if "venv" in command:
            python = Path(command[-1]) / ("Scripts/python.exe" if virtual_environment.os.name == "nt" else "bin/python")
            python.parent.mkdir(parents=True, exist_ok=True)
            python.touch()

    monkeypatch.setattr(virtual_environment, "_checked", checked)
    return made


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    return tmp_path


def installed(calls: list[list[str]]) -> list[list[str]]:
    """What pip was asked to install, without its standing options."""
    return [call[call.index("-c") + 2 :] for call in calls if "pip" in call]


def test_torch_is_installed_first_and_pinned(checkout: Path, calls: list[list[str]]) -> None:
    Environment(checkout).ensure("run")
    assert installed(calls) == [
        ["torch==2.13.0"],
        [pinned("hatchling"), pinned("editables")],
        ["--no-build-isolation", "-e", str(checkout)],
    ]


def test_second_call_does_nothing(checkout: Path, calls: list[list[str]]) -> None:
    Environment(checkout).ensure("dev")
    num_calls = len(calls)
    Environment(checkout).ensure("dev")
    Environment(checkout).ensure("run")
    assert len(calls) == num_calls == 4


def test_changed_pins_install_again(checkout: Path, calls: list[list[str]]) -> None:
    Environment(checkout).ensure("run")
    calls.clear()
    (checkout / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    Environment(checkout).ensure("run")
    assert ["torch==2.13.0"] in installed(calls)


def test_real_model_is_installed_without_its_dependencies(checkout: Path, calls: list[list[str]]) -> None:
    Environment(checkout).ensure("real")
    assert installed(calls)[-1] == ["--no-deps", "-r", str(virtual_environment.REAL_MODEL)]
    assert ["--no-build-isolation", "-e", f"{checkout}[dev]"] in installed(calls)


def test_failed_install_leaves_no_stamp(checkout: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: Sequence[str], failure: str) -> None:
        raise SetupError(failure)

    monkeypatch.setattr(virtual_environment, "_checked", fail)
    with pytest.raises(SetupError):
        Environment(checkout).ensure("run")
    assert list(checkout.rglob("*.stamp")) == []


def test_linked_environment_is_left_alone(checkout: Path, calls: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        (checkout / ".venv").symlink_to(tmp_path_factory.mktemp("elsewhere"), target_is_directory=True)
    except OSError:
        pytest.skip("this system lets nobody make links")
    Environment(checkout).ensure("dev")
    assert calls == []


def test_unpinned_package_is_an_error(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("torchvision==1\n", encoding="utf-8")
    with pytest.raises(SetupError, match="no version for torch"):
        pinned("torch", constraints)
