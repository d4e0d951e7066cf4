"""What a process loads by importing our packages, seen in a fresh interpreter."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

from fine_imports import TORCH_STACK

from tests.conftest import ROOT

QT_WIDGETS = ("PySide6.QtWidgets", "PySide6.QtGui")
HEAVY = (
    *(
        "pyarrow",
        "tokenizers",
        "jinja2",
        "pynvml",
        "huggingface_hub",
        "safetensors",
        "psutil",
        "numpy",
        "pandas",
        "keyring",
        "regex",
        "jsonschema_rs",
    ),
    *("PySide6", "pyqtgraph"),
)
LIGHT_MODULES = ("config", "errors", "events", "files", "units", "validation", "workspace")

WALK = """
import importlib, json, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(package, "__path__", []), name + "."):
        if not found.name.endswith(".__main__"):
            importlib.import_module(found.name)
print(json.dumps(sorted(sys.modules)))
"""
IMPORT = "import importlib, json, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(json.dumps(sorted(sys.modules)))"


def modules_after(script: str, *names: str) -> list[str]:
    answer = subprocess.run([sys.executable, "-c", script, *names], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


def loaded(modules: list[str], unwanted: tuple[str, ...]) -> list[str]:
    return [name for name in unwanted if name in modules]


def existing_light_modules() -> list[str]:
    names = [f"desktop_ft.core.{name}" for name in LIGHT_MODULES]
    return [name for name in names if importlib.util.find_spec(name) is not None]


def test_every_module_of_the_window_loads_no_torch() -> None:
    modules = modules_after(WALK, "desktop_ft.core", "desktop_ft.jobs", "desktop_ft.ui")
    assert {"desktop_ft.core.errors", "desktop_ft.jobs", "desktop_ft.ui"} <= set(modules)
    assert loaded(modules, TORCH_STACK) == []


def test_every_module_of_jobs_loads_no_widgets() -> None:
    assert loaded(modules_after(WALK, "desktop_ft.core", "desktop_ft.jobs"), QT_WIDGETS) == []


def test_importing_core_loads_nothing_heavy() -> None:
    assert loaded(modules_after(IMPORT, "desktop_ft.core"), (*TORCH_STACK, *HEAVY)) == []


def test_light_modules_of_core_load_nothing_heavy() -> None:
    names = existing_light_modules()
    assert len(names) >= 5
    assert loaded(modules_after(IMPORT, *names), (*TORCH_STACK, *HEAVY)) == []


def test_the_look_into_modules_sees_what_is_loaded() -> None:
    assert loaded(modules_after(IMPORT, "numpy"), HEAVY) == ["numpy"]
