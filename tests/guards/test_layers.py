"""The import contracts hold, and break when somebody breaks them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import cast

import fine_imports
import pytest

from tests.conftest import ROOT

LINT = ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache", "--no-logo")
LOWER_LAYERS = {"core": ("jobs", "ui", "engine"), "jobs": ("ui", "engine"), "engine": ("ui", "jobs"), "ui": ("engine",)}


def contracts() -> list[dict[str, object]]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return cast("list[dict[str, object]]", table["tool"]["importlinter"]["contracts"])


def copy_of_tree(target: Path) -> Path:
    shutil.copytree(ROOT / "desktop_ft", target / "desktop_ft", ignore=shutil.ignore_patterns("__pycache__", "resources"))
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *LINT], cwd=root, env={"PYTHONPATH": ""}, capture_output=True, text=True, check=False, timeout=120
    )


def planted_pairs() -> list[tuple[str, str]]:
    """Every (package, module it may not import) that the contracts name."""
    forbidden = [contract for contract in contracts() if contract["type"] == "forbidden"]
    pairs = [
        (source, module)
        for contract in forbidden
        for source in cast("list[str]", contract["source_modules"])
        for module in cast("list[str]", contract["forbidden_modules"])
    ]
    return pairs + [(f"desktop_ft.{low}", f"desktop_ft.{high}") for low, above in LOWER_LAYERS.items() for high in above]


def planted_name(root: Path, package: str, module: str) -> str:
    """The module that holds a planted import: a new one in a package, or the source itself where it is a module."""
    is_package = (root / package.replace(".", "/")).is_dir()
    return f"{package}.planted_{module.replace('.', '_')}" if is_package else package


def plant(root: Path, package: str, module: str) -> None:
    file = root / (planted_name(root, package, module).replace(".", "/") + ".py")
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    file.write_text(f"{text}\n\ndef late_{module.replace('.', '_')}() -> None:\n    import {module}\n", encoding="utf-8")


def test_contracts_hold() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Contracts: {len(contracts())} kept, 0 broken." in result.stdout


def test_every_planted_violation_breaks_its_contract(tmp_path: Path) -> None:
    root = copy_of_tree(tmp_path)
    pairs = planted_pairs()
    for package, module in pairs:
        plant(root, package, module)
    result = lint(root)
    said = result.stdout.replace("\n", " ")
    assert result.returncode == 1
    assert f"Contracts: 0 kept, {len(contracts())} broken." in said
    missed = [(package, module) for package, module in pairs if f"{planted_name(root, package, module)} -> {module}" not in said]
    assert missed == []


@pytest.mark.parametrize("contract_id", [contract["id"] for contract in contracts()])
def test_one_planted_violation_is_enough(contract_id: str, tmp_path: Path) -> None:
    root = copy_of_tree(tmp_path)
    package, module = {
        "layers": ("core", "desktop_ft.ui"),
        "core": ("core", "torch"),
        "commands": ("commands", "desktop_ft.jobs"),
        "engine": ("engine", "PySide6"),
        "jobs": ("jobs", "trl"),
        "ui": ("ui", "peft"),
    }[contract_id]
    (root / "desktop_ft" / package / "planted.py").write_text(f"import {module}\n", encoding="utf-8")
    result = lint(root)
    assert result.returncode == 1
    assert f"{package}.planted -> {module}" in result.stdout.replace("\n", " ")


def test_finer_import_rules_hold() -> None:
    assert fine_imports.problems_of(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line", "module"),
    [
        ("jobs/planted.py", "from PySide6.QtWidgets import QLabel", "PySide6.QtWidgets.QLabel"),
        ("jobs/planted.py", "from PySide6 import QtGui", "PySide6.QtGui"),
        ("jobs/planted.py", "import PySide6", "PySide6"),
        ("cli.py", "import torch.nn", "torch.nn"),
        ("cli.py", "from desktop_ft.engine import train", "desktop_ft.engine.train"),
        ("__main__.py", "from transformers import AutoModel", "transformers.AutoModel"),
    ],
)
def test_planted_finer_import_is_found(file: str, line: str, module: str, tmp_path: Path) -> None:
    planted = tmp_path / "desktop_ft" / file
    planted.parent.mkdir(parents=True)
    planted.write_text(f"from PySide6.QtCore import QObject\n\ndef late() -> None:\n    {line}\n", encoding="utf-8")
    found = fine_imports.problems_of(tmp_path)
    assert f"desktop_ft/{file}:4: imports {module}" in found
    if file.startswith("jobs"):
        assert len(found) == 1
