"""The program's front door: the window without arguments, the command line with them.

The only module that knows both faces. Pictures of curves are drawn here too, in a process of their own, for the command line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

NO_DISPLAY = "There is no display here, so the window cannot be opened. Try: desktop-ft demo, or desktop-ft --help"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: Arguments without the program's name; those of the process unless given.

    Returns:
        Exit status: 0 done, 1 failed, 2 the user's mistake.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        return open_window()
    if arguments[0] == "_plot" and len(arguments) >= 3:
        return draw_plot(arguments[1:])
    from desktop_ft.cli import main as run_command

    return run_command(arguments)


def open_window() -> int:
    """Open the window, or say why that cannot be."""
    from desktop_ft.ui.app import has_display
    from desktop_ft.ui.app import main as run_window

    if not has_display():
        sys.stderr.write(NO_DISPLAY + "\n")
        return 2
    return run_window()


def draw_plot(arguments: Sequence[str]) -> int:
    """``_plot RUN_DIR OUT.png [--dark]``: draw a run's loss curve without a display."""
    from desktop_ft.ui.plot_file import render_loss_png

    render_loss_png(Path(arguments[0]), Path(arguments[1]), dark="--dark" in arguments)
    return 0


def main_window() -> int:
    """Entry point of the launcher that has no console."""
    return open_window()


if __name__ == "__main__":
    sys.exit(main())
