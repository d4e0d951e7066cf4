"""What the targets of the Makefile do: ``python packaging/setup/setup_main.py run``. Standard library only."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

import qt_libraries
from interpreters import SetupError
from virtual_environment import ROOT, Environment

CLEANED = ("build", "dist", ".pytest_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache", ".cache", "screenshots-out")
PARALLEL = ("-n", "auto", "--maxprocesses", "4", "--dist", "worksteal")
"""Tests on up to four cores at once."""
# basedpyright is told its file: by itself it would prefer a pyrightconfig.json in any folder above the checkout
CHECKS = {
    "ruff check": ("-m", "ruff", "check", "."),
    "ruff format": ("-m", "ruff", "format", "--check", "."),
    "basedpyright": ("-m", "basedpyright", "--project", str(ROOT / "pyproject.toml")),
    "import contracts": ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"),
    "finer imports": (str(ROOT / "packaging" / "checks" / "fine_imports.py"),),
    "sizes": (str(ROOT / "packaging" / "checks" / "sizes.py"),),
}


def has_display() -> bool:
    """Whether a window can be opened: on Linux a display server must be named."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def ready(kind: str) -> Environment:
    """The environment with everything that ``kind`` needs, and Qt's system libraries."""
    environment = Environment()
    environment.ensure(kind)
    qt_libraries.ensure()
    return environment


def run() -> int:
    """Opens the program, or runs the demo where no window can be opened."""
    environment = ready("run")
    if has_display():
        return environment.run("-m", "desktop_ft")
    print("There is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set), so the demo runs instead of the window.", flush=True)
    return environment.run("-m", "desktop_ft", "demo")


def demo() -> int:
    """Runs the main job on the built-in model and data, without a window."""
    return ready("run").run("-m", "desktop_ft", "demo")


def test() -> int:
    """Runs the suite and names its slowest tests."""
    return ready("dev").run("-m", "pytest", "--durations=15", *PARALLEL)


def test_real() -> int:
    """Runs the tests that train SmolLM2 on real data, and the proofs that take minutes."""
    return ready("real").run("-m", "pytest", "-m", "real", "--durations=0", *PARALLEL)


def check() -> int:
    """Runs every static check, also after one failed, so that all findings show at once."""
    environment = ready("dev")
    failed = [name for name, command in CHECKS.items() if environment.run(*command) != 0]
    if failed:
        print(f"Failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


def screenshots() -> int:
    """Takes the pictures of the documentation from the real program."""
    return ready("dev").run(str(ROOT / "packaging" / "screenshots.py"))


def setup() -> int:
    """Makes the environment for development and nothing else."""
    ready("dev")
    return 0


def clean() -> int:
    """Removes caches and build output; ``.venv`` stays."""
    for name in CLEANED:
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for cache in [path for path in ROOT.rglob("__pycache__") if ".venv" not in path.parts]:
        shutil.rmtree(cache, ignore_errors=True)
    return 0


COMMANDS: dict[str, Callable[[], int]] = {
    "run": run,
    "demo": demo,
    "test": test,
    "test-real": test_real,
    "check": check,
    "screenshots": screenshots,
    "setup": setup,
    "clean": clean,
}


def main(arguments: list[str]) -> int:
    """Runs one command and returns its exit status."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"One of these, please: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return COMMANDS[arguments[0]]()
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
