"""The road of exceptions that nobody translated: from any thread to one dialog, with the facts a report needs."""

from __future__ import annotations

import platform
import sys
import threading
import traceback
from types import TracebackType

import PySide6
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QWidget

from desktop_ft import __version__
from desktop_ft.ui.kit.messages import CrashDialog, crash_report


class CrashRoad(QObject):
    """Shows crashes over a window, one dialog at a time: a fault in painting would otherwise open one at every frame.

    Args:
        window: Over which the dialog opens.
    """

    crashed = Signal(str)
    """Traceback; may be emitted in any thread."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self.dialog: CrashDialog | None = None
        self.crashed.connect(self.show_report, Qt.ConnectionType.QueuedConnection)

    def install(self) -> None:
        """Become Python's hooks for what nobody caught."""
        sys.excepthook = self.on_uncaught
        threading.excepthook = lambda args: self.on_uncaught(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)

    def on_uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """An exception that reached the event loop or the end of a thread."""
        traceback.print_exception(kind, error, trace)
        if issubclass(kind, KeyboardInterrupt):
            return
        self.crashed.emit(crash_report(kind, error, trace))

    def show_report(self, report: object) -> None:
        """Open the dialog; while one is open, further reports go to the console alone."""
        if self.dialog is not None:
            return
        self.dialog = CrashDialog(str(report), facts(), self._window)
        self.dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.dialog.finished.connect(self._on_closed)
        self.dialog.open()

    def _on_closed(self) -> None:
        self.dialog = None


def facts() -> str:
    """Versions for a crash report."""
    return f"Desktop FT {__version__}, PySide6 {PySide6.__version__}, Python {platform.python_version()}, {platform.platform()}"
