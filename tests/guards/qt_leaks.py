"""Finds Qt threads, timers and windows that a test left behind. Imported only by tests that use Qt."""

from __future__ import annotations

import gc

import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QObject, QThread, QTimer
from PySide6.QtWidgets import QApplication, QWidget


def hide_older_objects() -> None:
    """Takes everything that exists now out of the collector's sight, so that looking for Qt objects costs milliseconds beside torch."""
    gc.collect()
    gc.freeze()


def live_objects() -> list[QObject]:
    """Running threads, active timers and top-level windows, after pending deletions."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    if not _running_objects() and not _windows():
        return []
    # a closed window in a reference cycle is garbage, not a leak; nothing here may hold it meanwhile
    gc.collect()
    QCoreApplication.processEvents()
    return [*_running_objects(), *_windows()]


def describe(item: QObject) -> str:
    """A Qt object as a failed test names it."""
    return f"{type(item).__name__}({item.objectName()!r})" if shiboken6.isValid(item) else f"{type(item).__name__} (deleted)"


def _windows() -> list[QWidget]:
    return QApplication.topLevelWidgets() if isinstance(QApplication.instance(), QApplication) else []


def _running_objects() -> list[QObject]:
    # type(), not isinstance(): a lazy module's __class__ would be asked, and load itself
    candidates = [item for item in gc.get_objects() if issubclass(type(item), (QThread, QTimer)) and shiboken6.isValid(item)]
    threads = [item for item in candidates if isinstance(item, QThread) and item.isRunning() and item is not QThread.currentThread()]
    timers = [item for item in candidates if isinstance(item, QTimer) and item.isActive()]
    return [*threads, *timers]
