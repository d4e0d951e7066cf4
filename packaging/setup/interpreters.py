"""Finds the Python with which the program's environment is made. Standard library only; must parse on old Pythons too."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

MINIMUM = (3, 11)
NAMES = ("python3.14", "python3.13", "python3.12", "python3.11", "python3", "python")

_PROBE = """
import importlib.util, json, sys
parts = [importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip")]
# the Python below a virtual environment, so that an activated .venv can be made anew
path = getattr(sys, "_base_executable", sys.executable)
print(json.dumps({"version": list(sys.version_info[:3]), "can_make_venv": all(parts), "path": path}))
"""


class SetupError(Exception):
    """The set-up cannot go on; the text says what is missing and what to do."""


@dataclass(frozen=True)
class Interpreter:
    """One Python of this machine.

    Attributes:
        path: Where it lies.
        version: Major, minor and micro number.
        can_make_venv: Whether the modules ``venv`` and ``ensurepip`` are there (some systems package them apart).
    """

    path: str
    version: tuple[int, ...]
    can_make_venv: bool

    @property
    def version_text(self) -> str:
        """The version as people write it, such as ``3.12.4``."""
        return ".".join(str(part) for part in self.version)


def probe(command: str) -> Interpreter | None:
    """Asks one command for its version; None if it does not answer."""
    try:
        answer = subprocess.run([command, "-c", _PROBE], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)
        facts = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(facts["path"], tuple(facts["version"]), facts["can_make_venv"])


def found(names: Iterable[str] = NAMES) -> list[Interpreter]:
    """Every Python that answers: the one that runs this script, then those on the path."""
    commands = [sys.executable] + [path for path in (shutil.which(name) for name in names) if path]
    probed = [probe(command) for command in dict.fromkeys(commands)]
    return [interpreter for interpreter in probed if interpreter is not None]


def choose(interpreters: Iterable[Interpreter]) -> Interpreter:
    """The newest Python that can make the environment.

    Raises:
        SetupError: None is new enough, or none of those can make an environment.
    """
    every = sorted(interpreters, key=lambda interpreter: interpreter.version, reverse=True)
    new_enough = [interpreter for interpreter in every if interpreter.version >= MINIMUM]
    if not new_enough:
        seen = ", ".join(f"{one.version_text} ({one.path})" for one in every) or "none"
        raise SetupError(
            f"Desktop FT needs Python {MINIMUM[0]}.{MINIMUM[1]} or newer; found: {seen}. Install a newer Python, then run make again."
        )
    usable = [interpreter for interpreter in new_enough if interpreter.can_make_venv]
    if not usable:
        one = new_enough[0]
        package = f"python{one.version[0]}.{one.version[1]}-venv"
        raise SetupError(
            f"Python {one.version_text} ({one.path}) is there, but its venv module is not. "
            f"Install it (on Debian and Ubuntu: apt install {package}), then run make again."
        )
    return usable[0]
