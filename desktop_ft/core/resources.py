"""Where the files that travel with the program lie: icons, presets, the demo model and data. Imports nothing but pathlib."""

from __future__ import annotations

from pathlib import Path


def resources_dir() -> Path:
    """The folder ``resources``: inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "resources"
    return installed if installed.is_dir() else package.parent / "resources"
