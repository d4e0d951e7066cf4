"""``desktop-ft version``."""

from __future__ import annotations

import platform

from desktop_ft import __version__
from desktop_ft.commands.console import print_json, say
from desktop_ft.commands.options import JsonOption


def version(as_json: JsonOption = False) -> None:
    """Print the version."""
    if as_json:
        print_json({"version": __version__, "python": platform.python_version()})
    else:
        say(__version__)
