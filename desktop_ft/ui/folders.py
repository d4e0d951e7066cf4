"""Showing a folder or a file in the platform's own file manager."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices

from desktop_ft.core.errors import DesktopFtError


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
