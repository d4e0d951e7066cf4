"""Where the files that come with the program lie: icons, themes, the demo. Must not import Qt or torch."""

from __future__ import annotations

from pathlib import Path

from desktop_ft.core.errors import DesktopFtError

_PACKAGE_DIR = Path(__file__).resolve().parents[1]


def resources_dir(package_dir: Path = _PACKAGE_DIR) -> Path:
    """The folder of the program's own files.

    Args:
        package_dir: The folder of the package ``desktop_ft``.

    Returns:
        ``desktop_ft/resources`` in an installed program, ``resources`` beside the package in a checkout.

    Raises:
        DesktopFtError: ``resources_missing``: neither folder exists.
    """
    candidates = (package_dir / "resources", package_dir.parent / "resources")
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    looked = " and ".join(str(candidate) for candidate in candidates)
    raise DesktopFtError(
        "resources_missing",
        "The program's own files are missing",
        f"There is no folder {looked}.",
        "Install the program again; in a checkout, restore the folder resources.",
    )


def resource_path(*parts: str) -> Path:
    """One file or folder among the program's own files.

    Args:
        parts: Names below ``resources_dir()``, such as ``"demo", "sft.jsonl"``.

    Returns:
        Its path.

    Raises:
        DesktopFtError: ``resources_missing``: it does not exist.
    """
    path = resources_dir().joinpath(*parts)
    if not path.exists():
        raise DesktopFtError(
            "resources_missing",
            "One of the program's own files is missing",
            f"{path} does not exist.",
            "Install the program again; in a checkout, restore the folder resources.",
        )
    return path
