"""Fixtures of the demo's tests: the scripts in ``packaging/demo`` as modules."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "packaging" / "demo"


@pytest.fixture(autouse=True)
def scripts_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test import the scripts by their bare names, as they import each other."""
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
