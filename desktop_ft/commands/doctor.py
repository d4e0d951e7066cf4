"""``desktop-ft doctor``: what works here, what is broken and how to mend it. torch and Qt are asked in children, which may crash."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

import typer

from desktop_ft import __version__
from desktop_ft.commands.console import EXIT_FAILED, err, out, print_json, size_words
from desktop_ft.commands.options import JsonOption
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_text
from desktop_ft.core.gpu import GpuReader
from desktop_ft.core.launcher import engine_environment
from desktop_ft.core.workspace import default_workspace

Verdict = Literal["works", "limited", "broken"]
_CHILD_SECONDS: Final = 120.0
_ENOUGH_DISK_BYTES: Final = 10 << 30
_QT_CODE: Final = "import json, PySide6, PySide6.QtWidgets, PySide6.QtSvg; print(json.dumps({'version': PySide6.__version__}))"
_STYLES: Final[Mapping[Verdict, str]] = {"works": "green", "limited": "yellow", "broken": "bold red"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        verdict: ``limited``: training works, something is slower or missing. ``broken``: training or the window does not work.
        found: What there is, in one sentence.
        mend: What to do; empty where there is nothing to do.
    """

    name: str
    verdict: Verdict
    found: str
    mend: str = ""


def doctor(as_json: JsonOption = False) -> None:
    """Say what works on this computer, what is broken and how to mend it.

    Exit status 1 where something is broken.
    """
    checks: list[Check] = []
    for check in _checks():
        checks.append(check)
        if not as_json:
            _show(check)
    is_sound = all(check.verdict != "broken" for check in checks)
    if as_json:
        listed = [{"name": item.name, "verdict": item.verdict, "found": item.found, "mend": item.mend} for item in checks]
        print_json({"version": __version__, "ok": is_sound, "checks": listed})
    if not is_sound:
        raise typer.Exit(EXIT_FAILED)


def _show(check: Check) -> None:
    out.print(f"[{_STYLES[check.verdict]}]{check.verdict:8}[/] {check.name}: ", end="")
    out.print(check.found, markup=False)
    if check.mend:
        out.print(f"         {check.mend}", markup=False, style="dim")


def _checks() -> Iterator[Check]:
    yield Check("program", "works", f"Desktop FT {__version__}, Python {platform.python_version()}, {platform.platform()}")
    has_gpu = False
    for check in _driver():
        has_gpu = has_gpu or check.name.startswith("GPU")
        yield check
    yield from _engine(has_gpu=has_gpu)
    yield _qt()
    yield _folder()


def _driver() -> Iterator[Check]:
    reader = GpuReader()
    reading = reader.read()
    reader.close()
    for gpu in reading.gpus:
        yield Check(f"GPU {gpu.index}", "works", f"{gpu.name}, {size_words(gpu.free_bytes)} of {size_words(gpu.total_bytes)} free")
    if not reading.gpus:
        mend = "Training runs on the CPU, which is slow. With an NVIDIA card in this computer, install its driver and start again."
        yield Check("driver", "limited", reading.problem or "There is no NVIDIA GPU.", mend)
    elif reading.problem:
        yield Check("driver", "limited", reading.problem, "Restart the computer.")


# --- torch and its libraries -------------------------------------------------------------------------------------------


def _engine(*, has_gpu: bool) -> Iterator[Check]:
    with err.status("Asking torch"):
        facts, problem = _ask_child(["-m", "desktop_ft.engine.facts"])
    if facts is None:
        yield Check("torch", "broken", f"It could not be asked: {problem}", "Install the program again: make setup")
        return
    versions = cast("Mapping[str, str | None]", facts["libraries"])
    yield _torch(cast("Mapping[str, object]", facts["torch"]), versions, has_gpu=has_gpu)
    yield _libraries(versions)
    yield _optional("bitsandbytes", cast("Mapping[str, object]", facts["bitsandbytes"]), versions, "8-bit optimizers and 4-bit weights")
    if has_gpu:
        yield _optional("triton", cast("Mapping[str, object]", facts["triton"]), versions, "compiled kernels")


def _torch(facts: Mapping[str, object], versions: Mapping[str, str | None], *, has_gpu: bool) -> Check:
    version = versions["torch"]
    if not facts["ok"]:
        return Check("torch", "broken", f"torch {version}: {facts['problem']}", "Install torch again, in the build for your card.")
    build = f"CUDA {facts['cuda_build']}" if facts["cuda_build"] else f"ROCm {facts['rocm_build']}" if facts["rocm_build"] else "CPU only"
    found = f"torch {version} ({build}) computes on {facts['device']}"
    if not facts["computes"]:
        return Check("torch", "broken", f"{found}, and gets a product wrong.", "Update the driver; if it stays, the card may be faulty.")
    if has_gpu and not facts["cuda_available"] and not facts["rocm_build"]:
        mend = (
            "Install torch's CUDA build." if not facts["cuda_build"] else f"Update the driver to one that knows CUDA {facts['cuda_build']}."
        )
        return Check("torch", "broken", f"{found}; the GPU can't be used.", mend)
    return Check("torch", "works", found + (", bfloat16" if facts["supports_bf16"] else ""))


def _libraries(versions: Mapping[str, str | None]) -> Check:
    needed = ("transformers", "trl", "peft", "accelerate", "datasets")
    missing = [name for name in needed if versions[name] is None]
    if missing:
        return Check("libraries", "broken", f"Missing: {', '.join(missing)}", "Install the program again: make setup")
    return Check("libraries", "works", ", ".join(f"{name} {versions[name]}" for name in needed))


def _optional(name: str, facts: Mapping[str, object], versions: Mapping[str, str | None], gives: str) -> Check:
    if facts["ok"]:
        return Check(name, "works", f"{name} {versions[name]}")
    problem = str(facts["problem"]).splitlines()[0]
    return Check(name, "limited", f"It does not work here ({problem}).", f"Only {gives} need it; everything else works without.")


def _ask_child(arguments: list[str]) -> tuple[Mapping[str, object] | None, str]:
    """A child's one JSON object, or why there is none."""
    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, env=engine_environment(), timeout=_CHILD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {_CHILD_SECONDS:.0f} s"
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    try:
        return cast("Mapping[str, object]", json.loads(lines[-1] if lines else "")), ""
    except ValueError:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return None, last[-1] if last else f"it ended with status {done.returncode}"


# --- the window and the disk -------------------------------------------------------------------------------------------


def _qt() -> Check:
    facts, problem = _ask_child(["-c", _QT_CODE])
    if facts is None:
        return Check(
            "Qt", "broken", f"The window can't open: {problem}", "Install what is missing: make setup names Qt's system libraries."
        )
    return Check("Qt", "works", f"PySide6 {facts['version']}")


def _folder() -> Check:
    home = default_workspace().home
    probe = home / ".doctor"
    try:
        write_text(probe, "")
        probe.unlink()
    except DesktopFtError as error:
        return Check("your folder", "broken", error.message, error.hint)
    free = shutil.disk_usage(home).free
    found = f"{home}, {size_words(free)} free"
    if free < _ENOUGH_DISK_BYTES:
        return Check("your folder", "limited", found, "Checkpoints and merged models are large. Free some space, or set DESKTOP_FT_HOME.")
    return Check("your folder", "works", found)
