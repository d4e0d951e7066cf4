"""Starting the window: one QApplication, one place for what nobody caught, an orderly end on a signal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QTimer, Signal
from PySide6.QtGui import QIcon, QWindow
from PySide6.QtWidgets import QApplication

from desktop_ft import __version__
from desktop_ft.core.resources import resource_path
from desktop_ft.core.workspace import default_workspace
from desktop_ft.jobs.gui_garbage import GuiGarbage
from desktop_ft.ui.kit.theme import theme_manager
from desktop_ft.ui.main_window import MainWindow

_SIGNAL_LOOK_MILLISECONDS = 200
_LONGEST_WAIT_MILLISECONDS = 1000
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
    window.crashes.install()
    _quit_on_signals(app, window)
    window.show()
    exposure = _FirstExposure(window.windowHandle())
    exposure.happened.connect(_tell_ready)
    exposure.happened.connect(window.start)
    return app.exec()


def make_application(argv: Sequence[str] = ()) -> QApplication:
    """The QApplication with name, icon and theme."""
    app = QApplication(["desktop-ft", *argv])
    app.setApplicationName("Desktop FT")
    app.setDesktopFileName("desktop-ft")
    app.setApplicationVersion(__version__)
    app.setWindowIcon(QIcon(str(resource_path("icons", "app.svg"))))
    theme_manager()
    GuiGarbage(app)
    return app


def has_display() -> bool:
    """Whether a window can be shown here; only Linux can lack a display."""
    if sys.platform != "linux":
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def _quit_on_signals(app: QApplication, window: MainWindow) -> None:
    """Close in order on SIGINT and SIGTERM; a timer lets Python see them while Qt waits."""
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), lambda *_: window.close_at_once())
    timer = QTimer(app)
    timer.timeout.connect(lambda: None)
    timer.start(_SIGNAL_LOOK_MILLISECONDS)


class _FirstExposure(QObject):
    """Says once that the platform has shown the window, so that what takes time does not come before it.

    Where the platform never says so (a window that starts minimised), it is said after a second.
    """

    happened = Signal()

    def __init__(self, handle: QWindow) -> None:
        super().__init__(handle)
        self._handle = handle
        self._is_over = False
        handle.installEventFilter(self)
        QTimer.singleShot(_LONGEST_WAIT_MILLISECONDS, self, self._say)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Look whenever the platform says something of the window's visibility; the paint that it asks for comes first."""
        if event.type() == QEvent.Type.Expose:
            QTimer.singleShot(0, self, self._look)
        return super().eventFilter(watched, event)

    def _look(self) -> None:
        if self._handle.isExposed():
            self._say()

    def _say(self) -> None:
        if not self._is_over:
            self._is_over = True
            self.happened.emit()


def _tell_ready() -> None:
    path = os.environ.get(READY_VARIABLE)
    if path:
        Path(path).write_text("ready\n", encoding="utf-8")
