"""Finds and installs the system libraries that Qt's Linux build expects. Standard library only."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

# What `objdump -p` names as needed by Qt6Core, Gui, Widgets, DBus, Network, OpenGL, Svg and the xcb plugin of PySide6-Essentials 6.11,
# less the C runtime; beside each, the package of Debian and Ubuntu that brings it.
PACKAGE_BY_LIBRARY = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libX11.so.6": "libx11-6",
    "libbrotlidec.so.1": "libbrotli1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxcb.so.1": "libxcb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libzstd.so.1": "libzstd1",
}
FONT_PACKAGE = "fonts-dejavu-core"
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")


def can_load(library: str) -> bool:
    """Whether the dynamic linker finds the library and everything that it needs."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_font(folders: Iterable[str] = FONT_FOLDERS) -> bool:
    """Whether the system has a scalable font: without one, Qt draws text as empty boxes."""
    roots = [Path(folder).expanduser() for folder in folders]
    return any(path.suffix.lower() in {".ttf", ".otf", ".ttc"} for root in roots if root.is_dir() for path in root.rglob("*"))


def missing_packages() -> list[str]:
    """Debian's names of what Qt misses on this machine; empty where Qt brings everything itself."""
    if not sys.platform.startswith("linux"):
        return []
    packages = {package for library, package in PACKAGE_BY_LIBRARY.items() if not can_load(library)}
    if not has_font():
        packages.add(FONT_PACKAGE)
    return sorted(packages)


def administrator_prefix() -> list[str] | None:
    """What to write before apt-get: nothing for root, sudo where it asks no password; None where neither holds."""
    if sys.platform == "win32":
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and _succeeds(["sudo", "-n", "true"]):
        return ["sudo", "-n"]
    return None


def ensure() -> bool:
    """Installs what Qt misses, or says in a sentence what a person must install.

    Returns:
        Whether everything is there now.
    """
    packages = missing_packages()
    if not packages:
        return True
    prefix = administrator_prefix()
    if prefix is not None and shutil.which("apt-get"):
        print(f"Installing what Qt needs from the system: {' '.join(packages)}", flush=True)
        _apt_install(prefix, packages)
        packages = missing_packages()
    if packages:
        print(
            "Qt needs libraries that this system lacks. Install them with your system's package manager, then run make again. "
            f"On Debian and Ubuntu: sudo apt-get install {' '.join(packages)}",
            flush=True,
        )
    return not packages


def _apt_install(prefix: Sequence[str], packages: Sequence[str]) -> None:
    update = [*prefix, "apt-get", "update", "-qq"]
    # env, so that the variable also passes through sudo
    install = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    if not (_succeeds(update) and _succeeds(install)):
        print("apt-get did not succeed.", flush=True)


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False).returncode == 0
