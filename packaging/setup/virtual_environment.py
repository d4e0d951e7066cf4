"""Makes ``.venv`` with the pinned versions, once; a second call looks at a stamp and returns. Standard library only."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import interpreters
from interpreters import SetupError

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
REAL_MODEL = Path(__file__).resolve().parent / "real_model.txt"


class Environment:
    """The virtual environment of one checkout.

    Args:
        root: The checkout's top folder.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.python = self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def ensure(self, kind: str) -> None:
        """Installs what ``kind`` needs, unless its stamp says that this was done with the same pins.

        Args:
            kind: ``run`` (the program), ``dev`` (and the tools of its tests) or ``real`` (and the model of ``make test-real``).

        Raises:
            SetupError: No suitable Python, or pip failed.
        """
        if self.folder.is_symlink():
            print(f"{self.folder.name} is a link; it is used as it is.", flush=True)
            return
        if self._is_stamped(kind):
            return
        started = time.monotonic()
        if kind == "real":
            self.ensure("dev")
            self._pip("--no-deps", "-r", str(REAL_MODEL))
        else:
            self._install_project("[dev]" if kind == "dev" else "")
        self._stamp(kind)
        print(f"The environment ({kind}) is ready after {time.monotonic() - started:.0f} s.", flush=True)

    def run(self, *arguments: str) -> int:
        """Runs the environment's Python in the checkout and returns its exit status."""
        return subprocess.run([str(self.python), *arguments], cwd=self.root, check=False).returncode

    def _install_project(self, extra: str) -> None:
        self._create()
        print("Installing the pinned packages. The first time takes some minutes and about 2 GB on the disk.", flush=True)
        # torch goes first and alone: as another package's dependency pip might take a different build of several GB
        self._pip(pinned("torch"))
        self._pip(pinned("hatchling"), pinned("editables"))
        self._pip("--no-build-isolation", "-e", f"{self.root}{extra}")

    def _create(self) -> None:
        existing = interpreters.probe(str(self.python)) if self.python.exists() else None
        if existing is not None and existing.version >= interpreters.MINIMUM and self._has_pip():
            return
        chosen = interpreters.choose(interpreters.found())
        print(f"Making {self.folder} with Python {chosen.version_text} ({chosen.path}).", flush=True)
        _checked([chosen.path, "-m", "venv", "--clear", str(self.folder)], "The virtual environment could not be made.")

    def _has_pip(self) -> bool:
        return subprocess.run([str(self.python), "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0

    def _pip(self, *arguments: str) -> None:
        command = [str(self.python), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-c", str(CONSTRAINTS)]
        _checked([*command, *arguments], "pip could not install the packages; its message stands above.")

    def _stamp_file(self, kind: str) -> Path:
        return self.folder / f"desktop-ft-{kind}.stamp"

    def _fingerprint(self) -> str:
        files = [self.root / "pyproject.toml", CONSTRAINTS, REAL_MODEL, Path(__file__)]
        digest = hashlib.sha256(str(self.root).encode())
        for file in files:
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def _is_stamped(self, kind: str) -> bool:
        fingerprint = self._fingerprint()
        # whoever has the development tools has the program too
        stamps = [self._stamp_file(one) for one in ((kind, "dev") if kind == "run" else (kind,))]
        return self.python.exists() and any(stamp.is_file() and stamp.read_text(encoding="utf-8") == fingerprint for stamp in stamps)

    def _stamp(self, kind: str) -> None:
        self._stamp_file(kind).write_text(self._fingerprint(), encoding="utf-8")


def pinned(name: str, constraints: Path = CONSTRAINTS) -> str:
    """The requirement ``name==version`` as constraints.txt states it.

    Raises:
        SetupError: The file does not name the package.
    """
    match = re.search(rf"^{re.escape(name)}==\S+", constraints.read_text(encoding="utf-8"), re.MULTILINE | re.IGNORECASE)
    if match is None:
        raise SetupError(f"{constraints.name} has no version for {name}.")
    return match.group()


def _checked(command: Sequence[str], failure: str) -> None:
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise SetupError(failure)
