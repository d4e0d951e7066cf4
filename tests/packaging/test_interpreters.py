"""Choosing the Python of the environment."""

from __future__ import annotations

import sys
from pathlib import Path

import interpreters
import pytest
from interpreters import Interpreter, SetupError

OLD = Interpreter("/a/python3", (3, 9, 2), can_make_venv=True)
FINE = Interpreter("/b/python3.11", (3, 11, 7), can_make_venv=True)
NEW_WITHOUT_VENV = Interpreter("/c/python3.12", (3, 12, 1), can_make_venv=False)
NEWEST = Interpreter("/d/python3.13", (3, 13, 0), can_make_venv=True)


def test_newest_that_can_make_an_environment_is_chosen() -> None:
    assert interpreters.choose([OLD, FINE, NEWEST]) == NEWEST
    assert interpreters.choose([OLD, FINE, NEW_WITHOUT_VENV]) == FINE


def test_too_old_is_said_with_what_was_found() -> None:
    with pytest.raises(SetupError, match=r"needs Python 3\.11 or newer; found: 3\.9\.2 \(/a/python3\)"):
        interpreters.choose([OLD])


def test_missing_venv_module_is_said_with_its_package() -> None:
    with pytest.raises(SetupError, match=r"apt install python3\.12-venv"):
        interpreters.choose([OLD, NEW_WITHOUT_VENV])


def test_this_python_is_among_those_found() -> None:
    assert sys.version_info[:3] in [one.version for one in interpreters.found([])]


def test_command_that_is_no_python_is_left_out(tmp_path: Path) -> None:
    assert interpreters.probe(str(tmp_path / "absent")) is None
