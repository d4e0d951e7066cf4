"""Showing a folder in the platform's file manager, and the guide in whatever shows text there."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.resources import resources_dir


def open_folder(path: Path) -> None:
    """Show a folder.

    Raises:
        DesktopFtError: ``folder_missing`` or ``folder_not_opened``.
    """
    if not path.is_dir():
        raise DesktopFtError("folder_missing", "The folder is not there any more", f"There is no folder {path}.", "Look at the list again.")
    if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
        raise DesktopFtError(
            "folder_not_opened",
            "The folder could not be shown",
            f"No file manager opened {path}.",
            "Open the folder yourself; this is its path.",
        )


def open_guide() -> None:
    """Show the user's guide, docs/guide.md of the checkout.

    Raises:
        DesktopFtError: ``guide_not_opened``.
    """
    guide = resources_dir().parent / "docs" / "guide.md"
    if not (guide.is_file() and QDesktopServices.openUrl(QUrl.fromLocalFile(str(guide)))):
        raise DesktopFtError(
            "guide_not_opened",
            "The guide could not be shown",
            f"{guide} is not there, or no program opened it.",
            "Open docs/guide.md of the program's source in an editor.",
        )
