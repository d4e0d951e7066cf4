"""The strip shows two and counts the rest; the crash dialog gives the traceback."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.ui.kit.buttons import Button
from desktop_ft.ui.kit.messages import CrashDialog, MessageAction, MessageStrip, crash_report
from desktop_ft.ui.kit.theme import ThemeManager


def titles(strip: MessageStrip) -> list[str]:
    return [m.title for m in strip.shown_messages()]


def click(strip: MessageStrip, name: str, qtbot: QtBot) -> None:
    QApplication.processEvents()  # a row that joins a visible strip is shown by the event loop
    found = [b for b in strip.findChildren(Button) if b.accessibleName() == name and b.isVisible()]
    qtbot.mouseClick(found[0], Qt.MouseButton.LeftButton)


def test_at_most_two_then_how_many_more(themed: ThemeManager, qtbot: QtBot) -> None:
    strip = MessageStrip()
    qtbot.addWidget(strip)
    assert strip.isHidden()
    for i in range(5):
        strip.show_message(f"message {i}")
    strip.show()
    assert titles(strip) == ["message 4", "message 3"]
    assert strip.more_text() == "3 more"
    click(strip, "3 more", qtbot)
    assert len(titles(strip)) == 5
    click(strip, "Show fewer", qtbot)
    assert titles(strip) == ["message 4", "message 3"]


def test_escape_closes_the_newest(themed: ThemeManager, qtbot: QtBot) -> None:
    strip = MessageStrip()
    qtbot.addWidget(strip)
    for i in range(3):
        strip.show_message(f"message {i}")
    strip.show()
    qtbot.keyClick(strip, Qt.Key.Key_Escape)
    assert titles(strip) == ["message 1", "message 0"]
    assert strip.more_text() == ""
    strip.clear()
    assert strip.isHidden()


def test_equal_messages_are_closed_one_by_one(themed: ThemeManager, qtbot: QtBot) -> None:
    strip = MessageStrip()
    qtbot.addWidget(strip)
    strip.show_message("same")
    strip.show_message("same")
    strip.close_newest()
    assert titles(strip) == ["same"]


def test_the_same_error_is_said_once_with_details_and_copy(themed: ThemeManager, qtbot: QtBot) -> None:
    strip = MessageStrip()
    qtbot.addWidget(strip)
    for _ in range(2):
        strip.show_error(DesktopFtError("disk_full", "The disk is full", "3.1 GiB left, 6 needed.", "Delete a checkpoint."))
    strip.show()
    assert titles(strip) == ["The disk is full"]
    click(strip, "Details", qtbot)
    click(strip, "Copy", qtbot)
    assert QGuiApplication.clipboard().text() == "The disk is full\n\n3.1 GiB left, 6 needed.\n\nDelete a checkpoint.\n\ndisk_full"


def test_action_and_dismiss(themed: ThemeManager, qtbot: QtBot) -> None:
    strip = MessageStrip()
    qtbot.addWidget(strip)
    done: list[str] = []
    strip.show_message("Finished", action=MessageAction("Export…", lambda: done.append("export")), key="run")
    strip.show()
    click(strip, "Export…", qtbot)
    assert done == ["export"]
    strip.dismiss("other")
    assert titles(strip) == ["Finished"]
    strip.dismiss("run")
    assert titles(strip) == []


def test_the_crash_dialog_shows_and_copies_the_traceback(themed: ThemeManager, qtbot: QtBot) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    dialog = CrashDialog(crash_report(caught.type, caught.value, caught.tb), "version 1")
    qtbot.addWidget(dialog)
    assert "ZeroDivisionError: division by zero" in dialog.report()
    copy = next(b for b in dialog.findChildren(Button) if "Copy" in b.accessibleName())
    copy.click()
    assert QGuiApplication.clipboard().text() == dialog.report()
    assert dialog.report().endswith("version 1\n")
