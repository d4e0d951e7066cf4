"""Reports on files that were looked at before: kept in the workspace by the content of the files, the question and the rules."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, cast

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_json
from desktop_ft.core.workspace import default_workspace

_WORTH_SECONDS: Final = 1.0
"""What took less is not kept."""
_MOST_REPORTS: Final = 50
_Report = Mapping[str, object]


def remembered(question: Mapping[str, object], make: Callable[[], _Report]) -> _Report:
    """The report on a question, from the cache where it was answered before.

    Args:
        question: Everything that decides the answer, files by the hash of their content. JSON values.
        make: Answers it.
    """
    asked = json.dumps({"rules": _rules(), **question}, sort_keys=True, ensure_ascii=True)
    path = default_workspace().home / "cache" / "data-reports" / f"{hashlib.sha256(asked.encode('ascii')).hexdigest()}.json"
    known = _read(path)
    if known is not None:
        return known
    started = time.monotonic()
    report = make()
    if time.monotonic() - started >= _WORTH_SECONDS:
        with contextlib.suppress(DesktopFtError):  # a full disk does not keep anybody from looking at data
            write_json(path, report)
            _forget_old(path.parent)
    return report


def _read(path: Path) -> _Report | None:
    try:
        return cast("_Report", json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _forget_old(folder: Path) -> None:
    def age(path: Path) -> float:
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
        return 0.0

    for path in sorted(folder.glob("*.json"), key=age)[:-_MOST_REPORTS]:
        with contextlib.suppress(OSError):
            path.unlink()


@functools.cache
def _rules() -> str:
    """The version of the rules: a hash of the rooms that hold them, so that a change of any makes old reports unknown."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).resolve().parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
