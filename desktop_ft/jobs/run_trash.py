"""Deleted runs: moved aside within the workspace, so that deleting is instant and can be undone. No Qt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_error
from desktop_ft.core.workspace import Workspace


class RunTrash:
    """The workspace's ``trash`` folder."""

    def __init__(self, workspace: Workspace) -> None:
        self.path = workspace.home / "trash"
        self._places: dict[Path, Path] = {}

    def folders(self) -> tuple[Path, ...]:
        """What lies in the trash."""
        return tuple(sorted(self.path.iterdir())) if self.path.is_dir() else ()

    def put(self, folder: Path) -> None:
        """Move a run's folder here.

        Raises:
            DesktopFtError: ``file_not_writable`` or ``run_missing``.
        """
        target = self.path / folder.name
        number = 1
        while target.exists():
            number += 1
            target = self.path / f"{folder.name}-{number}"
        self._move(folder, target)
        self._places[folder] = target

    def restore(self, folder: Path) -> None:
        """Move a run back to where it was.

        Raises:
            DesktopFtError: ``run_missing`` where it is not here any more, ``run_exists`` where its place is taken.
        """
        source = self._places.get(folder, self.path / folder.name)
        if folder.exists():
            raise DesktopFtError(
                "run_exists", "The run's place is taken", f"There is another folder {folder}.", "Move it away, then try again."
            )
        self._move(source, folder)
        self._places.pop(folder, None)

    def _move(self, source: Path, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        except FileNotFoundError as error:
            raise DesktopFtError(
                "run_missing", "The run is not there any more", f"There is no folder {source}.", "Look at the list again."
            ) from error
        except OSError as error:
            raise write_error(target, error) from error

    def empty(self, cancelled: Callable[[], bool], progress: Callable[[int, int, str], None]) -> None:
        """Delete everything here for good.

        Raises:
            DesktopFtError: ``file_not_writable``.
        """
        folders = self.folders()
        for number, folder in enumerate(folders):
            if cancelled():
                return
            progress(number, len(folders), folder.name)
            try:
                shutil.rmtree(folder)
            except OSError as error:
                raise write_error(folder, error) from error
        progress(len(folders), len(folders), "")
