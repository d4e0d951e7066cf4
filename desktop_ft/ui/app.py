"""Starting the window: one QApplication, one place for what nobody caught, an orderly end on a signal."""

from __future__ import annotations

import os
import platform
import signal
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

import PySide6
from PySide6.QtCore import QTimer
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

from desktop_ft import __version__
from desktop_ft.core.resources import resource_path
from desktop_ft.core.workspace import default_workspace
from desktop_ft.ui.kit.messages import CrashDialog, crash_report
from desktop_ft.ui.kit.theme import theme_manager
from desktop_ft.ui.main_window import MainWindow

_SIGNAL_LOOK_MILLISECONDS = 200
READY_VARIABLE = "DESKTOP_FT_READY_FILE"
"""Names a file that is written once the window is visible; benchmarks and tests wait for it."""


def main(argv: Sequence[str] = ()) -> int:
    """Open the window and serve it until it is closed.

    Args:
        argv: Arguments for Qt, without the program's name.

    Returns:
        Exit status.
    """
    app = make_application(argv)
    window = MainWindow(default_workspace())
    sys.excepthook = lambda kind, error, trace: _on_uncaught(window, kind, error, trace)
    _quit_on_signals(app, window)
    window.show()
    window.run_soon()
    _tell_ready()
    return app.exec()


def make_application(argv: Sequence[str] = ()) -> QApplication:
    """The QApplication with name, icon and theme."""
    app = QApplication(["desktop-ft", *argv])
    app.setApplicationName("Desktop FT")
    app.setDesktopFileName("desktop-ft")
    app.setApplicationVersion(__version__)
    app.setWindowIcon(QIcon(str(resource_path("icons", "app.svg"))))
    theme_manager()
    return app


def has_display() -> bool:
    """Whether a window can be shown here; only Linux can lack a display."""
    if sys.platform != "linux":
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def facts() -> str:
    """Versions for a crash report."""
    return f"Desktop FT {__version__}, PySide6 {PySide6.__version__}, Python {platform.python_version()}, {platform.platform()}"


def _on_uncaught(window: MainWindow, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        window.close()
        return
    traceback.print_exception(kind, error, trace)
    CrashDialog(crash_report(kind, error, trace), facts(), window).open()


def _quit_on_signals(app: QApplication, window: MainWindow) -> None:
    """Close in order on SIGINT and SIGTERM; a timer lets Python see them while Qt waits."""
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), lambda *_: window.close_at_once())
    timer = QTimer(app)
    timer.timeout.connect(lambda: None)
    timer.start(_SIGNAL_LOOK_MILLISECONDS)


def _tell_ready() -> None:
    path = os.environ.get(READY_VARIABLE)
    if path:
        QTimer.singleShot(0, lambda: _write_ready(path))


def _write_ready(path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("ready\n")
