"""Where everything lives: one folder with runs, labeling projects and the program's settings."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import platformdirs

from desktop_ft.core.files import write_error

HOME_VARIABLE: Final = "DESKTOP_FT_HOME"


@dataclass(frozen=True)
class Workspace:
    """The person's folder; every path below it is made when first needed."""

    home: Path

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.home / "runs"

    @property
    def labeling(self) -> Path:
        """One ``.dftlabel`` file a labeling project."""
        return self.home / "labeling"

    @property
    def data_cache(self) -> Path:
        """What was found out about data files and can be found out again."""
        return self.home / "cache" / "data"

    @property
    def settings_file(self) -> Path:
        """Preferences of the program."""
        return self.home / "settings.json"

    def new_run_dir(self, name: str, now: datetime | None = None) -> Path:
        """Make an empty folder for a run, named by its name and start; never one that exists.

        Raises:
            DesktopFtError: ``disk_full`` or ``file_not_writable``.
        """
        stamp = (now or datetime.now(tz=UTC).astimezone()).strftime("%Y%m%d-%H%M%S")
        base = f"{slug(name)}-{stamp}"
        for attempt in range(1, 1000):
            folder = self.runs / (base if attempt == 1 else f"{base}-{attempt}")
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise write_error(folder, error) from error
            return folder
        raise AssertionError(base)


def default_workspace() -> Workspace:
    """``DESKTOP_FT_HOME``, else the platform's data folder."""
    chosen = os.environ.get(HOME_VARIABLE)
    return Workspace(Path(chosen).expanduser().absolute() if chosen else Path(platformdirs.user_data_dir("desktop-ft", appauthor=False)))


def slug(name: str) -> str:
    """A name as a folder name: letters, digits and hyphens, at most 48; ``run`` where nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-") or "run"
