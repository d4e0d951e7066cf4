"""Set up before Qt is imported: no display. Everything under test starts in light, whatever the desktop wants."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtWidgets import QApplication

from desktop_ft.ui.kit.theme import ThemeManager, theme_manager


@pytest.fixture
def themed(qapp: QApplication) -> Iterator[ThemeManager]:
    """The theme manager, back to light afterwards."""
    manager = theme_manager()
    manager.set_high_contrast(False)
    manager.set_mode("light")
    yield manager
    manager.set_high_contrast(False)
    manager.set_mode("light")
