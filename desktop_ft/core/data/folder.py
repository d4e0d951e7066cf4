"""Which files of a folder are one data set: parts of one kind in name order, or what `datasets` saved with ``save_to_disk``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from desktop_ft.core.data.fingerprint import unreadable_file
from desktop_ft.core.data.packed import unpacked_name
from desktop_ft.core.errors import DesktopFtError

_ABOUT_THE_DATA: Final = frozenset(
    {"dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json", "license.txt", "readme.txt"}
)
"""Files beside the data that say something about them; also requirements and the like are no examples."""
_SPLIT: Final = re.compile(r"(?:^|[^a-z])(train|training|validation|valid|val|dev|eval|test)(?:[^a-z]|$)")
_MOST_FILES: Final = 10_000
_MOST_DEPTH: Final = 3


@dataclass(frozen=True)
class Parts:
    """The files of a data set.

    Attributes:
        files: In the order in which they are read.
        note: What was chosen, in a sentence; empty where there was no choice.
    """

    files: tuple[Path, ...]
    note: str = ""


def parts_of(folder: Path, suffixes: Sequence[str]) -> Parts:
    """The files of a folder that are read as one.

    Args:
        folder: A folder.
        suffixes: Kinds that are read, without .gz and .zst.

    Raises:
        DesktopFtError: ``data_file_empty`` or ``data_folder_mixed``.
    """
    saved = _saved(folder)
    if saved is not None:
        return saved
    kinds: dict[str, list[Path]] = {}
    for path in _files_in(folder):
        suffix = Path(unpacked_name(path)).suffix
        if suffix in suffixes and path.name.lower() not in _ABOUT_THE_DATA:
            kinds.setdefault(suffix, []).append(path)
    if not kinds:
        raise DesktopFtError(
            "data_file_empty",
            "The folder has no data",
            f"{folder.name} holds no file that ends in {', '.join(suffixes)}.",
            "Choose the folder that holds the files of examples, or one of the files.",
        )
    if len(kinds) > 1:
        listed = ", ".join(f"{len(files)} {suffix}" for suffix, files in sorted(kinds.items()))
        raise DesktopFtError(
            "data_folder_mixed",
            "The folder holds files of several kinds",
            f"{folder.name} holds {listed}; one data set is of one kind.",
            "Choose one of the files, or put the files that belong together into a folder of their own.",
        )
    return _training_part(folder, next(iter(kinds.values())))


def _files_in(folder: Path) -> list[Path]:
    """Files of the folder and its folders in name order; hidden ones are none of the person's."""
    found: list[Path] = []
    waiting = [(folder, 0)]
    try:
        while waiting and len(found) <= _MOST_FILES:
            place, depth = waiting.pop(0)
            for path in sorted(place.iterdir(), key=lambda entry: entry.name):
                if path.name.startswith((".", "_")):
                    continue
                if path.is_dir():
                    waiting.extend([(path, depth + 1)] if depth < _MOST_DEPTH else [])
                else:
                    found.append(path)
    except OSError as error:
        raise unreadable_file(folder, error.strerror or str(error)) from error
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def _training_part(folder: Path, files: list[Path]) -> Parts:
    """The training files, where names say which those are."""
    named = [(path, _SPLIT.search("/".join(path.relative_to(folder).parts).lower())) for path in files]
    training = tuple(path for path, found in named if found is not None and found.group(1).startswith("train"))
    others = sorted({found.group(1) for _, found in named if found is not None and not found.group(1).startswith("train")})
    if not training or not others:
        return Parts(tuple(files))
    words = f"{', '.join(others)} is left out" if len(others) == 1 else f"{', '.join(others)} are left out"
    return Parts(training, f"Of the folder the training files are read ({len(training)}); {words}.")


def _saved(folder: Path) -> Parts | None:
    """The files of a folder that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote."""
    splits = _value(folder / "dataset_dict.json", "splits")
    if isinstance(splits, list):
        names = [name for name in cast("list[object]", splits) if isinstance(name, str) and Path(name).name == name]
        chosen = next((name for name in names if name.startswith("train")), names[0] if names else None)
        inner = _saved(folder / chosen) if chosen else None
        if inner is not None and len(names) > 1:
            others = ", ".join(name for name in names if name != chosen)
            return Parts(inner.files, f"Of the saved data set the part {chosen} is read; it also has {others}.")
        return inner
    files = _value(folder / "state.json", "_data_files")
    if not isinstance(files, list):
        return None
    names = [cast("dict[str, object]", entry).get("filename") for entry in cast("list[object]", files) if isinstance(entry, dict)]
    paths = tuple(folder / name for name in names if isinstance(name, str) and Path(name).name == name)
    return Parts(paths) if paths and all(path.is_file() for path in paths) else None


def _value(path: Path, name: str) -> object:
    try:
        content = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None
    return cast("dict[str, object]", content).get(name) if isinstance(content, dict) else None
