"""The built wheel holds the program with its resources, and nothing else."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("desktop_ft", "resources", "tests", "packaging"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel_names(wheel_file: Path) -> set[str]:
    with zipfile.ZipFile(wheel_file) as archive:
        return set(archive.namelist())


def test_wheel_holds_every_resource(wheel_names: set[str]) -> None:
    resources = {f"desktop_ft/{file.relative_to(ROOT).as_posix()}" for file in (ROOT / "resources").rglob("*") if file.is_file()}
    assert resources
    assert {name for name in wheel_names if name.startswith("desktop_ft/resources/")} == {
        name for name in resources if "__pycache__" not in name
    }


def test_wheel_holds_every_module(wheel_names: set[str]) -> None:
    modules = {file.relative_to(ROOT).as_posix() for file in (ROOT / "desktop_ft").rglob("*.py")}
    assert modules <= wheel_names


def test_wheel_holds_nothing_but_the_package(wheel_names: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel_names} == {"desktop_ft", "desktop_ft-0.1.0.dist-info"}


def test_wheel_carries_licence_and_commands(wheel_file: Path) -> None:
    with zipfile.ZipFile(wheel_file) as archive:
        licence = archive.read("desktop_ft-0.1.0.dist-info/licenses/LICENSE").decode()
        commands = configparser.ConfigParser()
        commands.read_string(archive.read("desktop_ft-0.1.0.dist-info/entry_points.txt").decode())
    assert "Apache License" in licence
    assert dict(commands["console_scripts"]) == {"desktop-ft": "desktop_ft.__main__:main"}
    assert dict(commands["gui_scripts"]) == {"desktop-ft-window": "desktop_ft.__main__:main_window"}
